"""The models: facts only, no torch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from zoo.datasets import CIFAR10, CIFAR100
from zoo.spec import Dataset, Model, Recipe, Reported

if TYPE_CHECKING:
    from torch import nn

# As published. OneCycle also turns Adam's first beta from 0.95 to 0.85 and back, as torch's does unless told not
# to. The document names no batch size and no augmentation; these are the ones of the other CIFAR recipes here.
PAPER = Recipe(
    epochs=100,
    batch_size=128,
    opt="adam",
    lr=1e-3,
    weight_decay=1e-5,
    sched="onecycle",
    sched_on_updates=True,
    cycle_momentum=True,
    clip_grad=0.1,
    clip_mode="value",
    crop_padding=4,
    hflip=0.5,
)

QUICK = replace(PAPER, epochs=12)


def build(in_channels: int, num_classes: int) -> nn.Module:
    """Build it with torch's initialisation, as published; torch is imported then, and only then."""
    from zoo_resnet_tied.tied_resnet import TiedResNet

    return TiedResNet(in_channels, num_classes)


def _model(dataset: Dataset, parameters: int, *reported: Reported) -> Model:
    return Model(
        name=f"resnet_tied_{dataset.name}",
        dataset=dataset,
        build=build,
        parameters=parameters,
        recipes={"paper": PAPER, "quick": QUICK},
        description=(
            "A residual net whose stages apply one identity block several times with the same weights, "
            f"trained on {dataset.title}."
        ),
        default=dataset is CIFAR100,
        reported=reported,
    )


resnet_tied_cifar100 = _model(
    CIFAR100, 7_500_132, Reported(41.90, "course document, 2021–22", "paper", "epoch 17 of 100, the last that it shows")
)
resnet_tied_cifar10 = _model(CIFAR10, 7_407_882)
