"""Nobody pays for torch who doesn't use it: proved with a torch that can't be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.cli.app import COMMANDS

from .test_imports import HEAVY


def python(code: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *code], capture_output=True, text=True, env=environment)


def test_the_poison_works(poisoned: dict[str, str]) -> None:
    assert "torch was imported" in python(["-c", "import torch"], poisoned).stderr


@pytest.mark.parametrize(
    "code",
    [
        ["-m", "zoo", "list"],
        ["-m", "zoo", "list", "--json"],
        ["-m", "zoo", "info", "resnet20", "--no-layers"],
        ["-m", "zoo", "--help"],
        ["-m", "zoo", "train", "--help"],
        ["-c", "import zoo; zoo.list_models(dataset='cifar100', pretrained=False); zoo.info('resnet8')"],
        ["-c", "import zoo, zoo.spec, zoo.datasets; zoo.Recipe(epochs=1); dir(zoo)"],
        ["-c", "import zoo_resnet_cifar.models"],
    ],
    ids=lambda code: " ".join(code)[:40],
)
def test_looking_around_loads_no_torch(poisoned: dict[str, str], code: list[str]) -> None:
    finished = python(code, poisoned)
    assert finished.returncode == 0, finished.stderr


def imported_by(*words: str) -> set[str]:
    """The modules that a command leaves imported."""
    code = f"""
import atexit, sys
from zoo.cli.app import main
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
sys.argv = ["zoo", *{words}]
main()
"""
    finished = python(["-c", code], dict(os.environ))
    assert finished.returncode == 0, finished.stderr
    return set(finished.stderr.split())


@pytest.mark.parametrize(
    ("words", "file"),
    [(["list"], "models"), (["train", "--help"], "train"), (["push", "--help"], "hub"), (["plot", "--help"], "plot")],
)
def test_a_command_imports_its_own_file_no_other_commands_and_no_heavy_library(words: list[str], file: str) -> None:
    imported = imported_by(*words)
    files = {f"zoo.cli.{place.partition(':')[0]}" for place, _ in COMMANDS.values()}
    assert imported & files == {f"zoo.cli.{file}"}
    assert not imported & {*HEAVY, "rich"}


def test_a_listing_imports_neither_the_door_nor_what_reads_model_folders() -> None:
    assert not imported_by("list") & {"zoo.api", "zoo.record.types", "zoo.record.store"}


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_what_is_asked_of_the_program_itself_imports_no_command(words: list[str]) -> None:
    imported = imported_by(*words)
    assert {name for name in imported if name.startswith("zoo.cli.")} == {"zoo.cli.app"}
    assert not imported & {*HEAVY, "rich", "zoo.api"}


def test_an_evaluation_pays_for_torch_and_not_for_torchvision() -> None:
    assert not imported_by("eval", "resnet8_digits") & {"torchvision", "torch._dynamo", "torch._inductor"}


def test_loading_weights_needs_torch_and_safetensors_only(tmp_path: Path) -> None:
    for module in ("torchvision", "huggingface_hub", "matplotlib", "sklearn", "rich", "typer"):
        (tmp_path / f"{module}.py").write_text(f"raise RuntimeError('{module} was imported')\n")
    code = "import zoo; zoo.load('resnet8_digits', pretrained=True)"
    finished = python(["-c", code], {**os.environ, "PYTHONPATH": str(tmp_path)})
    assert finished.returncode == 0, finished.stderr


def test_a_plugin_whose_models_are_not_asked_for_is_not_imported(tmp_path: Path) -> None:
    info = tmp_path / "zoo_other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[zoo.models]\nother_digits = zoo_other:other_digits\n")
    (tmp_path / "zoo_other.py").write_text("raise RuntimeError('zoo_other was imported')\n")
    finished = python(["-m", "zoo", "list", "resnet8*"], {**os.environ, "PYTHONPATH": str(tmp_path)})
    assert finished.returncode == 0
    assert "zoo_other" not in finished.stderr
