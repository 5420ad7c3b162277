from __future__ import annotations

import pytest
from torch import nn

import zoo
from zoo.nets.layers import layers

RESNET20 = zoo.load("resnet20_cifar10")


def test_the_first_row_is_the_whole_net() -> None:
    whole, *_ = layers(RESNET20, (3, 32, 32), depth=0)
    assert (whole.name, whole.type, whole.output_shape) == ("", "CifarResNet", (10,))
    assert whole.parameters == 269_722
    assert whole.multiply_adds == 40_551_040  # the literature counts 40.8 million, with the additions of the shortcuts


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_depth_limits_the_nesting_of_the_rows(depth: int) -> None:
    rows = layers(RESNET20, (3, 32, 32), depth=depth)
    assert max(row.name.count(".") for row in rows) == depth - 1


def test_shape_parameters_and_multiply_adds_match_a_calculation_by_hand() -> None:
    named = {layer.name: layer for layer in layers(RESNET20, (3, 32, 32), depth=3)}
    assert named["conv1"].output_shape == (16, 32, 32)
    assert named["conv1"].parameters == 3 * 16 * 9
    assert named["conv1"].multiply_adds == 3 * 16 * 9 * 32 * 32
    assert named["layer3.0.conv1"].multiply_adds == 32 * 64 * 9 * 8 * 8
    assert named["layer2"].multiply_adds == sum(named[f"layer2.{i}"].multiply_adds for i in range(3))


def test_a_layer_that_is_applied_twice_counts_its_multiply_adds_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: object) -> object:
            return self.linear(self.linear(x))

    _, linear = layers(Twice(), (1, 1, 4), depth=1)
    assert (linear.parameters, linear.multiply_adds) == (20, 32)


def test_listing_layers_leaves_the_net_unchanged() -> None:
    net = zoo.load("resnet8_digits").train()
    layers(net, (1, 8, 8), depth=1)
    assert net.training
    assert not any(module._forward_hooks for module in net.modules())
