"""What a shell is told when somebody presses the tab key, asked as it asks, with a torch that can't be imported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from zoo import registry
from zoo.spec import Recipe

from .conftest import CHECKOUT

Complete = Callable[[str], list[str]]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program of the name zoo, as an installation leaves it."""
    path = tmp_path / "bin" / "zoo"
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\nfrom zoo.cli.app import main\nmain()\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def complete(program: Path, poisoned: dict[str, str]) -> Complete:
    """The words that bash is offered for the last word of a line; nothing else may be printed."""

    def completions(line: str) -> list[str]:
        protocol = {"_ZOO_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        path = f"{poisoned['PYTHONPATH']}{os.pathsep}{CHECKOUT}"
        environment = {**poisoned, **protocol, "PYTHONPATH": path}
        finished = subprocess.run([sys.executable, program], capture_output=True, text=True, env=environment)
        assert finished.returncode == 0, finished.stderr
        assert finished.stderr == ""
        return finished.stdout.split()

    return completions


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("zoo tr", ["train"]),
        ("zoo --version l", ["list"]),
        ("zoo train --se", ["--set", "--seed", "--seeds"]),
        ("zoo train resnet20_", ["resnet20_cifar10", "resnet20_cifar100"]),
        ("zoo list resnet8", ["resnet8_digits"]),
        ("zoo info resnet8", ["resnet8_digits"]),
        ("zoo eval resnet8", ["resnet8_digits"]),
        ("zoo pull resnet8", ["resnet8_digits"]),
        ("zoo verify resnet20 resnet8", ["resnet8_digits"]),
        ("zoo plot resnet20 resnet8", ["resnet8_digits"]),
        ("zoo compare resnet20 resnet8", ["resnet8_digits"]),
        ("zoo train resnet8 --recipe ", ["quick", "finetune", "linear"]),
        ("zoo train --recipe q resnet8_d", ["resnet8_digits"]),
        ("zoo train resnet20 --set momentum=0.8 --set warmup_", ["warmup_epochs=", "warmup_lr=", "warmup_mode="]),
        ("zoo train resnet20 --dataset ", ["cifar10", "cifar100", "digits", "folder:", "torchvision:"]),
        ("zoo train resnet20 --dataset f", ["folder:"]),
        ("zoo list --dataset d", ["digits"]),
        ("zoo eval resnet8 --device c", ["cpu", "cuda"]),
    ],
)
def test_a_word_is_completed(complete: Complete, line: str, expected: list[str]) -> None:
    assert complete(line) == expected


def test_every_model_is_offered(complete: Complete) -> None:
    assert complete("zoo train ") == list(registry.entries())


@pytest.mark.parametrize("line", ["zoo train resnet20 --recipe ", "zoo train resnet20 --dataset digits --recipe "])
def test_recipes_are_those_of_the_model_on_the_line(complete: Complete, line: str) -> None:
    assert complete(line) == list(registry.load("resnet20_cifar10").recipes)


def test_recipes_of_several_models_are_those_that_all_have(complete: Complete) -> None:
    assert complete("zoo compare resnet20 resnet8 --recipe ") == ["quick", "finetune", "linear"]


def test_every_field_of_a_recipe_is_offered(complete: Complete) -> None:
    assert complete("zoo train resnet8 --set ") == [f"{field.name}=" for field in msgspec.structs.fields(Recipe)]


@pytest.mark.parametrize(
    "line",
    ["zoo train nothing --recipe ", "zoo train --recipe ", "zoo train resnet8 --epochs many --seed ", "zoo no x"],
)
def test_where_nothing_can_be_said_nothing_is_said(complete: Complete, line: str) -> None:
    assert complete(line) == []


@pytest.mark.parametrize("code", ["print('here I am')", "1 / 0", "raise SystemExit(3)", "import torch"])
def test_a_bad_plugin_is_not_heard_of(complete: Complete, poisoned: dict[str, str], code: str) -> None:
    site = Path(poisoned["PYTHONPATH"])
    info = site / "zoo_bad-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-bad\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[zoo.models]\nbad_digits = zoo_bad:bad_digits\n")
    (site / "zoo_bad.py").write_text(f"{code}\n")
    assert complete("zoo train bad_digits --recipe ") == []
    assert complete("zoo train bad_") == ["bad_digits"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_is_taught_by_show_and_by_install(program: Path, tmp_path: Path) -> None:
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(CHECKOUT), "HOME": str(tmp_path)}
    script = """
        zoo --install-completion
        eval "$(zoo --show-completion)"
        COMP_WORDS=(zoo eval resnet8) COMP_CWORD=2
        _zoo_completion zoo
        echo "offered: ${COMPREPLY[*]}"
    """
    finished = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True)
    assert "bash completion installed in" in finished.stdout, finished.stderr
    assert "offered: resnet8_digits\n" in finished.stdout
    assert "zoo.sh" in (tmp_path / ".bashrc").read_text()
