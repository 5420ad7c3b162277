"""Untrained nets: an architecture for the images and the classes of a data set, or of a model folder."""

from __future__ import annotations

import torch
from torch import nn

from zoo.errors import BuildError, FolderError
from zoo.folder.config import Config
from zoo.folder.gate import CLASSES as MOST_CLASSES
from zoo.spec import Architecture, Dataset, Model

MOST_CHANNELS = 4096


def build(
    architecture: Architecture, on: Dataset | Config, num_classes: int | None = None, in_channels: int | None = None
) -> nn.Module:
    """The untrained net for what it is trained on, in training mode; for other classes or channels where given.

    Raises BuildError for a number of them that no net can have.
    """
    channels, height, width = on.input_size
    classes = len(on.classes) if num_classes is None else _sound("num_classes", num_classes, MOST_CLASSES)
    channels = channels if in_channels is None else _sound("in_channels", in_channels, MOST_CHANNELS)
    return architecture.build(input_size=(channels, height, width), num_classes=classes)


def to_be_filled(architecture: Architecture, on: Dataset | Config) -> nn.Module:
    """A net whose initialisation nobody will see: the caller's random numbers are left alone."""
    with torch.random.fork_rng(devices=[]):
        return build(architecture, on)


def _sound(name: str, value: int, most: int) -> int:
    if not (isinstance(value, int) and 1 <= value <= most):
        raise BuildError(
            f"{name} should be at least 1 and up to {most:,}, not {value!r}; leave it out for the model's own"
        )
    return value


def count(net: nn.Module) -> int:
    """How many trainable values a net has; one that is tied under several names counts once."""
    return sum(parameter.numel() for parameter in net.parameters())


def require_counted(net: nn.Module, config: Config, what: object) -> None:
    """Make sure that the net of `config` has as many values as that says; raises FolderError, which names `what`."""
    if count(net) != config.parameters:
        raise FolderError(f"{what} has {count(net):,} parameters, its config.json says {config.parameters:,}")


def parameters(model: Model) -> int:
    """How many trainable values the net of a model has: as declared, else counted."""
    if model.parameters is not None:
        return model.parameters
    return count(to_be_filled(model.architecture, model.dataset))
