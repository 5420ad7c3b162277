"""Make the job of a training: the value that determines its weights."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version

import msgspec
import torch

from zoo.errors import TrainingError
from zoo.nets.build import require_as_declared
from zoo.nets.device import has_bf16
from zoo.plugins import core_version
from zoo.record.job import Job, Origin, Versions
from zoo.record.types import Trained
from zoo.registry import provider
from zoo.spec import Architecture, Model
from zoo.training import distributed, step
from zoo.training.options import TrainOptions
from zoo.training.start import Start, Teacher

MAX_THREADS = 1_024


def new(
    model: Model,
    options: TrainOptions,
    device: torch.device,
    *,
    start: Start | None = None,
    teacher: Teacher | None = None,
) -> tuple[Job, str]:
    """Make the job of a new training, with the first seed of the options.

    Args:
        model: The model to train.
        options: The options of the training.
        device: The device to train on.
        start: The weights to start from.
        teacher: The teacher.

    Returns:
        The job, and the reason for `job.compile`.

    Raises:
        RecipeError: The model has no such recipe, or a setting is not possible.
        TrainingError: An option is not possible for this dataset or machine.
        PluginError: The model is not as its plugin declares it.
    """
    require_as_declared(model)
    name, recipe = options.recipe_of(model)
    available = model.dataset.train_images - recipe.val_images
    job = Job(
        architecture=model.architecture.name,
        dataset=model.dataset.name,
        recipe_name=name,
        recipe=recipe,
        seed=options.seed,
        train_images=available if options.limit_train is None else options.limit_train,
        device=device.type,
        amp=has_bf16(device) if options.amp is None else options.amp,
        compile="none",
        deterministic=device.type == "cpu" if options.deterministic is None else options.deterministic,
        grad_checkpointing=options.grad_checkpointing,
        threads=torch.get_num_threads() if options.threads is None else options.threads,
        processes=distributed.share().world,
        dtype=options.dtype,  # type: ignore[arg-type]
        versions=versions(model.architecture),
        start=start.origin if start else None,
        teacher=teacher.origin if teacher else None,
        pictures=model.dataset.pictures.sha256 if model.dataset.pictures else "",
    )
    return _decided(job, options.compile, model)


def as_published(model: Model, published: Trained) -> Model:
    """The model with the normalization of the published one, which its plugin may have changed since.

    Raises:
        TrainingError: The published mean or std is not that of its recipe, or the test set has another size.
    """
    dataset = replace(model.dataset, mean=published.mean, std=published.std, resizing=published.resizing)
    original = replace(model, dataset=dataset)
    if original.normalisation(published.job.recipe) != (published.mean, published.std):
        raise TrainingError(
            f"{published.name} can't be reproduced: its mean or std is not that of its recipe; choose another model"
        )
    if published.results.test_images != dataset.test_images:
        raise TrainingError(
            f"{published.name} was measured on {published.results.test_images:,} test images, but {dataset.name} as "
            f"declared here has {dataset.test_images:,}; install the plugin that declares the original dataset"
        )
    return original


def again(
    published: Job,
    model: Model,
    device: torch.device,
    *,
    start: Start | None = None,
    teacher: Teacher | None = None,
    epochs: int | None = None,
    seed: int | None = None,
) -> tuple[Job, str]:
    """Make the job that trains a published model again.

    Args:
        published: The published job.
        model: The model, with the published normalization.
        device: The device to train on. On another type of device, or with another number of processes,
            `job.compile` is chosen again.
        start: The weights to start from.
        teacher: The teacher.
        epochs: Another number of epochs than the published one.
        seed: Another seed than the published one.

    Returns:
        The job, and the reason for `job.compile`.

    Raises:
        TrainingError: `start` or `teacher` has other weights than the published one.
    """
    require_as_declared(model)
    origin_of_teacher = teacher.origin if teacher else None
    _require_same("teacher", published.teacher, origin_of_teacher)
    _require_same("start", published.start, start.origin if start else None)
    recipe = published.recipe if epochs is None else published.recipe.changed({"epochs": str(epochs)})
    job = msgspec.structs.replace(
        published,
        recipe=recipe,
        seed=published.seed if seed is None else seed,
        device=device.type,
        processes=distributed.share().world,
        versions=versions(model.architecture),
        teacher=origin_of_teacher,
    )
    is_same = (published.device, published.processes) == (job.device, job.processes)
    return _decided(job, published.compile if is_same else "auto", model)


def _decided(job: Job, given: str, model: Model) -> tuple[Job, str]:
    """Set `job.compile`, and return the reason too; raises TrainingError if the job is not possible."""
    how, why = step.choose(
        given,
        job.recipe,
        device=torch.device(job.device),
        amp=job.amp,
        images=job.recipe.epochs * job.train_images,
        processes=job.processes,
        recomputes=job.grad_checkpointing,
    )
    job = msgspec.structs.replace(job, compile=how)
    _require_possible(job, model)
    return job, why


def _require_same(what: str, published: Origin | None, present: Origin | None) -> None:
    """Raise TrainingError if a teacher or a start has other weights than the published one."""
    expected, actual = (origin.sha256 if origin else None for origin in (published, present))
    if expected != actual:
        address = published.address if published else "none"
        raise TrainingError(
            f"the {what} {address} has weights with SHA-256 {actual} now, but the published training had {expected}; "
            "set ZOO_HUB to the hub with the original weights"
        )


def versions(architecture: Architecture) -> Versions:
    """The installed versions of the software that computes the weights."""
    return Versions(str(torch.__version__), version("numpy"), core_version(), provider(architecture))


def _require_possible(job: Job, model: Model) -> None:
    """Raise TrainingError if the job does not fit the dataset, or has too many threads.

    Published jobs are checked too, because they may come from somebody else.
    """
    if not 1 <= job.threads <= MAX_THREADS:
        raise TrainingError(f"threads should be from 1 to {MAX_THREADS:,}, not {job.threads}")
    side = max(model.dataset.input_size[1:])
    if job.recipe.img_size not in (None, side):
        raise TrainingError(
            f"recipe: img_size should be null, not {job.recipe.img_size}: all images of {model.dataset.name} have size "
            f"{side}; only your own images (dataset folder:PATH) can have another"
        )
    if job.recipe.crop_padding > side:
        raise TrainingError(
            f"recipe: crop_padding should be up to {side}, the size of the images, not {job.recipe.crop_padding}"
        )
    available = model.dataset.train_images - job.recipe.val_images
    if available < 1:
        raise TrainingError(
            f"recipe: val_images should be less than {model.dataset.train_images}, the number of training images"
        )
    if not 1 <= job.train_images <= available:
        raise TrainingError(f"limit_train should be from 1 to {available}, not {job.train_images}")
    last = job.train_images % job.recipe.batch_size or job.recipe.batch_size
    if job.device == "cuda" and last < job.processes:  # SyncBatchNorm would wait forever for a process without images
        raise TrainingError(
            f"the last batch of an epoch has {last} images, fewer than the {job.processes} processes; "
            "change batch_size or limit_train, or use fewer GPUs"
        )
    for name, values in (("mean", job.recipe.mean), ("std", job.recipe.std)):
        if values is not None and len(values) != model.dataset.input_size[0]:
            channels = model.dataset.input_size[0]
            raise TrainingError(f"recipe: {name} should have {channels} numbers, not {len(values)}")
