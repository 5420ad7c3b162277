"""Completion in a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from zoo import registry
from zoo.cli.app import app
from zoo.spec import Recipe

from .conftest import CHECKOUT, write_plugin

Complete = Callable[[str], list[str]]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program `zoo`, as pip installs it."""
    path = tmp_path / "bin" / "zoo"
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\nfrom zoo.cli.app import main\nmain()\n")
    path.chmod(0o755)
    return path


def protocol(line: str) -> dict[str, str]:
    """The environment in which bash requests completions of the last word of a line."""
    return {"_ZOO_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}


def complete(line: str) -> list[str]:
    """The completions of the last word of a line."""
    finished = CliRunner().invoke(app, [], env=protocol(line), prog_name="zoo")
    assert finished.exit_code == 0
    return finished.stdout.split()


@pytest.fixture
def complete_without_torch(program: Path, poisoned: dict[str, str]) -> Complete:
    """`complete` in a process that can't import heavy libraries and prints nothing else."""

    def completions(line: str) -> list[str]:
        path = f"{poisoned['PYTHONPATH']}{os.pathsep}{CHECKOUT}"
        environment = {**poisoned, **protocol(line), "PYTHONPATH": path}
        finished = subprocess.run([sys.executable, program], capture_output=True, text=True, env=environment)
        assert (finished.returncode, finished.stderr) == (0, "")
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
        ("zoo eval resnet8", ["resnet8_digits"]),
        ("zoo verify resnet20 resnet8", ["resnet8_digits"]),
        ("zoo compare resnet20 resnet8 --recipe ", ["quick", "finetune", "linear"]),
        ("zoo train resnet8 --recipe ", ["quick", "finetune", "linear"]),
        ("zoo train --recipe q resnet8_d", ["resnet8_digits"]),
        ("zoo train resnet20 --set momentum=0.8 --set warmup_", ["warmup_epochs=", "warmup_lr=", "warmup_mode="]),
        ("zoo train resnet20 --dataset ", ["cifar10", "cifar100", "digits", "folder:", "torchvision:", "hf-datasets:"]),
        ("zoo list --dataset d", ["digits"]),
        ("zoo eval resnet8 --device ", ["cpu", "cuda", "mps", "xpu"]),
    ],
)
def test_a_word_is_completed(line: str, expected: list[str]) -> None:
    assert complete(line) == expected


@pytest.mark.parametrize("line", ["zoo train resnet20 --recipe ", "zoo train resnet20 --dataset digits --recipe "])
def test_recipes_of_the_model_on_the_line_are_offered(line: str) -> None:
    assert complete(line) == list(registry.load("resnet20_cifar10").recipes)


def test_every_field_of_a_recipe_is_offered() -> None:
    assert complete("zoo train resnet8 --set ") == [f"{field.name}=" for field in msgspec.structs.fields(Recipe)]


@pytest.mark.parametrize("line", ["zoo train nothing --recipe ", "zoo train resnet8 --epochs many --seed ", "zoo no x"])
def test_an_unknown_word_has_no_completions(line: str) -> None:
    assert complete(line) == []


@pytest.mark.parametrize("line", ["zoo eval resnet8", "zoo train resnet8 --recipe ", "zoo list --dataset d"])
def test_completion_imports_no_heavy_library(complete_without_torch: Complete, line: str) -> None:
    assert complete_without_torch(line) == complete(line) != []


@pytest.mark.parametrize("code", ["print('here I am')", "raise SystemExit(3)", "import torch"])
def test_a_failing_plugin_prints_nothing(complete_without_torch: Complete, poisoned: dict[str, str], code: str) -> None:
    site = Path(poisoned["PYTHONPATH"])
    write_plugin(site, "zoo-bad", {"bad_digits": "zoo_bad:bad_digits"})
    (site / "zoo_bad.py").write_text(f"{code}\n")
    assert complete_without_torch("zoo train bad_digits --recipe ") == []
    assert complete_without_torch("zoo train bad_") == ["bad_digits"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_is_installed_and_works_in_bash(program: Path, tmp_path: Path) -> None:
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
