"""What plugins' tests call, on models that no entry point declares."""

from __future__ import annotations

import dataclasses

import pytest
from torch import Tensor, nn

from zoo.datasets import CIFAR10, DIGITS
from zoo.spec import Architecture, InputSize, Model, Recipe
from zoo.testing import check_model, check_training


class Small(nn.Module):
    """A convolution and a head over all positions, so that the net depends on the size of its images."""

    def __init__(self, input_size: InputSize, num_classes: int) -> None:
        super().__init__()
        channels, height, width = input_size
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)
        self.head = nn.Linear(4 * height * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.conv(x).relu().flatten(1))
        return logits


SMALL = Architecture("small", Small, {"adam": Recipe(epochs=9, opt="adam", lr=0.01)})


@pytest.mark.parametrize(
    "model", [Model(SMALL, DIGITS, 2_610), Model(SMALL, CIFAR10, 41_082)], ids=lambda one: one.name
)
def test_a_model_is_checked_and_trained_before_its_plugin_is_installed(model: Model) -> None:
    check_model(model)
    check_training(model)


def test_a_wrong_number_of_parameters_is_found() -> None:
    with pytest.raises(AssertionError, match="small_digits has 2,610 parameters, its facts say 2,611"):
        check_model(Model(SMALL, DIGITS, 2_611))


def test_a_net_that_does_not_look_at_the_number_of_classes_is_found() -> None:
    def ten(input_size: InputSize, num_classes: int) -> nn.Module:
        return Small(input_size, 10)

    with pytest.raises(AssertionError, match="should respect input_size and num_classes"):
        check_model(Model(dataclasses.replace(SMALL, build=ten), DIGITS, 2_610))


def test_checking_takes_a_pair_that_nobody_counted() -> None:
    check_model(Model(SMALL, DIGITS, None))
