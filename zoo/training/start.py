"""The nets that a training begins with or learns from: weights to start from, and a teacher.

A start gives all tensors but the head's, and the head's too where the classes are the same, name by name. The head is
all tensors whose shapes depend on the number of classes: found by building the net for one class more. All others must
fit; a first convolution for another number of channels is adapted as by timm. A deeper net may start from a shallower
one, where its architecture declares a `deepening`: what it has more then changes nothing at first.
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
    """A net's state dict, its classes and channels, where it comes from, and its license."""

    tensors: Mapping[str, Tensor]
    classes: tuple[str, ...]
    channels: int
    origin: Origin
    license: str  # a Hugging Face license id; nets trained from these weights have it too


def fill(net: nn.Module, start: Start, model: Model) -> None:
    """Load the weights into an initialized net of the model; raises TrainingError if they don't fit.

    With other classes the head keeps its initialization.
    """
    own, refused = net.state_dict(), f"{start.origin.address} can't start {model.name}"
    fresh = head(model) if start.classes != model.dataset.classes else frozenset()
    added = _added(own, start, model.architecture)
    for expected, actual, which in ((own, {**start.tensors, **added}, "has no"), (start.tensors, own, "has a")):
        if names := [name for name in expected if name not in actual]:
            raise TrainingError(f"{refused}: it {which} {names[0]}, is it of another architecture?")
    taken = {name: start.tensors[name] for name in own if name not in fresh and name not in added}
    channels = model.dataset.input_size[0]
    for name, tensor in taken.items():
        seen = (start.channels, channels) if channels != start.channels else None
        if seen == (_channels(tensor), _channels(own[name])):
            taken[name] = for_channels(tensor, own[name])
        if taken[name].shape != own[name].shape:
            raise TrainingError(
                f"{refused}: its {name} is {_size(tensor)}, for images of {model.dataset.input_size} it should be "
                f"{_size(own[name])}; it may fit images of another size"
            )
    net.load_state_dict({**own, **taken, **added})


def begins(architecture: Architecture, with_weights_of: str) -> bool:
    """Whether a net of the architecture can start from another's weights: the same, or a shallower one to deepen."""
    deepening = architecture.deepening
    return with_weights_of == architecture.name or (deepening is not None and with_weights_of in deepening.shallower)


def _added(own: Mapping[str, Tensor], start: Start, architecture: Architecture) -> dict[str, Tensor]:
    """The tensors that a deepened net has and the shallower one lacks, with values that change nothing."""
    deepening = architecture.deepening
    if not start.origin.shallower or deepening is None:
        return {}
    lacking = {name: tensor for name, tensor in own.items() if name not in start.tensors}
    zeroed = re.compile(deepening.zeroed)
    return {name: zeros_like(tensor) if zeroed.search(name) else tensor for name, tensor in lacking.items()}


def head(model: Model) -> frozenset[str]:
    """The names of the tensors that depend on the number of classes."""
    size, classes = model.dataset.input_size, len(model.dataset.classes)
    now, with_another = (shapes(model.architecture, size, count) for count in (classes, classes + 1))
    return frozenset(name for name, shape in now.items() if with_another.get(name) != shape)


def _channels(tensor: Tensor) -> int | None:
    """How many channels a convolution of images sees; None for what is no such."""
    return tensor.shape[1] if tensor.ndim == 4 else None


def _size(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "one number"


Normalisation = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std, one each a channel


@dataclass(frozen=True, eq=False)
class Teacher:
    """A net on the device in evaluation mode, which sees its student's images, and where it comes from."""

    net: nn.Module
    origin: Origin


class Renormalised(nn.Module):
    """A net that receives images under another normalisation, and converts them to its own first."""

    scale: Tensor
    shift: Tensor

    def __init__(self, net: nn.Module, shown: Normalisation, own: Normalisation) -> None:
        super().__init__()
        mean, std, own_mean, own_std = (torch.tensor(values, dtype=torch.float64) for values in (*shown, *own))
        self.net = net
        self.register_buffer("scale", (std / own_std).float()[:, None, None])
        self.register_buffer("shift", ((mean - own_mean) / own_std).float()[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, C, H, W] under the normalisation that they are shown in."""
        logits: Tensor = self.net(images * self.scale + self.shift)
        return logits
