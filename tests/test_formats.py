"""Models in repositories of other libraries, which a plugin reads."""

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
from zoo.record import store, types
from zoo.record.types import Imported

from .conftest import Run
from .loopback_hub import File, Flip, Hub, Repository

READER = """
from zoo.decoding import SchemaError
from zoo.formats import Foreign, Format
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
    """Install a plugin that reads repositories of an imaginary library, acorn."""
    fake_plugin("zoo-acorn", {"acorn": "zoo_acorn:ACORN"}, "zoo_acorn", READER, group="zoo.formats")


def files(**config: object) -> dict[str, bytes]:
    """The files of an acorn repository: the catalogue's resnet8_digits, and a config.json with changed fields."""
    net = zoo.load("resnet8_digits", pretrained=True)
    return {
        "config.json": json.dumps({**ACORN, **config}).encode(),
        "model.safetensors": save(net.state_dict()),
        "README.md": b"---\nlicense: cc-by-4.0\n---\n# Acorn\n",
    }


def written(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path / "nut", files())


def in_hub(hub: Hub, files: dict[str, bytes]) -> str:
    repository = Repository("acorns/nut")
    repository.commit("add", {name: File(content, lfs=name.endswith("safetensors")) for name, content in files.items()})
    hub.repositories[repository.id] = repository
    return "hf://acorns/nut"


@pytest.mark.usefixtures("reader")
def test_a_folder_of_another_library_is_loaded_with_its_preprocessing(folder: Path) -> None:
    net, own = zoo.load(folder, pretrained=True), zoo.load("resnet8_digits", pretrained=True)
    assert all(torch.equal(tensor, own.state_dict()[name]) for name, tensor in net.state_dict().items())
    white = Image.fromarray(np.full((8, 24), 255, np.uint8))
    assert zoo.transforms(folder)(white).unique().tolist() == [2.0]
    config = published(folder).config
    assert isinstance(config, Imported)
    assert (config.license, config.dataset, config.source.by) == ("mit", "unnamed", "somebody")


@pytest.mark.usefixtures("reader")
def test_a_repository_on_the_hub_is_loaded_and_its_hash_checked(hub: Hub) -> None:
    address = in_hub(hub, content := files(license=""))
    config = published(address).config
    assert config.weights == types.File.of(content["model.safetensors"])
    assert hub.count("GET", r"safetensors") == 0  # the record needs no weights
    assert isinstance(config, Imported)
    assert config.download is not None
    commit = hub.repositories["acorns/nut"].commits[-1].oid
    assert config.download.address == f"hf://acorns/nut/model.safetensors@{commit}"
    assert (config.source.by, config.license) == ("acorns", "cc-by-4.0")  # the license of its card
    net = zoo.load(address, pretrained=True, num_classes=3)
    assert net(torch.zeros(1, 1, 8, 8)).shape == (1, 3)


@pytest.mark.usefixtures("reader")
def test_damaged_weights_are_fetched_again_and_then_refused(hub: Hub) -> None:
    address = in_hub(hub, files())
    hub.fail("GET", r"safetensors", Flip(), times=1)
    assert zoo.load(address, pretrained=True)
    Path(published(address).folder / store.WEIGHTS).resolve().write_bytes(b"other")
    hub.fail("GET", r"safetensors", Flip())
    with pytest.raises(HashMismatch, match="SHA-256"):
        zoo.load(address, pretrained=True)


@pytest.mark.usefixtures("reader")
def test_evaluation_needs_a_dataset_that_fits(folder: Path) -> None:
    with pytest.raises(DataError, match="that no installed plugin declares"):
        api.evaluate(folder)
    assert api.evaluate(folder, dataset="digits").results.test_images == 360
    with pytest.raises(DataError, match="but cifar10 has 10 classes"):
        api.evaluate(folder, dataset="cifar10")


@pytest.mark.usefixtures("reader")
def test_commands_for_model_folders_refuse_another_format(folder: Path, tmp_path: Path) -> None:
    calls: list[Callable[[], object]] = [
        lambda: api.push(folder, hub=f"file:{tmp_path / 'hub'}"),
        lambda: api.pull(str(folder), out=tmp_path / "pulled"),
        lambda: api.verify(folder),
        lambda: api.export(folder, to=["no such format"], out=tmp_path / "exported"),  # before anything else
    ]
    for call in calls:
        with pytest.raises(OtherFormat, match="is a repository of acorn, expected a model folder"):
            call()


INVALID: dict[str, tuple[dict[str, object], str]] = {
    "no classes": ({"labels": []}, "should have from 1 to 100,000 classes, not 0"),
    "too many classes": ({"labels": list(range(100_001))}, "should have from 1 to 100,000 classes"),
    "an image that is too large": ({"size": [1, 8, 100_000]}, "should have from 1 to 4,096 pixels a side"),
    "weights that are too small for the net": ({"labels": list(range(90_000))}, "and its net [0-9,]+ values"),
    "a class name with an escape sequence": ({"labels": ["\x1b[2J", *range(9)]}, r"classes\[0\] should be one line"),
    "two channels": ({"size": [2, 8, 8]}, "mean should have 2 numbers"),
}


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("fault", INVALID)
def test_an_invalid_config_is_refused(fault: str, tmp_path: Path) -> None:
    fields, why = INVALID[fault]
    with pytest.raises(FolderError, match=why):
        published(written(tmp_path / "nut", files(**fields)))


@pytest.mark.usefixtures("reader")
def test_missing_weights_of_a_repository_are_reported(hub: Hub, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(FolderError, match=r"has no model\.safetensors"):
        zoo.load(folder, pretrained=True)
    content = files()
    del content["model.safetensors"]
    with pytest.raises(NotFound, match=r"has no model\.safetensors"):
        zoo.load(in_hub(hub, content), pretrained=True)


@pytest.mark.usefixtures("reader")
def test_a_failing_reader_is_reported_with_its_plugin(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"plugin zoo-acorn fails \(RuntimeError: bang\)"):
        published(written(tmp_path / "nut", files(explode="bang")))
    assert zoo.load("resnet8_digits", pretrained=True)


def test_a_timm_repository_is_refused_with_the_name_of_the_plugin_to_install(run_zoo: Run, tmp_path: Path) -> None:
    config = {"architecture": "resnet18", "pretrained_cfg": {}}
    folder = written(tmp_path / "resnet18", {"config.json": json.dumps(config).encode()})
    words = ["predict", str(folder), str(tmp_path)]
    finished = run_zoo(*words, ZOO_DISABLE_PLUGINS="zoo-timm", PYTHONPATH=os.environ.get("PYTHONPATH", ""))
    assert finished.returncode == 1
    assert "which the plugin zoo-timm reads: pip install zoo-timm" in finished.stderr
    assert len(finished.stderr.splitlines()) == 1
