"""Weights to start a training from, and teachers for distillation.

Tensors are copied from a start by name. Those of the head are copied only if the classes are the same; the head is
every tensor whose shape depends on the number of classes. A first convolution for another number of channels is adapted
as in timm. All other shapes must match. A deeper net can start from a shallower one if its architecture declares a
`deepening`: its additional layers change nothing at first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn, zeros_like

from zoo.errors import TrainingError
from zoo.nets.build import shapes
from zoo.nets.weights import for_channels
from zoo.record.job import Origin
from zoo.spec import Architecture, Model


@dataclass(frozen=True, eq=False)
class Start:
    """Weights to start from.

    Attributes:
        tensors: The state dict.
        classes: The names of the classes.
        channels: The number of channels of the images.
        origin: The address and the hash of the weights.
        license: Their Hugging Face license id, which is also that of nets trained from them.
    """

    tensors: Mapping[str, Tensor]
    classes: tuple[str, ...]
    channels: int
    origin: Origin
    license: str


def fill(net: nn.Module, start: Start, model: Model) -> None:
    """Load the weights of a start into an initialized net; with other classes the head keeps its initialization.

    Args:
        net: A net of the model.
        start: The weights.
        model: The model to train.

    Raises:
        TrainingError: The weights have other tensors than the net, or tensors of another shape.
    """
    own, refused = net.state_dict(), f"{model.name} can't start from {start.origin.address}"
    kept = head(model) if start.classes != model.dataset.classes else frozenset()
    added = _added(own, start, model.architecture)
    for expected, actual, problem in ((own, {**start.tensors, **added}, "lack"), (start.tensors, own, "also have")):
        if names := [name for name in expected if name not in actual]:
            raise TrainingError(f"{refused}: these weights {problem} {names[0]}; choose some of this architecture")
    copied = {name: start.tensors[name] for name in own if name not in kept and name not in added}
    channels = model.dataset.input_size[0]
    for name, tensor in copied.items():
        adapted = (start.channels, channels) if channels != start.channels else None
        if adapted == (_channels(tensor), _channels(own[name])):
            copied[name] = for_channels(tensor, own[name])
        if copied[name].shape != own[name].shape:
            raise TrainingError(
                f"{refused}: {name} is {_size(tensor)}, but should be {_size(own[name])} for images of "
                f"{model.dataset.input_size}; choose weights for images of this size"
            )
    net.load_state_dict({**own, **copied, **added})


def can_start(architecture: Architecture, source: str) -> bool:
    """Whether a net of the architecture can start from weights of the architecture named `source`."""
    deepening = architecture.deepening
    return source == architecture.name or (deepening is not None and source in deepening.shallower)


def _added(own: Mapping[str, Tensor], start: Start, architecture: Architecture) -> dict[str, Tensor]:
    """The tensors that a shallower start lacks, with values that change nothing."""
    deepening = architecture.deepening
    if not start.origin.shallower or deepening is None:
        return {}
    missing = {name: tensor for name, tensor in own.items() if name not in start.tensors}
    zeroed = re.compile(deepening.zeroed)
    return {name: zeros_like(tensor) if zeroed.search(name) else tensor for name, tensor in missing.items()}


def head(model: Model) -> frozenset[str]:
    """The names of the tensors whose shapes depend on the number of classes."""
    size, classes = model.dataset.input_size, len(model.dataset.classes)
    own, with_one_more = (shapes(model.architecture, size, count) for count in (classes, classes + 1))
    return frozenset(name for name, shape in own.items() if with_one_more.get(name) != shape)


def _channels(tensor: Tensor) -> int | None:
    """The number of input channels of a convolution's weight; None for other tensors."""
    return tensor.shape[1] if tensor.ndim == 4 else None


def _size(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "one number"


Normalisation = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std by channel


@dataclass(frozen=True, eq=False)
class Teacher:
    """A teacher: a net in evaluation mode on the device of the training, for images normalized for the student."""

    net: nn.Module
    origin: Origin


class Renormalised(nn.Module):
    """Wraps a net for images that are normalized with another mean and std.

    Args:
        net: The net.
        given: Mean and std of the images.
        own: Mean and std that the net was trained with.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, net: nn.Module, given: Normalisation, own: Normalisation) -> None:
        super().__init__()
        mean, std, own_mean, own_std = (torch.tensor(values, dtype=torch.float64) for values in (*given, *own))
        self.net = net
        self.register_buffer("scale", (std / own_std).float()[:, None, None])
        self.register_buffer("shift", ((mean - own_mean) / own_std).float()[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits [N, classes] of normalized images [N, C, H, W]."""
        logits: Tensor = self.net(images * self.scale + self.shift)
        return logits
