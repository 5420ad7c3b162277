"""The zoo groups parameters into layers without timm; the groups must be those of timm."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zoo import registry
from zoo.spec import Recipe
from zoo.training import optimizer as optim
from zoo.training.optimizer import layers

timm, timms_optim = pytest.importorskip("timm"), pytest.importorskip("timm.optim")
RECIPE = Recipe(epochs=1, layer_decay=0.7)
OWN = ["resnet8_digits", "resnet20b_cifar10", "resnet18_cifar10"]
# One net for each form of pattern in timm.
THEIRS = ["convnext_atto", "vit_tiny_patch16_224", "efficientnet_b0", "densenet121", "regnetx_002"]


def net_of(name: str) -> nn.Module:
    with torch.device("meta"):
        if name in THEIRS:
            net: nn.Module = timm.create_model(name)
            return net
        model = registry.load(name)
        return model.architecture.build(input_size=model.dataset.input_size, num_classes=len(model.dataset.classes))


@pytest.mark.parametrize("name", OWN + THEIRS)
def test_layers_are_the_ones_that_timm_names(name: str) -> None:
    net = net_of(name)
    names = {parameter: name for name, parameter in net.named_parameters()}
    expected = timm.models.group_parameters(net, net.group_matcher(coarse=False))  # type: ignore[operator]
    assert [[names[parameter] for parameter in layer] for layer in layers(net)] == [
        expected[number] for number in sorted(expected)
    ]


@pytest.mark.parametrize("name", OWN + THEIRS)
def test_every_parameter_has_the_learning_rate_scale_of_timm(name: str) -> None:
    net = net_of(name)
    mine, theirs = (
        {parameter: group["lr_scale"] for group in groups for parameter in group["params"]}
        for groups in (
            optim.groups(RECIPE, net),
            timms_optim.param_groups_layer_decay(net, layer_decay=RECIPE.layer_decay),
        )
    )
    assert mine == pytest.approx(theirs)
    assert optim.scale(optim.groups(RECIPE, net)[0]) == 1
