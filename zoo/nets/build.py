"""Untrained nets: an architecture for the images and the classes of a data set, or of a model folder."""

from __future__ import annotations

import torch
from torch import nn

from zoo.folder.config import Config
from zoo.spec import Architecture, Dataset, Model


def build(
    architecture: Architecture, on: Dataset | Config, num_classes: int | None = None, in_channels: int | None = None
) -> nn.Module:
    """The untrained net for what it is trained on, in training mode; for other classes or channels where given."""
    channels, height, width = on.input_size
    input_size = in_channels or channels, height, width
    return architecture.build(input_size=input_size, num_classes=num_classes or len(on.classes))


def count(net: nn.Module) -> int:
    """How many trainable values a net has; one that is tied under several names counts once."""
    return sum(parameter.numel() for parameter in net.parameters())


def parameters(model: Model) -> int:
    """How many trainable values the net of a model has: as declared, else counted."""
    if model.parameters is not None:
        return model.parameters
    with torch.random.fork_rng(devices=[]):
        return count(build(model.architecture, model.dataset))
