"""The nets that a training begins with or learns from: weights to start from, and a teacher.

A start gives all tensors but the head's, and the head's too where the classes are the same, name by name. The head is
all tensors whose shapes depend on the number of classes: found by building the net for one class more. All others must
fit; a first convolution for another number of channels is adapted as by timm. A deeper net may start from a shallower
one, where its architecture declares a `deepening`: what it has more then changes nothing at first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn, zeros_like

from zoo import registry
from zoo.errors import FolderError, HubError, RecipeError, TrainingError, UnknownModel
from zoo.hub.address import Address, Name, parse
from zoo.hub.resolve import Published, published
from zoo.nets.build import shapes
from zoo.nets.weights import for_channels
from zoo.record.job import Job, Origin
from zoo.record.paths import path_of
from zoo.spec import Architecture, Model, Recipe


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
    """Whether a net of the architecture can start from another's weights: the same, or a shallower one to deepen."""
    deepening = architecture.deepening
    return with_weights_of == architecture.name or (deepening is not None and with_weights_of in deepening.shallower)


def _added(own: Mapping[str, Tensor], start: Start, architecture: Architecture) -> dict[str, Tensor]:
    """The tensors that a deepened net has and the shallower one lacks, with values that change nothing."""
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
        mean, std, own_mean, own_std = (torch.tensor(one, dtype=torch.float64) for one in (*shown, *own))
        self.net = net
        self.register_buffer("scale", (std / own_std).float()[:, None, None])
        self.register_buffer("shift", ((mean - own_mean) / own_std).float()[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, C, H, W] under the normalisation that they are shown in."""
        logits: Tensor = self.net(images * self.scale + self.shift)
        return logits


# -- where they come from ---------------------------------------------------------------------------


def start(model: Model, address: str | Path, source: Published, begun: Sequence[Job | None]) -> Start:
    """The weights that trainings of a model start from.

    Args:
        model: The model that is trained.
        address: The name, path or address of the weights, as the user gave it.
        source: The published model there.
        begun: For each training the job that is resumed, or None. A resumed training keeps its start, at the revision
            that it has begun with, whatever is there now: its checkpoint has the weights.

    Raises:
        TrainingError: The weights are of another architecture, or of a revision that can't be had any more and that a
            training needs which has not begun.
    """
    origins = (job.start for job in begun if job is not None)
    before = next((one for one in origins if one is not None and _is_same(address, one.address, source)), None)
    if before is not None and before.sha256 != source.config.weights.sha256:
        with contextlib.suppress(HubError, FolderError, UnknownModel):
            source = published(before.address)
    config = source.config
    if not begins(model.architecture, config.architecture):
        raise TrainingError(
            f"{address} is a {config.architecture}, and can't start a {model.architecture.name}; "
            f"train {config.architecture}, or start from another"
        )
    shallower = "" if config.architecture == model.architecture.name else config.architecture
    origin = Origin(_recorded(address, source), config.weights.sha256, shallower)
    if before is not None and before.sha256 != origin.sha256:
        if None in begun:
            raise TrainingError(
                f"{address} has other weights now than when the first seed began with them; "
                "train the other seeds into another folder (out)"
            )
        origin = before
    return Start(
        tensors=source.net().state_dict(),
        classes=config.classes,
        channels=config.input_size[0],
        origin=origin,
        license=config.license,
    )


def teacher(model: Model, recipe: Recipe, device: torch.device, begun: Sequence[Job | None]) -> Teacher | None:
    """The teacher that a recipe names, with the student's classes; None if it names none.

    A training that is resumed or reproduced has the teacher of its job (`begun`), at that revision.

    Raises:
        RecipeError: The teacher has other classes.
    """
    if recipe.teacher is None:
        return None
    before = next((job.teacher for job in begun if job is not None and job.teacher is not None), None)
    address = before.address if before else recipe.teacher
    source = published(_teacher_name(model, address))
    config = source.config
    if config.classes != model.dataset.classes:
        raise RecipeError(
            f"recipe: teacher {config.name} knows other classes than {model.dataset.name}'s; name another"
        )
    net: nn.Module = source.net(device).to(memory_format=torch.channels_last)
    own, students = (config.mean, config.std), model.normalisation(recipe)
    if own != students:
        net = Renormalised(net, students, own).to(device).eval()
    recorded = source.pinned if isinstance(parse(address), Address) else address
    return Teacher(net, Origin(recorded, config.weights.sha256))


def _is_same(given: str | Path, recorded: str, source: Published) -> bool:
    """Whether the user's `given` means the recorded model, at whatever revision where none is given."""
    reference, before = parse(given), parse(recorded)
    if isinstance(reference, Address) and isinstance(before, Address):
        return reference in (before, dataclasses.replace(before, revision=None))
    if isinstance(reference, Path) and isinstance(before, Path):
        return path_of(reference).resolve() == path_of(before).resolve()
    return isinstance(reference, Name) and isinstance(before, Name) and source.config.name == before.text


def _recorded(address: str | Path, source: Published) -> str:
    """The address under which a job records weights: a full name, a path, or an address with the revision."""
    reference = parse(address)
    if isinstance(reference, Name):
        return source.config.name
    return source.pinned if isinstance(reference, Address) else str(address)


def _teacher_name(model: Model, teacher: str) -> str:
    """The teacher's full name: an architecture's name means it on the student's data set, with its tag."""
    if not isinstance(parse(teacher), Name):
        return teacher
    for name, dot, tag in ((teacher, "", ""), teacher.rpartition(".")):
        try:
            return f"{registry.architecture(name).name}_{model.dataset.name}{dot}{tag}"
        except UnknownModel:
            continue
    return teacher
