"""Jobs: from options and a machine to everything that determines the weights, as one value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import msgspec
import torch

from zoo.errors import TrainingError
from zoo.nets.build import require_as_declared
from zoo.nets.device import choose_for_training, has_bf16
from zoo.plugins import core_version
from zoo.record.job import Job, Origin, Versions
from zoo.record.types import Trained
from zoo.registry import provider
from zoo.spec import Architecture, Model
from zoo.training import distributed, step
from zoo.training.options import TrainOptions

MOST_THREADS = 1_024


@dataclass(frozen=True)
class Machine:
    """The device that a training runs on, and the directory of data sets."""

    device: torch.device
    data_root: Path

    @classmethod
    def here(cls, device: str | None, data_root: Path) -> Machine:
        """This process's device: under torchrun the GPU of its rank. Raises DeviceError or TrainingError."""
        own = distributed.own_device(choose_for_training(device))
        if own.type == "mps" and distributed.share().world > 1:
            raise TrainingError("several processes train on cpu or cuda, not on mps; use one process")
        return cls(own, data_root)


def new(
    model: Model,
    options: TrainOptions,
    machine: Machine,
    *,
    start: Origin | None = None,
    teacher: Origin | None = None,
) -> tuple[Job, str]:
    """The job of these options on this machine, from their first seed, and the reason why it compiles its steps or not.

    Raises RecipeError, TrainingError, or PluginError if the model is not what its plugin declares.
    """
    require_as_declared(model)
    name, recipe = options.recipe_of(model)
    most = model.dataset.train_images - recipe.val_images
    device = machine.device
    job = Job(
        architecture=model.architecture.name,
        dataset=model.dataset.name,
        recipe_name=name,
        recipe=recipe,
        seed=options.seed,
        train_images=most if options.limit_train is None else options.limit_train,
        device=device.type,
        amp=has_bf16(device) if options.amp is None else options.amp,
        compile="none",
        deterministic=device.type == "cpu" if options.deterministic is None else options.deterministic,
        grad_checkpointing=options.grad_checkpointing,
        threads=torch.get_num_threads() if options.threads is None else options.threads,
        processes=distributed.share().world,
        dtype=options.dtype,  # type: ignore[arg-type]
        versions=versions(model.architecture),
        start=start,
        teacher=teacher,
        pictures=model.dataset.pictures.sha256 if model.dataset.pictures else "",
    )
    return _decided(job, options.compile, model)


def as_published(model: Model, published: Trained) -> Model:
    """The model with the normalisation that was published, whatever its plugin declares by now.

    Raises TrainingError where that can't be followed.
    """
    dataset = replace(model.dataset, mean=published.mean, std=published.std, resizing=published.resizing)
    followed = replace(model, dataset=dataset)
    if followed.normalisation(published.job.recipe) != (published.mean, published.std):
        raise TrainingError(f"{published.name} names another mean or std than its recipe; it can't be reproduced")
    if published.results.test_images != dataset.test_images:
        raise TrainingError(
            f"{published.name} was measured on {published.results.test_images:,} test images, {dataset.name} as it "
            f"is declared here has {dataset.test_images:,}; install the plugin that declares its own"
        )
    return followed


def again(
    published: Job,
    model: Model,
    machine: Machine,
    *,
    start: Origin | None = None,
    teacher: Origin | None = None,
    epochs: int | None = None,
    seed: int | None = None,
) -> tuple[Job, str]:
    """A published job on this machine, with other `epochs` and another `seed` if they are given, and the reason.

    On another kind of device the zoo chooses anew how to run the steps. Raises TrainingError if `teacher` or `start` is
    not the published one.
    """
    require_as_declared(model)
    _require_same("teacher", published.teacher, teacher)
    _require_same("start", published.start, start)
    recipe = published.recipe if epochs is None else published.recipe.changed({"epochs": str(epochs)})
    device = machine.device.type
    job = msgspec.structs.replace(
        published,
        recipe=recipe,
        seed=published.seed if seed is None else seed,
        device=device,
        processes=distributed.share().world,
        versions=versions(model.architecture),
        teacher=teacher,
    )
    return _decided(job, published.compile if published.device == device else "auto", model)


def _decided(job: Job, given: str, model: Model) -> tuple[Job, str]:
    """The job with the way in which its steps are run, and the reason; raises TrainingError if it makes no sense."""
    compilation = step.choose(
        given,
        job.recipe,
        device=torch.device(job.device),
        amp=job.amp,
        images=job.recipe.epochs * job.train_images,
        processes=job.processes,
        recomputes=job.grad_checkpointing,
    )
    job = msgspec.structs.replace(job, compile=compilation.how)
    _require_sense(job, model)
    return job, compilation.why


def _require_same(what: str, published: Origin | None, here: Origin | None) -> None:
    """Refuse a teacher or a start that has other weights than the published one; raises TrainingError."""
    expected, actual = (origin.sha256 if origin else None for origin in (published, here))
    if expected != actual:
        address = published.address if published else "none"
        raise TrainingError(
            f"the {what} {address} has weights with SHA-256 {actual} now, and the published training had {expected}; "
            "set ZOO_HUB to the hub that has the original weights"
        )


def versions(architecture: Architecture) -> Versions:
    """The versions here of all that decides the numbers."""
    return Versions(str(torch.__version__), version("numpy"), core_version(), provider(architecture))


def _require_sense(job: Job, model: Model) -> None:
    """Refuse what the data set has no images or channels for, and numbers beyond reason; raises TrainingError.

    A job may come from a stranger's folder, and memory and processors are taken by what it says.
    """
    if not 1 <= job.threads <= MOST_THREADS:
        raise TrainingError(f"threads should be at least 1 and up to {MOST_THREADS:,}, not {job.threads}")
    side = max(model.dataset.input_size[1:])
    if job.recipe.img_size not in (None, side):
        raise TrainingError(
            f"recipe: img_size should be null: the images of {model.dataset.name} are of one size, {side}, "
            f"not {job.recipe.img_size}; pictures of any size are dataset folder:PATH"
        )
    if job.recipe.crop_padding > side:
        raise TrainingError(
            f"recipe: crop_padding should be up to {side}, the side of the images, not {job.recipe.crop_padding}"
        )
    most = model.dataset.train_images - job.recipe.val_images
    if most < 1:
        raise TrainingError(
            f"recipe: val_images should be under {model.dataset.train_images}, all there are to train on"
        )
    if not 1 <= job.train_images <= most:
        raise TrainingError(f"limit_train should be from 1 to {most}, not {job.train_images}")
    last = job.train_images % job.recipe.batch_size or job.recipe.batch_size
    if job.device == "cuda" and last < job.processes:  # SyncBatchNorm would wait forever for a share without images
        raise TrainingError(
            f"the last batch of an epoch has {last} images, fewer than the {job.processes} processes; "
            "change batch_size or limit_train, or use fewer GPUs"
        )
    for name, values in (("mean", job.recipe.mean), ("std", job.recipe.std)):
        if values is not None and len(values) != model.dataset.input_size[0]:
            channels = model.dataset.input_size[0]
            raise TrainingError(f"recipe: {name} should have {channels} numbers, not {len(values)}")
