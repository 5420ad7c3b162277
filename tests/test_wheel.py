"""The wheels, installed into a fresh environment without the checkout."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from zoo_resnet_cifar import models

from .conftest import CHECKOUT, make_bare_python


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheels of the zoo and its plugin."""
    folder = tmp_path_factory.mktemp("wheels")
    # setuptools leaves build folders in its source, so it gets a copy.
    ignored = shutil.ignore_patterns(".git", ".venv", "*.egg-info", "build", "runs", "demo", ".*_cache", ".revisions")
    source = Path(shutil.copytree(CHECKOUT, folder / "source", ignore=ignored))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    projects = [source, source / "plugins" / "zoo-resnet-cifar"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder / "dist", *projects], check=True
    )
    python = make_bare_python(folder / "environment")
    wheels = sorted((folder / "dist").glob("*.whl"))
    assert len(wheels) == 2
    subprocess.run([*pip, "--python", python, "install", "--no-deps", "--no-index", *wheels], check=True)
    shutil.rmtree(source)
    return python


def zoo(python: Path, *words: str, cwd: Path) -> str:
    finished = subprocess.run([python.parent / "zoo", *words], capture_output=True, text=True, cwd=cwd)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_the_wheel_has_the_catalogue_with_its_ids(installed: Path, tmp_path: Path) -> None:
    code = """
import zoo
from zoo.hub.catalogue import catalogue
hub = catalogue()
print(zoo.__file__, zoo.load("resnet8_digits", pretrained=True).training)
print({model.name: hub.resolve(model.name).id for model in hub.models()} == hub._ids, len(hub._ids))
"""
    done = subprocess.run([installed, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    loaded, ids = done.stdout.splitlines()
    assert loaded.endswith("site-packages/zoo/__init__.py False")
    assert str(installed.parent.parent) in loaded
    assert ids == f"True {len(list((CHECKOUT / 'hub_cards').glob('*/config.json')))}"


def test_the_command_of_the_wheel_trains_and_writes_its_version_on_the_card(installed: Path, tmp_path: Path) -> None:
    assert "catalogue" in zoo(installed, "list", "resnet8*", cwd=tmp_path)
    zoo(installed, "train", "resnet8", "--epochs", "1", "--limit-train", "64", "--out", "model", cwd=tmp_path)
    assert "zoo 0.1.0, zoo-resnet-cifar 0.1.0." in (tmp_path / "model" / "README.md").read_text()


def test_the_wheel_has_the_templates_of_plugins_and_pages(installed: Path, tmp_path: Path) -> None:
    zoo(installed, "new", "plugin", "mine", "--dataset", "petals", cwd=tmp_path)
    assert (tmp_path / "zoo-mine" / "zoo_mine_data.py").is_file()
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
