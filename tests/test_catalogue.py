"""The model folders that ship with the package."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import zoo
from zoo import api, registry
from zoo.errors import HashMismatch, HubWarning
from zoo.hub.catalogue import catalogue, shipped
from zoo.hub.local import IDS, FolderHub
from zoo.record import store
from zoo.record.types import Imported, require_trained

from .folders import config_of, without_weights
from .test_download import Answer, Site

NAME = "resnet8_digits"
FOLDERS = [catalogue().path / one.name for one in catalogue().models()]
OTHERS = [path for path in FOLDERS if isinstance(store.read_record(path), Imported)]
OWN = [path for path in FOLDERS if path not in OTHERS]


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_a_folder_is_whole_and_its_model_can_be_loaded(path: Path) -> None:
    config, model = require_trained(store.check(path)), registry.load(path.name)
    assert not zoo.load(path.name, pretrained=True).training
    assert (config.name, config.parameters, config.classes) == (path.name, model.parameters, model.dataset.classes)
    assert config.job.recipe.sha256() == config.recipe_sha256
    assert config.job.train_images == model.dataset.train_images
    assert config.results.test_images == model.dataset.test_images


def test_it_is_small_enough_for_a_package_and_its_history() -> None:
    """Larger weights are fetched from the address that their record names."""
    sizes = [path.stat().st_size for path in catalogue().path.rglob("*.*")]
    assert max(sizes) <= 8_000_000
    assert sum(sizes) < 30_000_000


def test_its_accuracies_alone_are_those_of_its_folders() -> None:
    listed = {one.name: (one.test_top1, one.license) for one in catalogue().models()}
    assert {name: (one.test_top1, one.license) for name, one in shipped().items()} == listed


def test_a_folder_without_an_accuracy_or_of_another_model_is_passed_over_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (
        ("resnet8_digits", '{"results": 3}'),
        ("resnet20_cifar10", '{"name": "resnet20_cifar10", "results": {"test_top1": 92.0}, "license": "mit"}'),
        ("resnet56_cifar10", '{"name": "resnet20_cifar10", "results": {"test_top1": 92.0}, "license": "mit"}'),
    ):
        (tmp_path / "hub_cards" / name).mkdir(parents=True)
        (tmp_path / "hub_cards" / name / "config.json").write_text(text)
    monkeypatch.setattr("zoo.hub.catalogue.__file__", str(tmp_path / "hub" / "catalogue.py"))
    with (
        pytest.warns(HubWarning, match=r"resnet8_digits/config\.json is not a model's"),
        pytest.warns(HubWarning, match=r"resnet56_cifar10/config\.json .*it is that of resnet20_cifar10"),
    ):
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


@pytest.mark.parametrize("ids", [None, "[1]", "keep"])
def test_an_installed_catalogue_gives_only_the_models_it_came_with(installed: Path, ids: str | None) -> None:
    assert api.find(NAME) == installed / NAME
    if ids == "keep":
        config_of(installed / NAME, license="mine")
    elif ids is None:
        (installed / IDS).unlink()
    else:
        (installed / IDS).write_text(ids)
    for ask in (api.find, zoo.info, zoo.transforms, lambda name: zoo.load(name, pretrained=True)):
        with pytest.raises(HashMismatch, match=f"{NAME} was changed after the zoo was installed; install the zoo"):
            ask(NAME)


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.name)
def test_other_peoples_weights_are_named_and_not_shipped(path: Path) -> None:
    config = store.check(path)
    model = registry.load(f"{config.architecture}_{config.dataset}")
    assert (config.name, config.parameters, config.classes) == (path.name, model.parameters, model.dataset.classes)
    assert isinstance(config, Imported)
    assert config.download is not None
    assert config.download.address.startswith("https://")
    assert path.name.endswith(f".{config.source.by}")
    assert f"-{config.download.sha256[:8]}." in config.download.file
    assert not (path / store.WEIGHTS).exists()


@pytest.fixture
def elsewhere(site: Site, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue with one model; its weights are only at an address."""
    folder = Path(shutil.copytree(trained, tmp_path / "catalogue" / NAME))
    site.answers = [Answer((folder / store.WEIGHTS).read_bytes())]
    without_weights(folder, f"{site}/model.safetensors")
    monkeypatch.setattr("zoo.hub.resolve.catalogue", lambda: FolderHub(tmp_path / "catalogue"))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def site() -> Iterator[Site]:
    with Site().running() as site:
        yield site


def test_weights_too_large_to_ship_are_fetched_once_from_where_the_record_says(elsewhere: Path, site: Site) -> None:
    store.check(elsewhere)
    for _ in range(2):
        assert not zoo.load(NAME, pretrained=True).training
    assert len(site.requests) == 1
