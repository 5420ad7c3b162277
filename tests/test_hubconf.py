"""torch.hub's door, in an environment where the zoo was never installed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from .conftest import CHECKOUT


def run(python: Path, code: str, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["TORCH_HOME"] = str(cwd / "torch")
    finished = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=cwd, env=environment)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_the_zoo_is_really_not_installed_there(bare_python: Path, tmp_path: Path) -> None:
    code = "from importlib.util import find_spec as f; print(f('zoo'), f('zoo_resnet_cifar'), f('torch') is None)"
    assert run(bare_python, code, tmp_path) == "None None False\n"


@pytest.mark.parametrize("name", ["resnet8_digits", "resnet20_cifar10"])
def test_torch_hub_loads_pretrained_weights_from_the_checkout(bare_python: Path, tmp_path: Path, name: str) -> None:
    code = (
        f"import torch; model = torch.hub.load({str(CHECKOUT)!r}, {name!r}, source='local', pretrained=True)\n"
        "print(type(model).__name__, model.training)"
    )
    assert run(bare_python, code, tmp_path) == "CifarResNet False\n"


def test_every_model_is_a_callable_of_hubconf_that_says_what_it_is(bare_python: Path, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); import hubconf, zoo\n"
        "print(all(callable(getattr(hubconf, name)) for name in zoo.list_models()), hubconf.plain20_cifar10.__doc__)"
    )
    assert run(bare_python, code, tmp_path).startswith("True The model plain20_cifar10")


def test_torch_hub_takes_a_folder_hub(bare_python: Path, tmp_path: Path, trained: Path) -> None:
    code = (
        f"import torch; model = torch.hub.load({str(CHECKOUT)!r}, 'resnet8_digits', source='local', pretrained=True,"
        f" hub='file:{trained.parent}')\nprint(model.fc.weight.shape)"
    )
    assert run(bare_python, code, tmp_path) == "torch.Size([10, 64])\n"


def test_the_command_line_runs_from_the_plain_checkout(bare_python: Path, tmp_path: Path) -> None:
    finished = subprocess.run(
        [bare_python, "-m", "zoo", "train", "resnet8", "--epochs", "1", "--out", tmp_path / "model"],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
    )
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "model" / "config.json").is_file()
