"""Load the start and the teacher of a training; a resumed training keeps the revisions that it started with."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from zoo import registry
from zoo.errors import FolderError, HubError, RecipeError, TrainingError, UnknownModel
from zoo.hub.address import Address, Name, parse
from zoo.hub.resolve import Published, published
from zoo.record.job import Job, Origin
from zoo.record.paths import path_of
from zoo.spec import Model, Recipe
from zoo.training.start import Renormalised, Start, Teacher, can_start


def start(model: Model, address: str | Path, source: Published, resumed: Sequence[Job | None]) -> Start:
    """Load the weights that trainings of a model start from.

    Args:
        model: The model to train.
        address: The name, path or address of the weights, as the user gave it.
        source: The published model at this address.
        resumed: For each training the job that is resumed, or None. A resumed training keeps its start, also if the
            address has other weights now: its checkpoint has the trained weights.

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
    if not can_start(model.architecture, record.architecture):
        raise TrainingError(
            f"{model.architecture.name} can't start from {address}, which is a {record.architecture}; "
            f"train {record.architecture}, or start from other weights"
        )
    shallower = "" if record.architecture == model.architecture.name else record.architecture
    origin = Origin(_recorded_address(address, source), record.weights.sha256, shallower)
    if recorded is not None and recorded.sha256 != origin.sha256:
        if None in resumed:
            raise TrainingError(
                f"{address} has other weights now than when the first seed started; "
                "train the other seeds into another folder (out)"
            )
        origin = recorded
    return Start(
        tensors=source.net().state_dict(),
        classes=record.classes,
        channels=record.input_size[0],
        origin=origin,
        license=record.license,
    )


def teacher(model: Model, recipe: Recipe, device: torch.device, resumed: Sequence[Job | None]) -> Teacher | None:
    """Load the teacher of a recipe.

    Args:
        model: The model to train.
        recipe: The recipe; None is returned if it names no teacher.
        device: The device of the training.
        resumed: The jobs that are resumed or reproduced. Their teacher is used, at its revision.

    Raises:
        RecipeError: The teacher has other classes than the model.
    """
    if recipe.teacher is None:
        return None
    recorded = next((job.teacher for job in resumed if job is not None and job.teacher is not None), None)
    address = recorded.address if recorded else recipe.teacher
    source = published(_teacher_name(model, address))
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


def _is_same(given: str | Path, recorded: str, source: Published) -> bool:
    """Whether the user's address means the recorded model; an address without a revision means any."""
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


def _teacher_name(model: Model, teacher: str) -> str:
    """The full name of a teacher; an architecture, with or without a tag, means that on the same dataset."""
    if not isinstance(parse(teacher), Name):
        return teacher
    for name, dot, tag in ((teacher, "", ""), teacher.rpartition(".")):
        try:
            return f"{registry.architecture(name).name}_{model.dataset.name}{dot}{tag}"
        except UnknownModel:
            continue
    return teacher
