from __future__ import annotations

import pytest
from torch import nn

import zoo
from zoo.nets.layers import layers

RESNET20 = zoo.load("resnet20_cifar10")


def test_the_net_itself_comes_first_with_all_its_parameters_and_multiply_adds() -> None:
    whole, *_ = layers(RESNET20, (3, 32, 32), depth=0)
    assert (whole.name, whole.type, whole.output_shape) == ("", "CifarResNet", (10,))
    assert whole.parameters == 269_722
    assert whole.multiply_adds == 40_551_040  # 40.8 million in the literature, additions of the shortcuts included


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_it_looks_as_deep_as_it_is_told(depth: int) -> None:
    found = layers(RESNET20, (3, 32, 32), depth=depth)
    assert max(one.name.count(".") for one in found) == depth - 1


def test_a_layer_has_the_shape_the_parameters_and_the_work_of_a_hand_calculation() -> None:
    named = {one.name: one for one in layers(RESNET20, (3, 32, 32), depth=3)}
    assert named["conv1"].output_shape == (16, 32, 32)
    assert named["conv1"].parameters == 3 * 16 * 9
    assert named["conv1"].multiply_adds == 3 * 16 * 9 * 32 * 32
    assert named["layer3.0.conv1"].multiply_adds == 32 * 64 * 9 * 8 * 8
    assert named["layer2"].multiply_adds == sum(named[f"layer2.{i}"].multiply_adds for i in range(3))


def test_a_layer_that_is_applied_twice_works_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: object) -> object:
            return self.linear(self.linear(x))

    _, linear = layers(Twice(), (1, 1, 4), depth=1)
    assert (linear.parameters, linear.multiply_adds) == (20, 32)


def test_the_net_is_left_as_it_was() -> None:
    net = zoo.load("resnet8_digits").train()
    layers(net, (1, 8, 8), depth=1)
    assert net.training
    assert not any(module._forward_hooks for module in net.modules())
