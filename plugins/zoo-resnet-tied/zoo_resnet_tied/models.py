"""Architecture, recipes and models. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.plugin import CIFAR10, CIFAR100, Architecture, InputSize, Model, Recipe, Reported

if TYPE_CHECKING:
    from torch import nn

# As published. The one-cycle schedule also moves Adam's beta1 from 0.95 to 0.85 and back, the default of torch's
# OneCycleLR. The document gives neither batch size nor augmentation; both are those of the other CIFAR recipes.
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

QUICK = PAPER.replace(epochs=12)


def build(input_size: InputSize, num_classes: int) -> nn.Module:
    """Build the net with torch's initialization, as published. Imports torch.

    Args:
        input_size: Channels, height and width of the images; only the channels matter.
        num_classes: The number of logits.

    Returns:
        An untrained net, images [N, channels, 32, 32] to logits [N, num_classes].
    """
    from zoo_resnet_tied.tied_resnet import TiedResNet

    return TiedResNet(input_size[0], num_classes)


RESNET_TIED = Architecture(
    name="resnet_tied",
    build=build,
    recipes={"paper": PAPER, "quick": QUICK},
    description="A residual net whose stages apply one identity block several times with the same weights.",
    tags=("resnet",),
)

resnet_tied_cifar100 = Model(
    RESNET_TIED,
    CIFAR100,
    7_500_132,
    reported=(Reported(41.90, "course document, 2021–22", "paper", "epoch 17 of 100, the last that it shows"),),
    default=True,
)
resnet_tied_cifar10 = Model(RESNET_TIED, CIFAR10, 7_407_882)
