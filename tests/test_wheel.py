"""The wheels, installed into a fresh environment and run outside the checkout.

The environment links torch and the other dependencies of this one, which saves their installation.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from zoo_resnet_cifar import models

from .conftest import CHECKOUT, make_bare_python

PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def install(python: Path, *projects: Path) -> None:
    """Build the wheels of these projects, and install them into an environment."""
    wheels = python.parent / "wheels" / projects[0].name
    subprocess.run([*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, *projects], check=True)
    built = sorted(wheels.glob("*.whl"))
    assert len(built) == len(projects)
    subprocess.run([*PIP, "--python", python, "install", "--no-deps", "--no-index", *built], check=True)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheels of the zoo and its plugin."""
    folder = tmp_path_factory.mktemp("wheels")
    # setuptools leaves build folders in its source, so it gets a copy.
    ignored = shutil.ignore_patterns(".git", ".venv", "*.egg-info", "build", "runs", "demo", ".*_cache", ".revisions")
    source = Path(shutil.copytree(CHECKOUT, folder / "source", ignore=ignored))
    python = make_bare_python(folder / "environment")
    install(python, source, source / "plugins" / "zoo-resnet-cifar")
    shutil.rmtree(source)
    return python


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command in the folder `cwd`, with no path to the checkout; returns its output."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    finished = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def zoo(python: Path, *words: str, cwd: Path) -> str:
    return run(python.parent / "zoo", *words, cwd=cwd)


def test_the_first_snippet_of_the_readme_runs(installed: Path, tmp_path: Path) -> None:
    shutil.copy(CHECKOUT / "tests" / "photo.png", tmp_path)
    snippet = re.findall(r"```python\n(.*?)```", (CHECKOUT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[0]
    answer, path = run(installed, "-c", f"{snippet}\nprint(zoo.__file__)", cwd=tmp_path).splitlines()
    assert answer in models.resnet20_cifar10.dataset.classes
    assert installed.parent.parent in Path(path).parents


def test_torch_hub_runs_the_checkout_beside_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = f"""
import torch
net = torch.hub.load({str(CHECKOUT)!r}, "resnet8_digits", source="local", pretrained=True)
print(type(net).__name__, __import__("zoo").__file__)
"""
    assert run(installed, "-c", code, cwd=tmp_path).split() == ["CifarResNet", str(CHECKOUT / "zoo" / "__init__.py")]


def test_a_new_plugin_installs_from_its_own_wheel(installed: Path, tmp_path: Path) -> None:
    zoo(installed, "new", "plugin", "mine", cwd=tmp_path)
    install(installed, tmp_path / "zoo-mine")
    shutil.rmtree(tmp_path / "zoo-mine")
    assert "mine_digits" in zoo(installed, "list", "mine*", cwd=tmp_path)
    zoo(installed, "train", "mine_digits", "--epochs", "1", "--limit-train", "64", "--out", "model", cwd=tmp_path)
    assert "zoo 0.1.0, zoo-mine 0.1.0." in (tmp_path / "model" / "README.md").read_text()


def test_the_wheel_has_the_catalogue_with_its_ids(installed: Path, tmp_path: Path) -> None:
    code = """
from zoo.hub.catalogue import catalogue
hub = catalogue()
print({model.name: hub.resolve(model.name).id for model in hub.models()} == hub._ids, len(hub._ids))
"""
    models_on_disk = list((CHECKOUT / "hub_cards").glob("*/config.json"))
    assert run(installed, "-c", code, cwd=tmp_path) == f"True {len(models_on_disk)}\n"


def test_the_command_of_the_wheel_trains_and_writes_its_version_on_the_card(installed: Path, tmp_path: Path) -> None:
    assert "catalogue" in zoo(installed, "list", "resnet8*", cwd=tmp_path)
    zoo(installed, "train", "resnet8_digits", "--epochs", "1", "--limit-train", "64", "--out", "model", cwd=tmp_path)
    assert "zoo 0.1.0, zoo-resnet-cifar 0.1.0." in (tmp_path / "model" / "README.md").read_text()


def test_the_wheel_has_the_templates_of_plugins_and_pages(installed: Path, tmp_path: Path) -> None:
    zoo(installed, "new", "plugin", "petal", "--dataset", "petals", cwd=tmp_path)
    assert (tmp_path / "zoo-petal" / "zoo_petal_data.py").is_file()
    configs = [json.loads(path.read_text()) for path in (CHECKOUT / "hub_cards").glob("*/config.json")]
    installed_models = [
        config for config in configs if hasattr(models, f"{config['architecture']}_{config['dataset']}")
    ]
    assert zoo(installed, "page", cwd=tmp_path).startswith(f"{len(installed_models)} models in ")
    assert {"index.html", "site.css", "table.js", "pixels.js", "try.js"} <= {
        path.name for path in (tmp_path / "site").iterdir()
    }


def test_the_wheel_adds_its_options_to_pytest(installed: Path, tmp_path: Path) -> None:
    command = [str(installed), "-m", "pytest", "--zoo-plugin", "zoo-nowhere", str(tmp_path)]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert "no distribution zoo-nowhere that is installed here declares a model" in finished.stderr
