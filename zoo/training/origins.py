"""From the addresses of a start and a teacher to their nets, at the revision that a resumed run began with."""

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
from zoo.training.start import Renormalised, Start, Teacher, begins


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
    origins = [job.start for job in begun if job is not None and job.start is not None]
    before = next((origin for origin in origins if _is_same(address, origin.address, source)), None)
    if before is not None and (before.sha256 != source.config.weights.sha256 or not source.is_local):
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
