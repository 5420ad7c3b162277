"""Architecture, recipes and models. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.plugin import CIFAR10, CIFAR100, Architecture, InputSize, Model, Recipe, Reported

if TYPE_CHECKING:
    from torch import nn

# As published: a constant learning rate.
PAPER = Recipe(
    epochs=500,
    batch_size=256,
    opt="sgd",
    lr=0.01,
    momentum=0.9,
    weight_decay=1e-5,
    sched="constant",
    crop_padding=4,
    hflip=0.5,
)

# Recommended in the article's text: "0.1, divided by 10 when the validation error stops falling". The error is measured
# on held-out training images, with a patience of 10 epochs, torch's default.
PLATEAU = PAPER.replace(lr=0.1, sched="plateau", val_images=5_000)

# A short training: one cycle with a step after every batch.
QUICK = PAPER.replace(
    epochs=12, batch_size=128, lr=0.1, nesterov=True, weight_decay=5e-4, sched="onecycle", sched_on_updates=True
)


def build(input_size: InputSize, num_classes: int) -> nn.Module:
    """Build the net with its published initialization. Imports torch.

    Args:
        input_size: Channels, height and width of the images; only the channels matter.
        num_classes: The number of logits.

    Returns:
        An untrained net, images [N, channels, 32, 32] to logits [N, num_classes].
    """
    from zoo_resnet_wide.wide_resnet import WideResNet

    return WideResNet(input_size[0], num_classes)


RESNET26_WIDE = Architecture(
    name="resnet26_wide",
    build=build,
    recipes={"paper": PAPER, "plateau": PLATEAU, "quick": QUICK},
    description=(
        "A 26-layer residual net of four stages, 32 to 256 channels, with channel dropout and no ReLU "
        "after the addition."
    ),
    tags=("resnet",),
)

# The published mean and std of CIFAR-100 have three digits.
resnet26_wide_cifar100 = Model(
    RESNET26_WIDE,
    CIFAR100,
    3_903_620,
    {
        name: recipe.replace(mean=(0.507, 0.487, 0.441), std=(0.267, 0.256, 0.276))
        for name, recipe in RESNET26_WIDE.recipes.items()
    },
    reported=(Reported(61.97, "2022 article", "paper", "epoch 70 of 500, evaluated in training mode"),),
    default=True,
)
resnet26_wide_cifar10 = Model(RESNET26_WIDE, CIFAR10, 3_880_490)
