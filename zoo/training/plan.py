"""From what a person asked to jobs: every choice that was left open is made here, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import msgspec
import torch

from zoo.errors import RecipeError, TrainingError
from zoo.nets.build import require_as_declared
from zoo.nets.device import has_bf16
from zoo.plugins import core_version
from zoo.record.job import Job, Origin, Versions
from zoo.record.types import Trained
from zoo.registry import provider
from zoo.spec import Architecture, Model, Recipe
from zoo.training import compiling, distributed
from zoo.training.start import Start

MOST_SEEDS = 1_000  # of one command
MOST_THREADS = 1_024


@dataclass(frozen=True)
class Options:
    """What a person may say about a training; None where it is left to the zoo."""

    recipe: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)  # fields of the recipe, as text
    epochs: int | None = None
    limit_train: int | None = None
    amp: bool | None = None
    compile: str = "auto"
    deterministic: bool | None = None
    grad_checkpointing: bool = False
    dtype: str = "fp32"
    threads: int | None = None


@dataclass(frozen=True)
class Machine:
    """What a training runs on, and where its data sets are."""

    device: torch.device
    data_root: Path


@dataclass(frozen=True)
class Plan:
    """A job, why its steps are run as it says, and the weights that it begins with where it names some."""

    job: Job
    why: str
    start: Start | None = None
    license: str | None = None  # of the weights; that of the start, else the architecture's, where None


def recipe_of(known: Model | Architecture, options: Options) -> tuple[str, Recipe]:
    """The recipe that is asked for, changed as it is asked for, and its name; raises RecipeError."""
    name = options.recipe or next(iter(known.recipes))
    if name not in known.recipes:
        raise RecipeError(f"{known.name} has no recipe {name!r}; it has {', '.join(known.recipes)}")
    settings = dict(options.settings) | ({} if options.epochs is None else {"epochs": str(options.epochs)})
    return name, known.recipes[name].changed(settings)


def plan(
    model: Model,
    options: Options,
    machine: Machine,
    *,
    seed: int,
    start: Start | None = None,
    teacher: Origin | None = None,
    license: str | None = None,  # noqa: A002 - what it is called everywhere
) -> Plan:
    """The job that is asked for, on this machine; raises RecipeError or TrainingError where it can't be.

    Raises PluginError where the model isn't what its plugin says.
    """
    require_as_declared(model)
    name, recipe = recipe_of(model, options)
    if options.dtype not in ("fp32", "fp16"):
        raise TrainingError(f"--dtype should be fp32 or fp16, not {options.dtype!r}")
    most = model.dataset.train_images - recipe.val_images
    device, processes = machine.device, distributed.share().world
    images = most if options.limit_train is None else options.limit_train
    amp = has_bf16(device) if options.amp is None else options.amp
    compilation = compiling.choose(
        options.compile, recipe, device=device, amp=amp, images=recipe.epochs * images, processes=processes
    )
    job = Job(
        architecture=model.architecture.name,
        dataset=model.dataset.name,
        recipe_name=name,
        recipe=recipe,
        seed=seed,
        train_images=images,
        device=device.type,
        amp=amp,
        compile=compilation.how,
        deterministic=device.type == "cpu" if options.deterministic is None else options.deterministic,
        grad_checkpointing=options.grad_checkpointing,
        threads=torch.get_num_threads() if options.threads is None else options.threads,
        processes=processes,
        dtype=options.dtype,  # type: ignore[arg-type]
        versions=versions(model.architecture),
        start=start.origin if start else None,
        teacher=teacher,
        pictures=_hash(model),
    )
    require_sense(job, model)
    return Plan(job, compilation.why, start, license)


def _hash(model: Model) -> str:
    """Of the pictures that the data set was found to be made of."""
    return model.dataset.pictures.sha256 if model.dataset.pictures else ""


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
    start: Start | None = None,
    teacher: Origin | None = None,
    epochs: int | None = None,
    seed: int | None = None,
) -> Plan:
    """A job that was published, for this machine; with other `epochs` and from another `seed` where they are given.

    On another kind of device, what was compiled there is compiled as this one does it. Raises
    TrainingError where `teacher` or `start` is not the one it had.
    """
    require_as_declared(model)
    had, has = (one.sha256 if one else None for one in (published.teacher, teacher))
    if had != has:
        raise TrainingError(
            f"{published.name} learned from a teacher with SHA-256 {had}, "
            f"but {published.recipe.teacher} has {has} now; name the hub that has the one of then with ZOO_HUB"
        )
    had, has = (one.sha256 if one else None for one in (published.start, start.origin if start else None))
    if had != has:
        raise TrainingError(
            f"{published.name} began with weights with SHA-256 {had}, "
            f"but {published.start.address if published.start else 'nothing'} has {has} now; "
            "name the hub that has those of then with ZOO_HUB"
        )
    recipe = published.recipe if epochs is None else published.recipe.changed({"epochs": str(epochs)})
    processes, device = distributed.share().world, machine.device
    asked = published.compile if published.device == device.type else "auto"
    images = recipe.epochs * published.train_images
    compilation = compiling.choose(asked, recipe, device=device, amp=published.amp, images=images, processes=processes)
    job = msgspec.structs.replace(
        published,
        recipe=recipe,
        seed=published.seed if seed is None else seed,
        device=device.type,
        compile=compilation.how,
        processes=processes,
        versions=versions(model.architecture),
        teacher=teacher,
    )
    require_sense(job, model)
    return Plan(job, compilation.why, start)


def versions(architecture: Architecture) -> Versions:
    """The versions here of all that decides the numbers."""
    return Versions(str(torch.__version__), version("numpy"), core_version(), provider(architecture))


def require_sense(job: Job, model: Model) -> None:
    """Refuse what the data set has no images or channels for, and numbers beyond reason; raises TrainingError.

    A job may come from a stranger's folder, and memory and processors are taken by what it says.
    """
    if not 0 <= job.seed < 2**63:
        raise TrainingError(f"--seed should be from 0 to {2**63 - 1}, not {job.seed}")
    if not 1 <= job.threads <= MOST_THREADS:
        raise TrainingError(f"--threads should be at least 1 and up to {MOST_THREADS:,}, not {job.threads}")
    side = max(model.dataset.input_size[1:])
    if job.recipe.img_size not in (None, side):
        raise TrainingError(
            f"recipe: img_size should be null: the images of {model.dataset.name} are of one size, {side}, "
            f"not {job.recipe.img_size}; pictures of any size are --dataset folder:PATH"
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
        raise TrainingError(f"--limit-train should be from 1 to {most}, not {job.train_images}")
    for name, values in (("mean", job.recipe.mean), ("std", job.recipe.std)):
        if values is not None and len(values) != model.dataset.input_size[0]:
            channels = model.dataset.input_size[0]
            raise TrainingError(f"recipe: {name} should have {channels} numbers, not {len(values)}")
