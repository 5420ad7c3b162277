from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.data import resolve_model_data_config
from torch import nn
from zoo_timm import models
from zoo_timm.registry import register
from zoo_timm.resnet import small_image_resnet

import zoo
from zoo.plugin import Model
from zoo.testing import check_model, check_training

MODELS = {name: value for name, value in vars(models).items() if isinstance(value, Model)}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_model_has_the_declared_parameters(name: str) -> None:
    model = MODELS[name]
    with torch.device("meta"):
        net = model.architecture.build(model.dataset.input_size, len(model.dataset.classes))
    assert sum(parameter.numel() for parameter in net.parameters()) == model.parameters


def test_resnet18_passes_the_check_and_learns() -> None:
    check_model(MODELS["resnet18_cifar10"])
    check_training(MODELS["resnet18_cifar10"], recipe="quick", images=24)


# Nets of more than a hundred layers take a second each. Their blocks are the same as in the shallower nets.
@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param(name, marks=[pytest.mark.slow] * bool(re.search(r"\d{3}", name)))
        for name in timm.list_models(module="resnet")
    ],
)
def test_every_resnet_of_timm_can_be_built_for_small_images(architecture: str) -> None:
    with torch.device("meta"):
        net = small_image_resnet(architecture, (3, 32, 32), 10).eval()
        assert net(torch.empty(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50d"])
def test_small_images_keep_their_size_in_the_stem(architecture: str) -> None:
    net = small_image_resnet(architecture, (3, 32, 32), 10)
    shapes: list[torch.Size] = []
    net.get_submodule("layer1").register_forward_hook(lambda *call: shapes.append(call[2].shape[2:]))
    net(torch.randn(2, 3, 32, 32))
    assert shapes == [torch.Size([32, 32])]


def test_for_large_images_the_net_is_timms() -> None:
    torch.manual_seed(0)
    ours = small_image_resnet("resnet18", (3, 224, 224), 10)
    torch.manual_seed(0)
    theirs = timm.create_model("resnet18", num_classes=10)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in ours.state_dict().items())


def test_the_stem_for_small_images_has_timms_initialization() -> None:
    torch.manual_seed(0)
    stem = small_image_resnet("resnet18", (3, 32, 32), 10).get_submodule("conv1")
    assert isinstance(stem, nn.Conv2d)
    assert stem.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.1)


def test_timm_creates_registered_models() -> None:
    names = register("resnet20_cifar10*")
    assert names == ["resnet20_cifar10", "resnet20_cifar100"]
    net = timm.create_model("resnet20_cifar10", pretrained=True)
    ours = zoo.load("resnet20_cifar10", pretrained=True)
    assert all(torch.equal(tensor, ours.state_dict()[name]) for name, tensor in net.state_dict().items())
    untrained = timm.create_model("resnet20_cifar100", num_classes=7, in_chans=1)
    assert untrained(torch.randn(2, 1, 32, 32)).shape == (2, 7)


def test_timm_has_the_image_size_and_normalization_of_registered_models() -> None:
    register("resnet20_cifar10")
    settings = resolve_model_data_config(timm.create_model("resnet20_cifar10", pretrained=True))
    config = zoo.info("resnet20_cifar10").config
    assert config is not None
    assert (settings["input_size"], settings["mean"], settings["std"]) == (
        config.input_size,
        config.mean,
        config.std,
    )


def test_the_code_in_the_readme_runs() -> None:
    text = (Path(__file__).parent.parent / "README.md").read_text()
    plugin, registry = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(plugin, names)
    model = names["resnet50d_cifar10"]
    with torch.device("meta"):
        net = model.architecture.build((3, 32, 32), 10)
    assert sum(parameter.numel() for parameter in net.parameters()) == model.parameters
    exec(registry, names)
    assert not names["model"].training
