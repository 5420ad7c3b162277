from __future__ import annotations

import pytest
import torch
from torch import nn

import zoo
from zoo import registry
from zoo.datasets import CIFAR10, DIGITS
from zoo.errors import BuildError
from zoo.nets.build import build, count, parameters
from zoo.spec import Architecture, InputSize, Model, Recipe


def flat(input_size: InputSize, num_classes: int) -> nn.Module:
    channels, height, width = input_size
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, num_classes))


FLAT = Architecture("flat", flat, {"one": Recipe(epochs=1)})


def test_a_net_is_built_for_the_images_and_the_classes_of_its_data_set() -> None:
    assert build(FLAT, CIFAR10)(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert build(FLAT, DIGITS)(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_other_classes_and_channels_leave_the_size_as_it_is() -> None:
    assert build(FLAT, DIGITS, num_classes=3, in_channels=2)(torch.zeros(1, 2, 8, 8)).shape == (1, 3)


@pytest.mark.parametrize("pretrained", [False, True])
@pytest.mark.parametrize(
    ("what", "number"),
    [("num_classes", -1), ("num_classes", 10**12), ("in_channels", 0), ("in_channels", -1), ("in_channels", 10**12)],
)
def test_a_number_of_classes_or_channels_that_no_net_has_is_refused(what: str, number: int, pretrained: bool) -> None:
    with pytest.raises(BuildError, match=rf"{what} should be at least 1 and up to [\d,]+, not {number}"):
        zoo.load("resnet8_digits", pretrained=pretrained, **{what: number})  # type: ignore[arg-type]


def test_no_classes_are_refused_by_a_net_without_reset_classifier() -> None:
    with pytest.raises(BuildError, match=r"num_classes should be at least 1 and up to [\d,]+, not 0"):
        build(FLAT, DIGITS, num_classes=0)


@pytest.mark.parametrize("pretrained", [False, True])
def test_without_classes_a_net_that_has_reset_classifier_gives_its_features(pretrained: bool) -> None:
    net = zoo.load("resnet8_digits", pretrained=pretrained, num_classes=0)
    assert net(torch.randn(2, 1, 8, 8)).shape == (2, 64)
    assert not any(name.startswith("fc.") for name in net.state_dict())


def test_a_missing_library_of_a_net_is_named_with_its_installation() -> None:
    def build_with(input_size: InputSize, num_classes: int) -> nn.Module:
        import a_library_that_is_not_there  # type: ignore[import-not-found]

        return a_library_that_is_not_there.net(input_size, num_classes)  # type: ignore[no-any-return]

    with pytest.raises(BuildError, match="install it with: pip install a_library_that_is_not_there"):
        build(Architecture("needy", build_with, {"one": Recipe(epochs=1)}), DIGITS)


def test_a_tied_value_counts_once() -> None:
    layer = nn.Linear(3, 3)
    assert count(nn.Sequential(layer, layer)) == 12


def test_parameters_that_nobody_declared_are_counted_and_the_callers_random_numbers_left_alone() -> None:
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    assert parameters(Model(FLAT, DIGITS, None)) == 650
    assert torch.equal(torch.rand(3), wanted)
    assert parameters(registry.load("resnet8_digits")) == 75_002
