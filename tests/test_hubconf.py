"""Entry points of torch.hub, in an environment where the zoo was never installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from zoo import api

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


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Another checkout, where torch.hub would have cloned it, whose catalogue has somebody else's weights too."""
    made = tmp_path / "torch" / "hub" / "someone_zoo_main"
    for folder in ("zoo", "plugins"):
        shutil.copytree(CHECKOUT / folder, made / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("hubconf.py", "pyproject.toml"):
        shutil.copy(CHECKOUT / file, made)
    own = made / "hub_cards" / "resnet8_digits"
    shutil.copytree(CHECKOUT / "hub_cards" / own.name, own)
    out = made / "hub_cards" / "resnet8_digits.somebody"
    api.import_model(own.name, own / "model.safetensors", by="Somebody", license="mit", out=out)
    return made


def test_torch_hub_lists_the_models_those_of_others_too_and_the_door_to_any_folder(
    bare_python: Path, tmp_path: Path, checkout: Path
) -> None:
    code = (
        "import torch; names = torch.hub.list('someone/zoo:main', skip_validation=True, trust_repo=True)\n"
        "import zoo; print(set(names) - set(zoo.list_models()), set(zoo.list_models()) - set(names))"
    )
    listed = run(bare_python, code, tmp_path)
    assert listed in ("{'load', 'resnet8_digits.somebody'} set()\n", "{'resnet8_digits.somebody', 'load'} set()\n")


def test_torch_hub_loads_somebody_elses_weights_by_their_tag(bare_python: Path, tmp_path: Path, checkout: Path) -> None:
    code = (
        f"import torch; model = torch.hub.load({str(checkout)!r}, 'resnet8_digits.somebody', source='local',"
        " pretrained=True)\nprint(type(model).__name__)"
    )
    assert run(bare_python, code, tmp_path) == "CifarResNet\n"


def test_the_checkout_is_on_the_path_once_however_often_it_is_asked(bare_python: Path, tmp_path: Path) -> None:
    code = (
        "import sys, torch\n"
        f"for _ in range(3): torch.hub.load({str(CHECKOUT)!r}, 'resnet8_digits', source='local')\n"
        f"print(sys.path.count({str(CHECKOUT)!r}))"
    )
    assert run(bare_python, code, tmp_path) == "1\n"


def test_a_second_checkout_in_one_process_is_refused_by_name(bare_python: Path, tmp_path: Path, checkout: Path) -> None:
    code = (
        f"import torch; torch.hub.load({str(CHECKOUT)!r}, 'resnet8_digits', source='local')\n"
        f"try: torch.hub.load({str(checkout)!r}, 'resnet8_digits', source='local')\n"
        "except ImportError as error: print(error)"
    )
    assert run(bare_python, code, tmp_path) == (
        f"this process runs the zoo of {CHECKOUT} already, and can't run that of {checkout} too; "
        "load that in another process\n"
    )


@pytest.mark.parametrize(
    ("library", "asked", "message"),
    [
        ("timm", "'resnet18_cifar10'", "resnet18 of zoo-timm 0.1.0 needs timm, which is not installed"),
        ("huggingface_hub", "'resnet8_digits', pretrained=True, hub='hf://me'", "hf://me needs huggingface_hub"),
    ],
)
def test_a_library_that_is_not_there_is_named_with_what_installs_it(
    bare_python: Path, tmp_path: Path, library: str, asked: str, message: str
) -> None:
    code = (
        f"import sys, torch; sys.modules[{library!r}] = None\n"  # as if it were not installed
        f"try: torch.hub.load({str(CHECKOUT)!r}, {asked}, source='local')\n"
        "except Exception as error: print(type(error).__module__, error)"
    )
    said = run(bare_python, code, tmp_path)
    assert said.startswith(f"zoo.errors {message}")
    assert f"install it with: pip install {library}" in said


def test_the_command_line_runs_from_the_plain_checkout(bare_python: Path, tmp_path: Path) -> None:
    finished = subprocess.run(
        [bare_python, "-m", "zoo", "train", "resnet8", "--epochs", "1", "--out", tmp_path / "model"],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
    )
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "model" / "config.json").is_file()
