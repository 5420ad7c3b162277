"""Models in other libraries' repositories: found, bounded, loaded strictly, and one line for what can't be."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

import zoo
from zoo import api
from zoo.errors import DataError, FolderError, HashMismatch, NotFound, OtherFormat, PluginError
from zoo.hub.resolve import published
from zoo.record import store
from zoo.record.types import Imported

from .conftest import Run
from .loopback_hub import File, Flip, Hub, Repository

READER = """
from zoo.formats import Foreign, Format, SchemaError
from zoo.spec import Resizing
from zoo_resnet_cifar.models import resnet8_digits

def read(document):
    if "explode" in document:
        raise RuntimeError(document["explode"])
    return Foreign(
        architecture=resnet8_digits.architecture,
        classes=tuple(map(str, document["labels"])),
        input_size=tuple(document.get("size", (1, 8, 8))),
        mean=(0.5,),
        std=(0.25,),
        resizing=Resizing(crop_mode="center"),
        license=document.get("license", ""),
    )

ACORN = Format(name="acorn", recognises=lambda document: "acorn" in document, read=read)
"""
ACORN = {"acorn": 1, "labels": list(range(10)), "license": "mit"}
Install = Callable[..., Path]


@pytest.fixture
def reader(fake_plugin: Install) -> None:
    """The plugin that reads the repositories of a library called acorn."""
    fake_plugin("zoo-acorn", {"acorn": "zoo_acorn:ACORN"}, "zoo_acorn", READER, group="zoo.formats")


def files(**said: object) -> dict[str, bytes]:
    """A repository of acorn's: the catalogue's resnet8_digits, and what its config.json says."""
    net = zoo.load("resnet8_digits", pretrained=True)
    return {
        "config.json": json.dumps({**ACORN, **said}).encode(),
        "model.safetensors": save(net.state_dict()),
        "README.md": b"---\nlicense: cc-by-4.0\n---\n# Acorn\n",
    }


def written(folder: Path, content: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, one in content.items():
        (folder / name).write_bytes(one)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path / "nut", files())


def in_hub(hub: Hub, content: dict[str, bytes]) -> str:
    repository = Repository("acorns/nut")
    repository.commit("add", {name: File(one, lfs=name.endswith("safetensors")) for name, one in content.items()})
    hub.repositories[repository.id] = repository
    return "hf://acorns/nut"


@pytest.mark.usefixtures("reader")
def test_a_folder_of_another_librarys_is_loaded_and_prepares_pictures_as_it_says(folder: Path) -> None:
    net, own = zoo.load(folder, pretrained=True), zoo.load("resnet8_digits", pretrained=True)
    assert all(torch.equal(tensor, own.state_dict()[name]) for name, tensor in net.state_dict().items())
    white = Image.fromarray(np.full((8, 24), 255, np.uint8))
    assert zoo.transforms(folder)(white).unique().tolist() == [2.0]
    config = published(folder).config
    assert isinstance(config, Imported)
    assert (config.license, config.dataset, config.source.by) == ("mit", "unnamed", "somebody")


@pytest.mark.usefixtures("reader")
def test_a_repository_on_the_hub_is_loaded_with_the_hash_that_the_hub_has(hub: Hub) -> None:
    address = in_hub(hub, content := files(license=""))
    config = published(address).config
    assert config.weights == store.file_facts(content["model.safetensors"])
    assert hub.count("GET", r"safetensors") == 0  # facts cost no weights
    assert isinstance(config, Imported)
    assert config.download is not None
    commit = hub.repositories["acorns/nut"].commits[-1].oid
    assert config.download.address == f"hf://acorns/nut/model.safetensors@{commit}"
    assert (config.source.by, config.license) == ("acorns", "cc-by-4.0")  # as its card says, where it itself does not
    net = zoo.load(address, pretrained=True, num_classes=3)
    assert net(torch.zeros(1, 1, 8, 8)).shape == (1, 3)


@pytest.mark.usefixtures("reader")
def test_weights_that_were_damaged_on_the_way_are_fetched_again_and_then_refused(hub: Hub) -> None:
    address = in_hub(hub, files())
    hub.fail("GET", r"safetensors", Flip(), times=1)
    assert zoo.load(address, pretrained=True)
    Path(published(address).folder / store.WEIGHTS).resolve().write_bytes(b"other")
    hub.fail("GET", r"safetensors", Flip())
    with pytest.raises(HashMismatch, match="SHA-256"):
        zoo.load(address, pretrained=True)


@pytest.mark.usefixtures("reader")
def test_it_is_evaluated_on_a_data_set_that_fits_it_and_on_no_other(folder: Path) -> None:
    with pytest.raises(DataError, match="that no installed plugin declares"):
        api.evaluate(folder)
    assert api.evaluate(folder, dataset="digits").results.test_images == 360
    with pytest.raises(DataError, match="but cifar10 has 10 classes"):
        api.evaluate(folder, dataset="cifar10")


@pytest.mark.usefixtures("reader")
def test_commands_for_model_folders_refuse_it_in_one_line(folder: Path, tmp_path: Path) -> None:
    asked: list[Callable[[], object]] = [
        lambda: api.push(folder, hub=f"file:{tmp_path / 'hub'}"),
        lambda: api.pull(str(folder), out=tmp_path / "pulled"),
        lambda: api.verify(folder),
        lambda: api.export(folder, to=["no such format"], out=tmp_path / "exported"),  # before anything else
    ]
    for ask in asked:
        with pytest.raises(OtherFormat, match="is a repository of acorn's and no model folder") as why:
            ask()
        assert "\n" not in str(why.value)


FALSE: dict[str, tuple[dict[str, object], str]] = {
    "no number of classes": ({"labels": []}, "should have from 1 to 100,000 classes, not 0"),
    "too many classes": ({"labels": list(range(100_001))}, "should have from 1 to 100,000 classes"),
    "an image as large as a field": ({"size": [1, 8, 100_000]}, "should have from 1 to 4,096 pixels a side"),
    "a net that the file is too small for": ({"labels": list(range(90_000))}, "and its net [0-9,]+ values"),
    "a name that draws": ({"labels": ["\x1b[2J", *range(9)]}, r"classes\[0\] should be one line"),
    "two channels": ({"size": [2, 8, 8]}, "mean should have 2 numbers"),
}


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("what", FALSE)
def test_its_config_is_checked_like_a_record(what: str, tmp_path: Path) -> None:
    said, why = FALSE[what]
    with pytest.raises(FolderError, match=why) as error:
        published(written(tmp_path / "nut", files(**said)))
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("reader")
def test_a_repository_without_weights_says_so(hub: Hub, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(FolderError, match=r"has no model\.safetensors"):
        zoo.load(folder, pretrained=True)
    content = files()
    del content["model.safetensors"]
    with pytest.raises(NotFound, match=r"has no model\.safetensors"):
        zoo.load(in_hub(hub, content), pretrained=True)


@pytest.mark.usefixtures("reader")
def test_a_reader_that_fails_is_named_and_hurts_nobody(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"plugin zoo-acorn fails \(RuntimeError: bang\)"):
        published(written(tmp_path / "nut", files(explode="bang")))
    assert zoo.load("resnet8_digits", pretrained=True)


def test_a_repository_of_timm_is_refused_with_the_name_of_its_plugin(run_zoo: Run, tmp_path: Path) -> None:
    said = {"architecture": "resnet18", "pretrained_cfg": {}}
    folder = written(tmp_path / "resnet18", {"config.json": json.dumps(said).encode()})
    words = ["predict", str(folder), str(tmp_path)]
    found = run_zoo(*words, ZOO_DISABLE_PLUGINS="zoo-timm", PYTHONPATH=os.environ.get("PYTHONPATH", ""))
    assert found.returncode == 1
    assert "which the plugin zoo-timm reads: pip install zoo-timm" in found.stderr
    assert len(found.stderr.splitlines()) == 1
