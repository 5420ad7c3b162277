"""The weights that a training begins with, where those are not its architecture's own initialisation.

All of a net is taken but its head, and that too where the classes are the same, name by name. The head is whatever
depends on their number: found by asking the architecture for a class more, so that a net need not say where it is.
What remains must fit, but for the first convolution, which sees another number of channels as timm would have it.
The net may be a deeper one than theirs, where its architecture says so: what they lack then changes nothing at first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn, zeros_like

from zoo.errors import TrainingError
from zoo.nets.build import shapes
from zoo.nets.weights import for_channels
from zoo.record.job import Origin
from zoo.spec import Architecture, Model


@dataclass(frozen=True, eq=False)
class Start:
    """A net's state dict, what it knows and sees, and whose it is."""

    tensors: Mapping[str, Tensor]
    classes: tuple[str, ...]
    channels: int
    origin: Origin
    license: str  # as the Hub spells it, which what is made of the weights has too


def fill(net: nn.Module, start: Start, model: Model) -> None:
    """Put the weights into a net of the model as its seed has initialised it; raises TrainingError.

    Where the classes are others the head stays as it is.
    """
    own, refused = net.state_dict(), f"{start.origin.address} can't start {model.name}"
    fresh = head(model) if start.classes != model.dataset.classes else frozenset()
    added = _added(own, start, model.architecture)
    for one, other, which in ((own, {**start.tensors, **added}, "has no"), (start.tensors, own, "has a")):
        if names := [name for name in one if name not in other]:
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
    """Whether its nets can begin with weights of an architecture: its own, or a shallower one that it can deepen."""
    deepening = architecture.deepening
    return with_weights_of == architecture.name or (deepening is not None and with_weights_of in deepening.shallower)


def _added(own: Mapping[str, Tensor], start: Start, architecture: Architecture) -> dict[str, Tensor]:
    """What a net that is deepened has and the shallower one lacks, such that it changes nothing."""
    deepening = architecture.deepening
    if not start.origin.shallower or deepening is None:
        return {}
    lacking = {name: tensor for name, tensor in own.items() if name not in start.tensors}
    return {name: zeros_like(one) if re.search(deepening.zeroed, name) else one for name, one in lacking.items()}


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
