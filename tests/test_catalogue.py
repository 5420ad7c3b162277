"""The model folders that ship with the package."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import zoo
from zoo import api, registry
from zoo.errors import HashMismatch, HubWarning
from zoo.folder import store
from zoo.hub.catalogue import catalogue, shipped
from zoo.hub.local import IDS

from .folders import config_of

NAME = "resnet8_digits"
FOLDERS = [catalogue().path / one.name for one in catalogue().models()]
OTHERS = [path for path in FOLDERS if store.read_config(path).origin is not None]
OWN = [path for path in FOLDERS if path not in OTHERS]


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_a_folder_is_whole_and_its_model_can_be_loaded(path: Path) -> None:
    config = store.check(path)
    assert config.name == path.name
    assert not zoo.load(path.name, pretrained=True).training


def test_no_file_is_too_large_for_a_package_and_its_history() -> None:
    sizes = {f"{path.parent.name}/{path.name}": path.stat().st_size for path in catalogue().path.rglob("*.*")}
    assert {name: size for name, size in sizes.items() if size > 8_000_000} == {}


def test_its_accuracies_alone_are_those_of_its_folders() -> None:
    listed = {one.name: (one.test_top1, one.license) for one in catalogue().models()}
    assert {name: (one.test_top1, one.license) for name, one in shipped().items()} == listed


def test_a_folder_that_has_no_accuracy_is_passed_over_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (
        ("resnet8_digits", '{"results": 3}'),
        ("resnet20_cifar10", '{"results": {"test_top1": 92.0}, "license": "mit"}'),
    ):
        (tmp_path / "hub_cards" / name).mkdir(parents=True)
        (tmp_path / "hub_cards" / name / "config.json").write_text(text)
    monkeypatch.setattr("zoo.hub.catalogue.__file__", str(tmp_path / "hub" / "catalogue.py"))
    with pytest.warns(HubWarning, match=r"resnet8_digits/config\.json is not a model's"):
        assert {name: one.test_top1 for name, one in shipped().items()} == {"resnet20_cifar10": 92.0}


def test_its_ids_are_those_of_its_folders() -> None:
    """Written by docs/generate.py."""
    assert json.loads((catalogue().path / IDS).read_text()) == {path.name: store.identity(path) for path in FOLDERS}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The catalogue as it is in an installed package."""
    ignored = shutil.ignore_patterns("resnet20*", ".revisions")
    inside = shutil.copytree(catalogue().path, tmp_path / "zoo" / "hub_cards", ignore=ignored)
    monkeypatch.setattr("zoo.hub.catalogue.__file__", str(tmp_path / "zoo" / "hub" / "catalogue.py"))
    return Path(inside)


def test_installed_it_gives_the_models_that_it_came_with(installed: Path) -> None:
    assert api.find(NAME) == installed / NAME


@pytest.mark.parametrize("ids", [None, "", "[1]", "{}", "keep"])
def test_installed_it_gives_no_other(installed: Path, ids: str | None) -> None:
    if ids == "keep":
        config_of(installed / NAME, license="mine")
    elif ids is None:
        (installed / IDS).unlink()
    else:
        (installed / IDS).write_text(ids)
    for ask in (api.find, zoo.info, zoo.transforms, lambda name: zoo.load(name, pretrained=True)):
        with pytest.raises(HashMismatch, match=f"{NAME} is not the model that came with this zoo; install the zoo"):
            ask(NAME)


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.name)
def test_other_peoples_weights_are_named_and_not_shipped(path: Path) -> None:
    config = store.check(path)
    model = registry.load(f"{config.architecture}_{config.dataset}")
    assert (config.name, config.parameters, config.classes) == (path.name, model.parameters, model.dataset.classes)
    origin = config.origin
    assert origin is not None
    assert origin.address.startswith("https://")
    assert path.name.endswith(f".{origin.by}")
    assert f"-{origin.sha256[:8]}." in origin.file
    assert not (path / store.WEIGHTS).exists()


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_its_facts_are_the_plugins_and_its_recipe_can_be_read_back(path: Path) -> None:
    config, model = store.read_config(path), registry.load(path.name)
    assert config.parameters == model.parameters
    assert config.classes == model.dataset.classes
    assert config.own.job.recipe.sha256() == config.recipe_sha256
    assert config.own.job.train_images == model.dataset.train_images
    assert config.own.results.test_images == model.dataset.test_images


def test_it_is_small_enough_for_a_wheel() -> None:
    sizes = [file.stat().st_size for path in FOLDERS for file in path.iterdir()]
    assert max(sizes) < 8e6
    assert sum(sizes) < 30e6
