"""Commands import torch and other heavy libraries only when they compute."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.cli.app import COMMANDS

from .test_imports import HEAVY

# Runs command lines in one process; prints the exit code, stderr and imported modules of each as JSON.
RUN = """
import contextlib, io, json, sys
from zoo.cli.app import main
results = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["zoo", *words]
    out, errors, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    results.append([code, errors.getvalue(), sorted(sys.modules)])
print(json.dumps(results))
"""


def python(code: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *code], capture_output=True, text=True, env=environment)


def run(commands: list[str], environment: dict[str, str]) -> dict[str, tuple[int, str, set[str]]]:
    """Exit code, stderr, and the modules imported so far, by command."""
    finished = python(["-c", RUN, json.dumps([command.split() for command in commands])], environment)
    assert finished.returncode == 0, finished.stderr
    results = json.loads(finished.stdout)
    return {command: (code, err, set(names)) for command, (code, err, names) in zip(commands, results, strict=True)}


def imported_by(command: str) -> set[str]:
    """The modules that a command imports in a new process."""
    code, errors, modules = run([command], dict(os.environ))[command]
    assert code == 0, errors
    return modules


def test_listing_and_help_import_no_heavy_library(poisoned: dict[str, str]) -> None:
    commands = ["list", "list --json", "info resnet20 --no-layers", "--help", "train --help"]
    for command, (code, errors, _) in run(commands, poisoned).items():
        assert code == 0, f"zoo {command}: {errors}"
    script = """
import zoo, zoo.spec, zoo.datasets, zoo_resnet_cifar.models
zoo.list_models(dataset="cifar100", pretrained=False)
zoo.info("resnet8")
zoo.Recipe(epochs=1)
dir(zoo)
"""
    assert python(["-c", script], poisoned).returncode == 0
    assert "torch was imported" in python(["-c", "import torch"], poisoned).stderr


@pytest.mark.parametrize(
    ("command", "files"),
    [("--help", ["app"]), ("list", ["models"]), ("train --help", ["train"]), ("push --help", ["hub"])],
)
def test_a_command_imports_its_own_file_and_no_heavy_library(command: str, files: list[str]) -> None:
    imported = imported_by(command)
    commands = {f"zoo.cli.{entry.partition(':')[0]}" for entry, _ in COMMANDS.values()}
    assert imported & (commands | {"zoo.cli.app"}) == {"zoo.cli.app", *(f"zoo.cli.{file}" for file in files)}
    assert not imported & {*HEAVY, "rich"}
    assert command != "list" or "zoo.api" not in imported


def test_an_evaluation_does_not_import_torchvision() -> None:
    assert not imported_by("eval resnet8_digits") & {"torchvision", "torch._dynamo", "torch._inductor"}


def test_loading_weights_needs_torch_and_safetensors_only(tmp_path: Path) -> None:
    for module in ("torchvision", "huggingface_hub", "matplotlib", "sklearn", "rich", "typer"):
        (tmp_path / f"{module}.py").write_text(f"raise RuntimeError('{module} was imported')\n")
    code = "import zoo; zoo.load('resnet8_digits', pretrained=True)"
    finished = python(["-c", code], {**os.environ, "PYTHONPATH": str(tmp_path)})
    assert finished.returncode == 0, finished.stderr
