from __future__ import annotations

import os
from pathlib import Path

import pytest

from zoo.record.replace import file_written_aside, recover, write_file, written_aside


def folder(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "text").write_text(text)
    return path


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "text"
    for text in ("old", "new"):
        with file_written_aside(target) as file:
            file.write(text.encode())
    with pytest.raises(TypeError), file_written_aside(target) as file:
        file.writelines([b"half", None])  # type: ignore[list-item]
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_replaced_files_and_folders_have_default_permissions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(os, "umask", None)  # the umask belongs to the whole process
    write_file(tmp_path / "deeper" / "written", b"text")
    with written_aside(tmp_path / "filled") as aside:
        (aside / "text").write_text("new")
    modes = {path.relative_to(tmp_path).as_posix(): path.stat().st_mode for path in tmp_path.rglob("*")}
    assert modes["deeper/written"] == modes["filled/text"] == modes["file"]
    assert modes["deeper"] == modes["filled"] == modes["folder"]


def test_a_folder_that_a_killed_process_moved_aside_is_restored(tmp_path: Path) -> None:
    folder(tmp_path / ".model.before", "old")
    folder(tmp_path / ".model.aside", "half")
    recover(tmp_path / "model")
    assert (tmp_path / "model" / "text").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_scratch_folders_of_another_model_are_left_alone(tmp_path: Path) -> None:
    others = [folder(tmp_path / name, "another's") for name in (".model.b.before", ".model.b.aside", "notes")]
    recover(tmp_path / "model")
    assert sorted(tmp_path.iterdir()) == sorted(others)
