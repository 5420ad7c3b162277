"""The weights to start a training from, and the teacher for distillation.

Tensors are copied from a start by name. Those of the head are copied only if the classes are the same; the head is
every tensor whose shape depends on the number of classes. A first convolution for another number of channels is adapted
as in timm. All other shapes must match. A deeper net can start from a shallower one if its architecture declares a
`deepening`: its additional layers change nothing at first.

A resumed training keeps the revisions of the start and the teacher that it began with.
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


def load_start(model: Model, address: str | Path, source: Published, resumed: Sequence[Job | None]) -> Start:
    """Load the weights that trainings of a model start from.

    Args:
        model: The model to train.
        address: The name, path or address of the weights, as the user gave it.
        source: The published model at this address.
        resumed: For each training the job that is resumed, or None. A resumed training keeps its start even if the
            address has other weights now, because its checkpoint has the trained weights.

    Raises:
        TrainingError: The weights are of another architecture; or the address has other weights than at the start of
            the resumed training, and another of the trainings is new.
    """
    origins = [job.start for job in resumed if job is not None and job.start is not None]
    recorded = next((origin for origin in origins if _is_same(address, origin.address, source)), None)
    if recorded is not None and (recorded.sha256 != source.config.weights.sha256 or not source.is_local):
        with contextlib.suppress(HubError, FolderError, UnknownModel):
            source = published(recorded.address)
    record = source.config
    deepening = model.architecture.deepening
    shallower = "" if record.architecture == model.architecture.name else record.architecture
    if shallower and (deepening is None or shallower not in deepening.shallower):
        raise TrainingError(
            f"{model.architecture.name} can't start from {address}, which has the architecture {record.architecture}; "
            f"train {record.architecture}, or start from other weights"
        )
    origin = Origin(_recorded_address(address, source), record.weights.sha256, shallower)
    if recorded is not None and recorded.sha256 != origin.sha256:
        if None in resumed:
            raise TrainingError(
                f"{address} has other weights now than when the first seed started; "
                "set out to another folder for the other seeds"
            )
        origin = recorded
    return Start(
        tensors=source.net().state_dict(),
        classes=record.classes,
        channels=record.input_size[0],
        origin=origin,
        license=record.license,
    )


def _is_same(given: str | Path, recorded: str, source: Published) -> bool:
    """Whether the user's address refers to the recorded model; an address without a revision matches all revisions."""
    reference, before = parse(given), parse(recorded)
    if isinstance(reference, Address) and isinstance(before, Address):
        return reference in (before, dataclasses.replace(before, revision=None))
    if isinstance(reference, Path) and isinstance(before, Path):
        return path_of(reference).resolve() == path_of(before).resolve()
    return isinstance(reference, Name) and isinstance(before, Name) and source.config.name == before.text


def _recorded_address(address: str | Path, source: Published) -> str:
    """The address to record in a job: a full name, a path, or an address with the revision."""
    reference = parse(address)
    if isinstance(reference, Name):
        return source.config.name
    return source.pinned if isinstance(reference, Address) else str(address)


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
    """A net in evaluation mode on the device of the training; it takes images that are normalized for the student."""

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


def load_teacher(model: Model, recipe: Recipe, device: torch.device, resumed: Sequence[Job | None]) -> Teacher | None:
    """Load the teacher of a recipe.

    Args:
        model: The model to train.
        recipe: The recipe; None is returned if it names no teacher.
        device: The device of the training.
        resumed: The jobs that are resumed or reproduced. Their teacher is used, at its revision.

    Raises:
        RecipeError: There is no such teacher, or it has other classes than the model.
    """
    if recipe.teacher is None:
        return None
    recorded = next((job.teacher for job in resumed if job is not None and job.teacher is not None), None)
    address = recorded.address if recorded else recipe.teacher
    try:
        source = published(_teacher_name(model, address))
    except UnknownModel as error:
        raise RecipeError(f"recipe: teacher {address} on {model.dataset.name}: {error}") from None
    record = source.config
    if record.classes != model.dataset.classes:
        raise RecipeError(
            f"recipe: teacher {record.name} has other classes than {model.dataset.name}; name another teacher"
        )
    net: nn.Module = source.net(device).to(memory_format=torch.channels_last)
    own, students = (record.mean, record.std), model.normalisation(recipe)
    if own != students:
        net = Renormalised(net, students, own).to(device).eval()
    pinned = source.pinned if isinstance(parse(address), Address) else address
    return Teacher(net, Origin(pinned, record.weights.sha256))


def _teacher_name(model: Model, teacher: str) -> str:
    """The full name of a teacher; the name of an architecture refers to its model of the same dataset."""
    if not isinstance(parse(teacher), Name):
        return teacher
    for name, dot, tag in ((teacher, "", ""), teacher.rpartition(".")):
        try:
            return f"{registry.architecture(name).name}_{model.dataset.name}{dot}{tag}"
        except UnknownModel:
            continue
    return teacher
