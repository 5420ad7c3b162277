from __future__ import annotations

import pytest
import torch
from torch import nn

import zoo
from zoo import registry
from zoo.datasets import DIGITS
from zoo.errors import BuildError
from zoo.nets.build import build, count, parameters
from zoo.spec import Architecture, InputSize, Model, Recipe


def flat(input_size: InputSize, num_classes: int) -> nn.Module:
    channels, height, width = input_size
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, num_classes))


FLAT = Architecture("flat", flat, {"short": Recipe(epochs=1)})


@pytest.mark.parametrize("pretrained", [False, True])
@pytest.mark.parametrize(
    ("parameter", "number"),
    [("num_classes", -1), ("num_classes", 10**12), ("in_channels", 0), ("in_channels", -1), ("in_channels", 10**12)],
)
def test_a_number_of_classes_or_channels_out_of_range_is_refused(parameter: str, number: int, pretrained: bool) -> None:
    with pytest.raises(BuildError, match=rf"{parameter} should be at least 1 and up to [\d,]+, not {number}"):
        zoo.load("resnet8_digits", pretrained=pretrained, **{parameter: number})  # type: ignore[arg-type]


def test_zero_classes_are_refused_for_a_net_without_reset_classifier() -> None:
    with pytest.raises(BuildError, match=r"num_classes should be at least 1 and up to [\d,]+, not 0"):
        build(FLAT, DIGITS, num_classes=0)


@pytest.mark.parametrize("pretrained", [False, True])
def test_with_zero_classes_a_net_returns_its_features(pretrained: bool) -> None:
    net = zoo.load("resnet8_digits", pretrained=pretrained, num_classes=0)
    assert net(torch.randn(2, 1, 8, 8)).shape == (2, 64)
    assert not any(name.startswith("fc.") for name in net.state_dict())


def test_a_missing_library_is_reported_with_the_command_that_installs_it() -> None:
    def build_with(input_size: InputSize, num_classes: int) -> nn.Module:
        import a_library_that_is_not_there  # type: ignore[import-not-found]

        return a_library_that_is_not_there.net(input_size, num_classes)  # type: ignore[no-any-return]

    with pytest.raises(BuildError, match="install it with: pip install a_library_that_is_not_there"):
        build(Architecture("needy", build_with, {"short": Recipe(epochs=1)}), DIGITS)


def test_shared_parameters_are_counted_once() -> None:
    layer = nn.Linear(3, 3)
    assert count(nn.Sequential(layer, layer)) == 12


def test_undeclared_parameters_are_counted_without_drawing_random_numbers() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    assert parameters(Model(FLAT, DIGITS, None)) == 650
    assert torch.equal(torch.rand(3), expected)
    assert parameters(registry.load("resnet8_digits")) == 75_002
