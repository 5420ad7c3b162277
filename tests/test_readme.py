"""What the README says is run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import CHECKOUT

TEXT = (CHECKOUT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
FILES = {code.splitlines()[0].removeprefix("# "): code for kind, code in BLOCKS if code.startswith("# zoo-tiny/")}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the README's commands were run."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copyfile(CHECKOUT / "tests" / "photo.png", folder / "photo.png")
    for line in next(code for kind, code in BLOCKS if kind == "sh").splitlines():
        program, *words = shlex.split(line)
        assert program == "zoo"
        subprocess.run([sys.executable, "-m", "zoo", *words], check=True, cwd=folder)
    return folder


@pytest.mark.parametrize("code", [code for kind, code in BLOCKS if kind == "python" and code not in FILES.values()])
def test_its_python_runs(work: Path, code: str) -> None:
    subprocess.run([sys.executable, "-c", code.replace("PATH/TO/CHECKOUT", str(CHECKOUT))], check=True, cwd=work)


def test_what_is_generated_is_as_it_is_generated() -> None:
    """The README's table, and the cards of the catalogue."""
    script = str(CHECKOUT / "docs" / "generate.py")
    finished = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert finished.stdout == ""
    assert finished.returncode == 0, finished.stderr


def test_its_plugin_installs_trains_and_passes_the_zoos_check(tmp_path: Path) -> None:
    for name, code in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    assert len(FILES) == 3
    site = tmp_path / "site"
    pip = f"{sys.executable} -m pip --quiet --disable-pip-version-check install --no-deps --no-build-isolation"
    subprocess.run([*pip.split(), "--target", site, tmp_path / "zoo-tiny"], check=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    check = "from zoo_tiny import tiny_digits; from zoo.testing import check_model; check_model(tiny_digits)"
    subprocess.run([sys.executable, "-c", check], check=True, env=environment, cwd=tmp_path)
    command = [sys.executable, "-m", "zoo", "train", "tiny", "--push", "--hub", "file:hub"]
    output = subprocess.run(command, check=True, env=environment, cwd=tmp_path, capture_output=True, text=True).stdout
    assert float(re.search(r"tiny_digits: top-1 ([\d.]+)%", output)[1]) > 80  # type: ignore[index]


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (CHECKOUT / target).exists(), target


def test_its_make_commands_are_in_the_makefile() -> None:
    targets = re.findall(r"^(\w+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"^\$ make (\w+)", TEXT, re.MULTILINE)) <= set(targets)
