"""Plans: from a name and options to trainings that can begin.

All that can be wrong is refused here, the cheapest first: options, trackers, names, recipe and license before torch is
imported, then device, teacher and start, before data is read and the first step is made.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo import registry
from zoo.data.collection import DatasetRequest, is_address
from zoo.errors import RecipeError, StartWarning, TrainingError, UnknownModel
from zoo.hub import publish
from zoo.hub.address import Name, parse
from zoo.hub.resolve import Published, published, require_allowed
from zoo.record.job import Job, Origin
from zoo.record.paths import path_of
from zoo.record.types import UNKNOWN_LICENSE, require_trained
from zoo.spec import Architecture, Model, Recipe
from zoo.training.options import TrainOptions
from zoo.training.reporting import Report, Reporting
from zoo.training.trackers import trackers

if TYPE_CHECKING:
    import torch

    from zoo.training.jobs import Machine
    from zoo.training.output import Output
    from zoo.training.start import Start, Teacher


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """A training, decided before its first step."""

    job: Job
    why: str  # the reason why the steps are run as the job says
    model: Model
    machine: Machine
    output: Output
    reporting: Reporting
    start: Start | None = None
    teacher: Teacher | None = None
    license: str | None = None  # of the weights; None for that of the start, else the architecture's


def plans(name: str, options: TrainOptions) -> list[Plan]:
    """Plan the training of a model with these options, once for each seed.

    Raises RegistryError, RecipeError, DataError, TrainingError, FolderError or HubError.
    """
    reporting = _reporting(options)
    source = None if options.start is None else published(options.start)
    model = _model(name, options, source)
    recipe_name, recipe = options.recipe_of(model)
    weights_license = _license(options, model)
    if recipe.freeze_epochs and source is None:
        _warn_of_frozen_initialization(recipe_name, recipe)

    from zoo.data import sources
    from zoo.training import jobs

    machine = jobs.Machine.here(options.device, sources.root_of(options.data))
    teacher = _teacher(model, recipe, machine.device)
    start = None if source is None or options.start is None else _start(model, options.start, source)
    seeds = range(options.seed, options.seed + options.seeds)
    planned = [
        jobs.new(
            model,
            options,
            machine,
            seed=seed,
            start=start.origin if start else None,
            teacher=teacher.origin if teacher else None,
        )
        for seed in seeds
    ]
    return [
        Plan(
            job=one.job,
            why=one.why,
            model=model,
            machine=machine,
            output=output,
            reporting=reporting,
            start=start,
            teacher=teacher,
            license=weights_license,
        )
        for one, output in zip(planned, _outputs(options, f"{model.name}-{recipe_name}", seeds), strict=True)
    ]


def reproduction(original: Published, options: TrainOptions) -> Plan:
    """Plan to train a published model again; the options say epochs, seed, device, data, output and reports only.

    Raises TrainingError where start, teacher or data set is another by now.
    """
    from zoo.data import sources
    from zoo.training import jobs
    from zoo.training.output import Output

    reporting = _reporting(options)
    machine = jobs.Machine.here(options.device, sources.root_of(options.data))
    record = require_trained(original.config)
    model, job = jobs.as_published(original.model, record), record.job
    if job.recipe.teacher is not None:
        require_allowed(job.recipe.teacher, f"the teacher of {original.config.name}")
    teacher = _teacher(model, job.recipe, machine.device)
    start = None
    if job.start is not None:
        require_allowed(job.start.address, f"what {original.config.name} began with")
        start = _start(model, job.start.address, published(job.start.address))
    planned = jobs.again(
        job,
        model,
        machine,
        start=start.origin if start else None,
        teacher=teacher.origin if teacher else None,
        epochs=options.epochs,
        seed=options.seed,
    )
    return Plan(
        job=planned.job,
        why=planned.why,
        model=model,
        machine=machine,
        output=Output(path_of(options.out or Path("runs") / f"{model.name}-reproduced"), options.mode),
        reporting=reporting,
        start=start,
        teacher=teacher,
        license=original.config.license,
    )


def _reporting(options: TrainOptions) -> Reporting:
    return Reporting(options.save_every, options.eval_every, options.report or Report(), trackers(options.track or ()))


def _outputs(options: TrainOptions, name: str, seeds: range) -> list[Output]:
    from zoo.training.output import Output

    if options.out is None:
        return [Output(Path("runs") / f"{name}-seed{seed}", options.mode) for seed in seeds]
    first = Output(path_of(options.out), options.mode)
    return [first, *(first.of_seed(seed) for seed in seeds[1:])]


def _warn_of_frozen_initialization(recipe_name: str, recipe: Recipe) -> None:
    epochs = f"{recipe.freeze_epochs} of {recipe.epochs} epochs"
    warnings.warn(
        StartWarning(
            f"recipe {recipe_name} trains the head alone for {epochs}, and the rest of the net has learned nothing "
            "yet: name the weights that it begins with (start)"
        ),
        stacklevel=5,
    )


def _model(name: str, options: TrainOptions, start: Published | None) -> Model:
    """The model to train: a declared one, or an architecture on somebody's own pictures.

    An architecture that no plugin declares is that of the weights it starts from. Raises UnknownModel.
    """
    dataset = options.dataset or ""
    if is_address(dataset):
        return _on_own_pictures(_architecture(name, start), options, start)
    if options.test_part is not None or options.skip_bad:
        raise TrainingError("test_part and skip_bad are for pictures of your own: dataset folder:PATH")
    try:
        return _declared(name, dataset or None, start)
    except UnknownModel as error:
        if not dataset or not Path(dataset).is_dir():
            raise
        raise UnknownModel(f"{error}; to train on the folder of that name: dataset folder:{dataset}") from None


def _on_own_pictures(architecture: Architecture, options: TrainOptions, start: Published | None) -> Model:
    _, recipe = options.recipe_of(architecture)

    from zoo.data import sources
    from zoo.data.prepared import open_dataset

    request = DatasetRequest(options.dataset or "", options.test_part, options.skip_bad)
    size = start.config.input_size[1] if start else None
    root = sources.root_of(options.data)
    pictures = open_dataset(request, recipe, root, options.tell or _silent, size=size)
    return Model(architecture, pictures, parameters=None)


def _silent(what: str, done: int, total: int) -> None:
    """Progress of long work, told to nobody."""


def _architecture(name: str, start: Published | None) -> Architecture:
    try:
        return registry.architecture(name)
    except UnknownModel:
        if start is None or start.architecture.name != name:
            raise
        return start.architecture


def _declared(name: str, dataset: str | None, start: Published | None) -> Model:
    """The model of a name and a data set's name, as the plugins declare them."""
    try:
        return registry.load(registry.resolve(name, dataset))
    except UnknownModel:
        if start is None:
            raise
        architecture = start.architecture
        if dataset is None and name == architecture.name:
            raise UnknownModel(f"{name} has no default data set; choose one (dataset)") from None
        on = name.removeprefix(f"{architecture.name}_") if dataset is None else dataset
        if name not in (architecture.name, f"{architecture.name}_{on}"):
            raise
        return registry.join(architecture, registry.dataset(on))


def _license(options: TrainOptions, model: Model) -> str | None:
    """The license of the weights if it is not the architecture's; own pictures need one to be published."""
    if options.license is not None:
        return publish.sound_license(options.license)
    if model.dataset.pictures is None:
        return None
    if options.push:
        raise TrainingError(publish.unlicensed(model.name))
    return UNKNOWN_LICENSE


def _start(model: Model, named: str | Path, source: Published) -> Start:
    """The weights that a training of the model starts from; raises TrainingError."""
    from zoo.training.start import Start, begins

    config = source.config
    if not begins(model.architecture, config.architecture):
        raise TrainingError(
            f"{named} is a {config.architecture}, and can't start a {model.architecture.name}; "
            f"train {config.architecture}, or start from another"
        )
    shallower = "" if config.architecture == model.architecture.name else config.architecture
    return Start(
        tensors=source.net().state_dict(),
        classes=config.classes,
        channels=config.input_size[0],
        origin=Origin(_lasting(named, source), source.config.weights.sha256, shallower),
        license=config.license,
    )


def _lasting(named: str | Path, source: Published) -> str:
    """The name, path or address by which weights are found again: a full name, and a commit where it is known."""
    if isinstance(parse(named), Name):
        return source.config.name
    return source.place if source.other and not source.is_local else str(named)


def _teacher(model: Model, recipe: Recipe, device: torch.device) -> Teacher | None:
    """The teacher that a recipe names, with the student's classes; None if it names none. Raises RecipeError."""
    if recipe.teacher is None:
        return None
    import torch

    from zoo.training.start import Renormalised, Teacher

    source = published(_teacher_of(model, recipe.teacher))
    config = source.config
    if config.classes != model.dataset.classes:
        raise RecipeError(
            f"recipe: teacher {config.name} knows other classes than {model.dataset.name}'s; name another"
        )
    net: torch.nn.Module = source.net(device).to(memory_format=torch.channels_last)
    own, students = (config.mean, config.std), model.normalisation(recipe)
    if own != students:
        net = Renormalised(net, students, own).to(device).eval()
    return Teacher(net, Origin(recipe.teacher, source.config.weights.sha256))


def _teacher_of(model: Model, teacher: str) -> str:
    """The teacher's full name: an architecture's name means it on the student's data set, with its tag."""
    if not isinstance(parse(teacher), Name):
        return teacher
    for name, dot, tag in ((teacher, "", ""), teacher.rpartition(".")):
        try:
            return f"{registry.architecture(name).name}_{model.dataset.name}{dot}{tag}"
        except UnknownModel:
            continue
    return teacher
