from __future__ import annotations

from pathlib import Path

import pytest

from zoo.record import replace
from zoo.record.replace import file_written_aside, recover, written_aside


def folder(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "text").write_text(text)
    return path


@pytest.mark.parametrize("exchanges", [True, False], ids=["one call", "two renames"])
def test_a_folder_takes_the_place_of_another_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    if not exchanges:
        monkeypatch.setattr(replace, "_exchanged", lambda one, other: False)
    target = folder(tmp_path / "model", "old")
    with written_aside(target) as aside:
        (aside / "text").write_text("new")
        assert (target / "text").read_text() == "old"
    assert (target / "text").read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_takes_the_place_of_another_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "text"
    for text in ("old", "new"):
        with file_written_aside(target) as file:
            file.write(text.encode())
    with pytest.raises(TypeError), file_written_aside(target) as file:
        file.writelines([b"half", None])  # type: ignore[list-item]
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_kill_has_moved_out_of_the_way_is_taken_back(tmp_path: Path) -> None:
    folder(tmp_path / ".model.ab12cd34.before", "old")
    folder(tmp_path / ".model.ef56ab78.aside", "half")
    recover(tmp_path / "model")
    assert (tmp_path / "model" / "text").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_belongs_to_another_place_of_a_longer_name_is_left_alone(tmp_path: Path) -> None:
    names = (".model.b.ab12cd34.before", ".model.b.ef56ab78.aside", "notes")
    others = [folder(tmp_path / name, "another's") for name in names]
    recover(tmp_path / "model")
    assert sorted(tmp_path.iterdir()) == sorted(others)
