"""What a shell, a terminal and a file system may do to any command: one line, and no traceback."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import zoo
from zoo.cli import app
from zoo.errors import FolderError
from zoo.record.paths import cache

from .pictures import draw

Install = Callable[..., Path]
ZOO = f"{shlex.quote(sys.executable)} -m zoo"
OUT = {
    "pull": "pull resnet8_digits",
    "import": "import resnet8_digits FILE --by me --license mit",
    "new": "new plugin mine",
    "page": "page",
    "export": "export resnet8_digits --to pt2",
    "train": "train resnet8 --epochs 1 --limit-train 64 --quiet",
    "reproduce": "reproduce resnet8_digits --epochs 1 --quiet",
    "compare": "compare resnet8 --epochs 1 --limit-train 64 --quiet",
    "plot": "plot resnet8_digits",
    "eval": "eval resnet8_digits --report",
}
WEIGHTS = Path(__file__).parent.parent / "hub_cards" / "resnet8_digits" / "model.safetensors"


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(line, shell=True, capture_output=True, text=True, env={**os.environ, **environment})


def here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int | str | None, str]:
    """Run a command in this process; its exit code and stderr."""
    monkeypatch.setattr(sys, "argv", ["zoo", *words])
    with pytest.raises(SystemExit) as end:
        app.main()
    return end.value.code, capsys.readouterr().err


def test_a_closed_stdout_is_no_error() -> None:
    finished = shell(f"{ZOO} list 'resnet8*' >&-")
    assert (finished.returncode, finished.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", ["list", "--help"])
def test_a_full_stdout_is_one_line(command: str) -> None:
    finished = shell(f"{ZOO} {command} >/dev/full")
    assert finished.returncode == 1
    assert finished.stderr == "zoo: the output can't be written (No space left on device)\n"


def test_a_removed_working_directory_is_one_line(tmp_path: Path) -> None:
    finished = shell(f"mkdir {tmp_path}/gone && cd {tmp_path}/gone && rmdir ../gone && {ZOO} list")
    assert finished.returncode == 1
    assert finished.stderr == "zoo: the working directory was removed; change to another one\n"


def test_without_a_home_folder_a_path_in_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(path: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("ZOO_CACHE", raising=False)
    monkeypatch.setattr(Path, "expanduser", no_home)
    with pytest.raises(FolderError, match="there is no home folder for the cache; set HOME, or ZOO_CACHE"):
        cache()
    with pytest.raises(FolderError, match="there is no home folder for ~/x; set HOME, or name a path without ~"):
        zoo.pull("resnet8_digits", out="~/x")


@pytest.mark.parametrize("command", ["pull", "import", "new", "page", "export", "train", "reproduce"])
@pytest.mark.parametrize("out", [".", "/", "", ".."])
def test_a_folder_that_can_not_be_made_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, out: str
) -> None:
    monkeypatch.chdir(tmp_path)
    words = OUT[command].replace("FILE", str(WEIGHTS)).split()
    code, errors = here(monkeypatch, capsys, *words, "--out", out)
    assert (code, errors.count("\n")) == (1, 1), errors
    assert "name a" in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", OUT)
def test_a_place_that_can_not_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    words = OUT[command].replace("FILE", str(WEIGHTS)).split()
    (tmp_path / "file").touch()  # a folder in a file can't be made, also by root
    code, errors = here(monkeypatch, capsys, *words, "--out", "file/sub/out.svg")
    assert code == 1
    assert errors.splitlines()[-1].startswith("zoo: "), errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("command", ["pull", "new", "page", "plot", "eval"])
def test_a_tilde_in_out_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    code, errors = here(monkeypatch, capsys, *OUT[command].split(), "--out=~/out.svg")
    assert code == 0, errors
    assert [path.name for path in home.iterdir() if not path.name.startswith(".")] == ["out.svg"]
    assert list(work.iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [
        "eval ~/m --weights=~/m/model.safetensors",
        "predict ~/m ~/photo.png",
        "verify ~/m",
        "plot ~/m --out=~/plot.svg",
        "push ~/m --hub=file:~/hub",
        "data folder:~/pictures --test-part 0.5",
    ],
)
def test_a_tilde_in_any_path_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    shutil.copytree(WEIGHTS.parent, home / "m")
    shutil.copy(Path(__file__).parent / "photo.png", home)
    draw(home / "pictures", 4)
    work.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    code, errors = here(monkeypatch, capsys, *line.split())
    assert code == 0, errors
    assert list(work.iterdir()) == []


def test_debug_shows_the_traceback_behind_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "zoo: there is no model 'resnet21'; did you mean"
    _, errors = here(monkeypatch, capsys, "info", "resnet21")
    assert errors.startswith(line)
    for words in (("info", "resnet21", "--debug"), ("--debug", "info", "resnet21")):
        _, errors = here(monkeypatch, capsys, *words)
        assert errors.startswith("Traceback")
        assert errors.splitlines()[-1].startswith(line)
    monkeypatch.setenv("ZOO_DEBUG", "1")
    assert "registry.py" in here(monkeypatch, capsys, "info", "resnet21")[1]


def test_an_error_in_a_plugin_names_its_file_and_line(
    fake_plugin: Install, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site = fake_plugin("zoo-broken", {"broken_digits": "broken:a"}, "broken", "import math\n\nmath.sqrt(-1)\n")
    code, errors = here(monkeypatch, capsys, "info", "broken_digits")
    assert (code, errors.count("\n")) == (1, 1)
    assert f"can't be imported (ValueError: math domain error) at {site / 'broken.py'}:3; repair it" in errors
    (site / "broken.py").write_text("x = (\n")
    sys.modules.pop("broken", None)
    assert f" at {site / 'broken.py'}:1; repair it" in here(monkeypatch, capsys, "info", "broken_digits")[1]
