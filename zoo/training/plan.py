"""Plan a training: check its name and options, and decide everything before the first step.

Options, trackers, names, the recipe and the license are checked before torch is imported. The device, the teacher and
the start are checked next, before the data is read.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from zoo import registry
from zoo.data.collection import DatasetRequest, is_address, root_of
from zoo.errors import StartWarning, TrainingError, UnknownModel
from zoo.hub import publish
from zoo.hub.resolve import Published, published, require_allowed
from zoo.record.job import Job
from zoo.record.paths import path_of
from zoo.record.types import UNKNOWN_LICENSE, require_trained
from zoo.spec import Model, Recipe
from zoo.training.options import TrainOptions
from zoo.training.reporting import Reporting, default_report
from zoo.training.trackers import trackers

if TYPE_CHECKING:
    import torch

    from zoo.training.output import Output
    from zoo.training.start import Start, Teacher


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """A training, planned before its first step."""

    job: Job
    why: str  # the reason for `job.compile`
    model: Model
    device: torch.device
    data_root: Path  # the directory of datasets
    output: Output
    reporting: Reporting
    start: Start | None = None
    teacher: Teacher | None = None
    license: str | None = None  # of the weights; None for the start's, else the architecture's
    limit_test: int | None = None  # number of test images, from the first on; None for all

    @property
    def weights_license(self) -> str:
        """The license of the weights."""
        return self.license or (self.start.license if self.start else self.model.architecture.license)


def plans(name: str, options: TrainOptions) -> list[Plan]:
    """Plan the training of a model for each seed.

    Args:
        name: A model, `resnet20_cifar10`, or an architecture, `resnet20`.
        options: The options of the training.

    Returns:
        A plan for each seed of the options.

    Raises:
        RegistryError: No plugin declares the model.
        RecipeError: The model has no such recipe, or a setting is not possible.
        DataError: The images of an own dataset can't be read.
        TrainingError: An option is not possible, or start or teacher do not fit.
        FolderError: The folder of a start or a teacher is damaged.
        HubError: A start or a teacher can't be downloaded.
    """
    reporting = _reporting(options)
    source = None if options.start is None else published(options.start)
    model = _model(name, options, source)
    recipe_name, recipe = options.recipe_of(model)
    weights_license = _license(options, model)
    if recipe.freeze_epochs and source is None:
        warnings.warn(
            StartWarning(
                f"recipe {recipe_name} trains only the head for {recipe.freeze_epochs} of {recipe.epochs} epochs, but "
                "the rest of the net is not trained yet; set start to pretrained weights"
            ),
            stacklevel=4,
        )

    from zoo.training import distributed, jobs
    from zoo.training.start import load_start, load_teacher

    device, data_root = distributed.own_device(options.device), root_of(options.data)
    seeds = range(options.seed, options.seed + options.seeds)
    outputs = _outputs(options, f"{model.name}-{recipe_name}", seeds)
    resumed = [_resumed_job(output, model, recipe, seed) for seed, output in zip(seeds, outputs, strict=True)]
    teacher = load_teacher(model, recipe, device, resumed)
    start = None if source is None or options.start is None else load_start(model, options.start, source, resumed)
    job, why = jobs.new(model, options, device, start=start, teacher=teacher)
    plan = Plan(
        job=job,
        why=why,
        model=model,
        device=device,
        data_root=data_root,
        output=outputs[0],
        reporting=reporting,
        start=start,
        teacher=teacher,
        license=weights_license,
        limit_test=options.limit_test,
    )
    return [
        replace(plan, job=msgspec.structs.replace(job, seed=seed), output=output)
        for seed, output in zip(seeds, outputs, strict=True)
    ]


def reproduction(original: Published, options: TrainOptions) -> Plan:
    """Plan to train a published model again.

    Args:
        original: The published model.
        options: Epochs, seed, device, data, output and reports. The published job has the other values.

    Returns:
        The plan.

    Raises:
        TrainingError: The start, the teacher or the dataset has changed since.
    """
    from zoo.training import distributed, jobs
    from zoo.training.start import load_start, load_teacher

    reporting = _reporting(options)
    device, data_root = distributed.own_device(options.device), root_of(options.data)
    record = require_trained(original.config)
    model, published_job = jobs.as_published(original.model, record), record.job
    teacher_address = published_job.teacher.address if published_job.teacher else published_job.recipe.teacher
    if teacher_address is not None:
        require_allowed(teacher_address, f"the teacher of {original.config.name}")
    teacher = load_teacher(model, published_job.recipe, device, [published_job])
    start = None
    if published_job.start is not None:
        address = published_job.start.address
        require_allowed(address, f"the start of {original.config.name}")
        start = load_start(model, address, published(address), [])
    job, why = jobs.again(
        published_job,
        model,
        device,
        start=start,
        teacher=teacher,
        epochs=options.epochs,
        seed=options.seed,
    )
    return Plan(
        job=job,
        why=why,
        model=model,
        device=device,
        data_root=data_root,
        output=_output(options, f"{model.name}-reproduced"),
        reporting=reporting,
        start=start,
        teacher=teacher,
        license=original.config.license,
    )


def _reporting(options: TrainOptions) -> Reporting:
    report = options.report or default_report()
    return Reporting(options.save_every, options.eval_every, report, trackers(options.track or ()))


def _output(options: TrainOptions, name: str) -> Output:
    from zoo.training.output import Output

    return Output(
        path_of(options.out or Path("runs") / name),
        options.resume,
        options.overwrite,
        options.allow_other_environment,
    )


def _outputs(options: TrainOptions, name: str, seeds: range) -> list[Output]:
    """The output of each seed; a given folder is that of the first seed, and the others append their seed."""
    first = _output(options, f"{name}-seed{seeds.start}")
    stem = name if options.out is None else first.folder.name
    return [first, *(replace(first, folder=first.folder.with_name(f"{stem}-seed{seed}")) for seed in seeds[1:])]


def _resumed_job(output: Output, model: Model, recipe: Recipe, seed: int) -> Job | None:
    """The job in the output that would be resumed, if it is of this model, recipe and seed."""
    jobs = (job for job in output.resumable() if (job.name, job.recipe, job.seed) == (model.name, recipe, seed))
    return next(jobs, None)


def _model(name: str, options: TrainOptions, start: Published | None) -> Model:
    """The model to train: a declared one, or an architecture on the user's own images.

    An architecture that no plugin declares is taken from the start's weights. Raises UnknownModel.
    """
    dataset = options.dataset or ""
    if is_address(dataset):
        return _on_own_images(name, options, start)
    if options.test_part is not None or options.skip_bad:
        raise TrainingError("test_part and skip_bad need your own images (dataset folder:PATH)")
    try:
        return _declared(name, dataset or None, start)
    except UnknownModel as error:
        if not dataset or not Path(dataset).is_dir():
            raise
        raise UnknownModel(f"{error}; for your own images set dataset to folder:{dataset}") from None


def _on_own_images(name: str, options: TrainOptions, start: Published | None) -> Model:
    try:
        architecture = registry.architecture(name)
    except UnknownModel:
        if start is None or start.architecture.name != name:
            raise
        architecture = start.architecture
    _, recipe = options.recipe_of(architecture)

    from zoo.data.prepared import open_dataset

    request = DatasetRequest(options.dataset or "", options.test_part, options.skip_bad)
    size = start.config.input_size[1] if start else None
    root = root_of(options.data)
    pictures = open_dataset(request, recipe, root, options.tell or _silent, size=size)
    return Model(architecture, pictures, parameters=None)


def _silent(what: str, done: int, total: int) -> None:
    """A progress callback that does nothing."""


def _declared(name: str, dataset: str | None, start: Published | None) -> Model:
    """The declared model, or the start's architecture on a declared dataset; raises UnknownModel."""
    try:
        return registry.load(registry.resolve(name, dataset))
    except UnknownModel:
        if start is None:
            raise
        architecture = start.architecture
        if dataset is None and name == architecture.name:
            raise UnknownModel(f"{name} has no default dataset; name one (dataset)") from None
        dataset_name = name.removeprefix(f"{architecture.name}_") if dataset is None else dataset
        if name not in (architecture.name, f"{architecture.name}_{dataset_name}"):
            raise
        return registry.join(architecture, registry.dataset(dataset_name))


def _license(options: TrainOptions, model: Model) -> str | None:
    """The license of the weights, None for the default; raises TrainingError if publishing needs one."""
    if options.license is not None:
        return publish.sound_license(options.license)
    if model.dataset.pictures is None:
        return None
    if options.push:
        raise TrainingError(publish.unlicensed(model.name))
    return UNKNOWN_LICENSE
