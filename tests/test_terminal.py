"""Faults of the shell, the terminal and the file system: one line, and no traceback."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import zoo
from zoo.errors import FolderError
from zoo.record.paths import cache

from .conftest import Run
from .images import draw

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


def test_a_closed_stdout_is_not_an_error() -> None:
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
@pytest.mark.parametrize("out", [".", "/", ""])
def test_an_output_folder_that_cannot_be_created_is_one_line(
    tmp_path: Path, run_here: Run, command: str, out: str
) -> None:
    finished = run_here(*OUT[command].replace("FILE", str(WEIGHTS)).split(), "--out", out)
    assert (finished.returncode, finished.stderr.count("\n")) == (1, 1), finished.stderr
    assert re.search("name a|(new|another) folder", finished.stderr)
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("command", OUT)
def test_an_output_inside_a_file_is_one_line(tmp_path: Path, run_here: Run, command: str) -> None:
    (tmp_path / "file").touch()  # not even root can make a folder inside a file
    finished = run_here(*OUT[command].replace("FILE", str(WEIGHTS)).split(), "--out", "../file/sub/out.svg")
    assert finished.returncode == 1
    assert finished.stderr.splitlines()[-1].startswith("zoo: "), finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize(
    "line",
    [
        "eval ~/m --weights=~/m/model.safetensors",
        "predict ~/m ~/photo.png",
        "verify ~/m",
        "plot ~/m --out=~/plot.svg",
        "push ~/m --hub=file:~/hub",
        "data folder:~/pictures --test-part 0.5",
        "pull resnet8_digits --out=~/pulled",
        "new plugin mine --out=~/mine",
        "eval resnet8_digits --report --out=~/report",
    ],
)
def test_a_tilde_in_a_path_is_the_home_folder(tmp_path: Path, run_here: Run, line: str) -> None:
    home = tmp_path / "home"
    shutil.copytree(WEIGHTS.parent, home / "m")
    shutil.copy(Path(__file__).parent / "photo.png", home)
    draw(home / "pictures", 4)
    finished = run_here(*line.split(), HOME=str(home))
    assert finished.returncode == 0, finished.stderr
    assert list((tmp_path / "work").iterdir()) == []


def test_debug_shows_the_traceback_behind_an_error(run_here: Run) -> None:
    line = "zoo: there is no model 'resnet21'; did you mean"
    assert run_here("info", "resnet21").stderr.startswith(line)
    for words in (("info", "resnet21", "--debug"), ("--debug", "info", "resnet21")):
        errors = run_here(*words).stderr
        assert errors.startswith("Traceback")
        assert errors.splitlines()[-1].startswith(line)
    assert "registry.py" in run_here("info", "resnet21", ZOO_DEBUG="1").stderr


def test_an_error_in_a_plugin_names_its_file_and_line(fake_plugin: Install, run_here: Run) -> None:
    site = fake_plugin("zoo-broken", {"broken_digits": "broken:a"}, "broken", "import math\n\nmath.sqrt(-1)\n")
    finished = run_here("info", "broken_digits")
    assert (finished.returncode, finished.stderr.count("\n")) == (1, 1)
    expected = f"can't be imported (ValueError: math domain error) at {site / 'broken.py'}:3; repair it"
    assert expected in finished.stderr
    (site / "broken.py").write_text("x = (\n")
    sys.modules.pop("broken", None)
    assert f" at {site / 'broken.py'}:1; repair it" in run_here("info", "broken_digits").stderr
