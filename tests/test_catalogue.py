"""The model folders that ship with the package."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import zoo
from zoo import api, registry
from zoo.errors import HashMismatch
from zoo.hub.catalogue import catalogue
from zoo.hub.local import IDS
from zoo.record import store
from zoo.record.types import Imported, require_trained

from .folders import config_of

NAME = "resnet8_digits"
FOLDERS = [catalogue().path / model.name for model in catalogue().models()]
IMPORTED = [path for path in FOLDERS if isinstance(store.read_record(path), Imported)]
TRAINED = [path for path in FOLDERS if path not in IMPORTED]


@pytest.mark.parametrize("path", TRAINED, ids=lambda path: path.name)
def test_a_model_is_complete_and_can_be_loaded(path: Path) -> None:
    config, model = require_trained(store.check(path)), registry.load(path.name)
    assert not zoo.load(path.name, pretrained=True).training
    assert (config.name, config.parameters, config.classes) == (path.name, model.parameters, model.dataset.classes)
    assert config.job.recipe.sha256() == config.recipe_sha256
    assert config.job.train_images == model.dataset.train_images
    assert config.results.test_images == model.dataset.test_images


def test_the_catalogue_is_small() -> None:
    """Larger weights are downloaded from the address in their record."""
    sizes = [path.stat().st_size for path in catalogue().path.rglob("*.*")]
    assert max(sizes) <= 8_000_000
    assert sum(sizes) < 30_000_000


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The catalogue of an installed package."""
    ignored = shutil.ignore_patterns("resnet20*", ".revisions")
    inside = shutil.copytree(catalogue().path, tmp_path / "zoo" / "hub_cards", ignore=ignored)
    monkeypatch.setattr("zoo.hub.catalogue.__file__", str(tmp_path / "zoo" / "hub" / "catalogue.py"))
    return Path(inside)


@pytest.mark.parametrize("ids", [None, "[1]", "keep"])
def test_a_changed_model_of_an_installed_catalogue_is_refused(installed: Path, ids: str | None) -> None:
    assert api.find(NAME) == installed / NAME
    if ids == "keep":
        config_of(installed / NAME, license="mine")
    elif ids is None:
        (installed / IDS).unlink()
    else:
        (installed / IDS).write_text(ids)
    for call in (api.find, zoo.info, zoo.transforms, lambda name: zoo.load(name, pretrained=True)):
        with pytest.raises(HashMismatch, match=f"{NAME} was changed after the zoo was installed; install the zoo"):
            call(NAME)


@pytest.mark.parametrize("path", IMPORTED, ids=lambda path: path.name)
def test_imported_models_have_a_download_address_and_no_weights(path: Path) -> None:
    config = store.check(path)
    model = registry.load(f"{config.architecture}_{config.dataset}")
    assert (config.name, config.parameters, config.classes) == (path.name, model.parameters, model.dataset.classes)
    assert isinstance(config, Imported)
    assert config.download is not None
    assert config.download.address.startswith("https://")
    assert path.name.endswith(f".{config.source.by}")
    assert f"-{config.download.sha256[:8]}." in config.download.file
    assert not (path / store.WEIGHTS).exists()
