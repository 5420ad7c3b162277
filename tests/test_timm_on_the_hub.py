"""Repositories written by timm's `push_to_hf_hub`: loaded, fine-tuned, published and loaded again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import timm
import torch
from huggingface_hub import ModelCard
from PIL import Image
from timm.data import create_transform, resolve_model_data_config
from timm.models import push_to_hf_hub
from timm.models._hub import save_for_hf
from torch import nn

import zoo
from zoo import api, registry
from zoo.errors import FolderError, TrainingError, UnknownModel
from zoo.hub.resolve import published
from zoo.record import store
from zoo.record.types import Imported
from zoo.spec import Resizing

from .conftest import Run
from .images import flowers
from .loopback_hub import Account, Hub

LABELS = ("acorn", "beech", "chestnut")
SIDE = 96


def timms(**settings: Any) -> nn.Module:
    """A small net of timm with random weights, also in batch norm."""
    torch.manual_seed(0)
    net: nn.Module = timm.create_model("test_resnet", **{"num_classes": len(LABELS), **settings})
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            module.running_mean.normal_(std=0.2)  # type: ignore[union-attr, operator, unused-ignore]
    return net.eval()


def saved(folder: Path, net: nn.Module, changes: Mapping[str, object] = MappingProxyType({})) -> Path:
    """A folder saved by timm, with changes to its config.json."""
    labels = {"label_names": list(LABELS)}
    data = {"input_size": (3, SIDE, SIDE), "crop_pct": 0.9, "interpolation": "bicubic"}
    save_for_hf(net, str(folder), model_config=labels, data_config=data, safe_serialization=True)
    document = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**document, **changes}))
    return folder


@pytest.fixture
def repository(hub: Hub) -> str:
    """A repository that timm pushed to the Hub."""
    hub.accounts["hf_trees"] = Account("trees", "write")
    push_to_hf_hub(
        timms(),
        "trees/test_resnet",
        token="hf_trees",
        model_config={"label_names": list(LABELS)},
        model_card={"license": "cc-by-4.0"},
        data_config={"input_size": (3, SIDE, SIDE), "crop_pct": 0.9, "interpolation": "bicubic"},
        safe_serialization=True,
    )
    return "hf://trees/test_resnet"


def photograph(width: int, height: int) -> Image.Image:
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    sky = np.stack([200 * down, 90 + 60 * across, 220 - 90 * down], axis=-1)
    grain = np.random.default_rng(1).normal(0, 25, (height, width, 3))
    return Image.fromarray((sky + grain).clip(0, 255).astype(np.uint8))


def test_logits_and_preprocessing_match_timm(repository: str, tmp_path: Path) -> None:
    theirs, picture = timms(), photograph(320, 213)
    config = published(repository).config
    size = {"input_size": (3, SIDE, SIDE), "crop_pct": 0.9, "interpolation": "bicubic"}
    prepare = create_transform(**resolve_model_data_config(theirs, args=size))
    ours = zoo.load(repository, pretrained=True)
    with torch.inference_mode():
        expected, logits = theirs(prepare(picture)[None]), ours(zoo.transforms(repository)(picture)[None])
    assert torch.allclose(logits, expected, rtol=0, atol=1e-5)
    assert (config.classes, config.input_size) == (LABELS, (3, SIDE, SIDE))
    assert config.resizing == Resizing(0.9, "bicubic", "center")
    assert isinstance(config, Imported)
    assert config.source.by == "trees"
    guesses = theirs(prepare(picture)[None]).softmax(dim=1)[0]
    picture.save(tmp_path / "photograph.png")
    (seen,) = zoo.predict(repository, [tmp_path / "photograph.png"])
    assert seen.guesses[0].label == LABELS[int(guesses.argmax())]


def test_a_repository_of_timm_is_fine_tuned_published_and_reproduced(
    repository: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.repositories["trees/test_resnet"].commits[-1]
    model = api.train(
        "test_resnet",
        dataset="digits",
        start=repository,
        settings={"batch_size": "16", "crop_padding": "0", "warmup_epochs": "0", "warmup_lr": "0"},
        epochs=1,
        limit_train=32,
        amp=False,
        out=tmp_path / "out",
        push=True,
        hub="hf://me",
    )
    job = model.config.job
    assert job.start is not None
    assert job.start.address == f"hf://trees/test_resnet@{commit.oid}"
    assert job.start.sha256 == commit.files["model.safetensors"].sha256
    assert (model.config.name, model.config.architecture) == ("test_resnet_digits", "test_resnet")
    assert model.config.plugin_distribution == "zoo-timm"
    data = vars(ModelCard((model.folder / store.README).read_text()).data)
    assert (data["base_model"], data["base_model_relation"]) == ("trees/test_resnet", "finetune")
    net = zoo.load("hf://me/test_resnet_digits", pretrained=True)
    theirs, images = timm.create_model("hf-hub:me/test_resnet_digits", pretrained=True).eval(), torch.rand(2, 1, 8, 8)
    assert torch.equal(net(images), theirs(images))
    monkeypatch.setenv("ZOO_TRUST", "hf://trees")
    again, before = api.reproduce(model.folder, out=tmp_path / "again")
    assert again.config.weights == before.weights


def test_a_model_is_published_for_timm_too(hub: Hub, tmp_path: Path) -> None:
    data = flowers(tmp_path / "flowers", train=2, test=10)
    settings = {"img_size": "72", "batch_size": "6", "crop_padding": "0", "warmup_epochs": "0", "warmup_lr": "0"}
    model = api.train(
        "resnet18",
        dataset=f"folder:{data}",
        settings=settings,
        epochs=1,
        license="cc-by-4.0",
        amp=False,
        out=tmp_path / "out",
        push=True,
        hub="hf://me",
    )
    name = f"me/{model.config.name}"
    theirs = timm.create_model(f"hf-hub:{name}", pretrained=True).eval()
    images, picture = torch.rand(2, 3, 72, 72), photograph(120, 90)
    assert torch.equal(theirs(images), zoo.load(f"hf://{name}", pretrained=True)(images))
    assert theirs.pretrained_cfg["label_names"] == list(model.config.classes)
    prepare = create_transform(**resolve_model_data_config(theirs))
    assert torch.allclose(prepare(picture), zoo.transforms(f"hf://{name}")(picture), rtol=0, atol=0.05)
    assert timm.create_model(f"hf-hub:{name}", pretrained=True, num_classes=5)(images).shape == (2, 5)


def test_a_damaged_record_with_a_pretrained_cfg_is_not_read_as_a_repository_of_timm(model_folder: Path) -> None:
    path = model_folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "pretrained_cfg": {}}))
    with pytest.raises(FolderError, match=r"pretrained_cfg\.input_size is missing"):
        zoo.load(model_folder, pretrained=True)


def test_a_net_with_a_stem_for_small_images_is_not_published_for_timm(tmp_path: Path) -> None:
    settings = {"batch_size": "8", "warmup_epochs": "0", "warmup_lr": "0"}
    out = tmp_path / "out"
    model = api.train("resnet18", dataset="digits", settings=settings, epochs=1, limit_train=8, amp=False, out=out)
    assert "pretrained_cfg" not in json.loads((model.folder / "config.json").read_text())


def test_imagenet_classes_are_named_if_the_tag_says_imagenet(tmp_path: Path) -> None:
    net = timm.create_model("test_resnet.r160_in1k")
    folder = saved(tmp_path / "net", net, {"label_names": None})
    config = published(folder).config
    assert (config.dataset, len(config.classes), config.classes[281]) == ("imagenet-1k", 1000, "tabby, tabby cat")
    document = json.loads((folder / "config.json").read_text())
    document["pretrained_cfg"]["tag"] = "mine"
    (folder / "config.json").write_text(json.dumps(document))
    config = published(folder).config
    assert (config.dataset, config.classes[281]) == ("unnamed", "281")


def test_label_descriptions_are_used_as_class_names(tmp_path: Path) -> None:
    folder = saved(tmp_path / "net", timms(), {"label_descriptions": {"acorn": "the fruit of an oak"}})
    assert published(folder).config.classes == ("the fruit of an oak", "beech", "chestnut")


WRONG_CONFIGS: dict[str, tuple[dict[str, object], str]] = {
    "an unknown architecture": ({"architecture": "resnet9000"}, "timm has no architecture 'resnet9000'"),
    "an architecture of the Hub": ({"architecture": "hf-hub:somebody/resnet18"}, "timm has no architecture 'hf-hub:"),
    "an architecture of the zoo": ({"architecture": "resnet20_cifar10"}, "timm has no architecture"),
    "an argument that changes the net": ({"model_args": {"output_stride": 8}}, "it was made with output_stride '8'"),
    "a checkpoint path": ({"model_args": {"checkpoint_path": "/x"}}, "it was made with checkpoint_path"),
    "another pooling": ({"model_args": {"global_pool": "max"}}, "it was made with global_pool 'max'"),
    "too many classes": ({"num_classes": 10**12}, "num_classes should be from 1 to 100,000"),
    "a net larger than the file": ({"architecture": "resnet152"}, "and its net [0-9,]+ values"),
    "another class count": ({"num_classes": 4, "label_names": None, "model_args": {}}, "does not fit the architecture"),
    "labels out of range": ({"label_names": {"7": "oak"}}, "label_names should name the labels 0 to 2"),
    "an invalid mean": ({"pretrained_cfg": {"mean": "grey"}}, r"pretrained_cfg\.mean should be"),
}


@pytest.mark.parametrize("case", WRONG_CONFIGS)
def test_a_wrong_config_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    changes, why = WRONG_CONFIGS[case]
    with pytest.raises(FolderError, match=why) as error:
        zoo.load(saved(tmp_path / "net", timms(), changes), pretrained=True)
    assert "\n" not in str(error.value)


def test_architectures_of_timm_are_available_only_to_records_that_name_the_plugin() -> None:
    assert registry.recorded("test_resnet", "zoo-timm").name == "test_resnet"
    for name in ("resnet9000", "hf-hub"):
        with pytest.raises(UnknownModel):
            registry.recorded(name, "zoo-timm")
    with pytest.raises(UnknownModel):
        registry.architecture("test_resnet")


def test_starting_a_small_stem_from_weights_of_timm_is_refused(tmp_path: Path) -> None:
    start = saved(tmp_path / "net", timm.create_model("resnet18", num_classes=3))
    with pytest.raises(
        TrainingError, match=r"conv1\.weight is 64×3×7×7, but should be .* for images of \(1, 8, 8\)"
    ) as why:
        api.train("resnet18", dataset="digits", start=start, limit_train=8, out=tmp_path / "out")
    assert "\n" not in str(why.value)


def test_info_describes_a_repository_of_timm(run_here: Run, tmp_path: Path) -> None:
    finished = run_here("info", saved(tmp_path / "net", timms()))
    assert finished.returncode == 0, finished.stderr
    assert "unnamed, 3 classes (acorn, beech, chestnut), input (3, 96, 96)" in finished.stdout
    assert "center, crop_pct 0.9, bicubic" in finished.stdout
