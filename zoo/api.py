"""What the command line and a notebook both call: load, train, evaluate, push, pull, list.

Each function is one way through the house; torch is imported by those that compute, when they do.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from zoo import registry
from zoo.data.asked import Asked
from zoo.errors import (
    DataError,
    ExportError,
    HubError,
    NotPublished,
    RecipeError,
    StartWarning,
    TrainingError,
    UnknownModel,
)
from zoo.folder import store
from zoo.folder.config import UNKNOWN_LICENSE, Config
from zoo.hub import Hub, Pushed, open_hub, publish
from zoo.hub.elsewhere import Elsewhere
from zoo.hub.find import full_name, is_name, is_path, require_allowed, tagged
from zoo.hub.listing import ModelInfo, Row, info, list_models, overview, search
from zoo.hub.logs import logs
from zoo.hub.published import Published, published
from zoo.spec import Architecture, Model, Recipe

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torchvision.transforms import v2

    from zoo.data.look import Tell
    from zoo.data.survey import Survey
    from zoo.evaluation.evaluate import Evaluated
    from zoo.evaluation.predict import Prediction
    from zoo.evaluation.report import ClassResults
    from zoo.evaluation.verify import Verified
    from zoo.hub.others import Credit
    from zoo.nets.layers import Layer
    from zoo.training.place import Place
    from zoo.training.plan import Machine, Options, Plan
    from zoo.training.start import Start
    from zoo.training.teacher import Teacher
    from zoo.training.watch import Report, Watch

__all__ = [
    "ModelInfo", "Row", "Site", "Trained",
    "compare", "convert", "evaluate", "export", "find", "import_model", "info", "layers", "list_models", "load",
    "overview", "page", "plot", "predict", "pull", "push", "report", "reproduce", "search", "survey", "train",
    "transforms", "verify",
]  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """What a training leaves: its model folder, what it scored, and where it was published."""

    folder: Path
    config: Config
    published: Pushed | None


@dataclass(frozen=True)
class Site:
    """A site that was written: its folder, its first page, how many models it has, and how many can be tried."""

    folder: Path
    index: Path
    models: int
    tried: int


def find(name_or_path_or_hub_id: str | Path, *, hub: str | None = None, revision: str | None = None) -> Path:
    """The model folder on this machine of a name, a path or an address, weights included.

    Weights that a folder only pins are not in it; `pull` writes a folder that has them.

    Raises UnknownModel, FolderError, NotFound or HubError.
    """
    return published(name_or_path_or_hub_id, hub=hub, revision=revision).folder


def load(
    name_or_path_or_hub_id: str | Path,
    pretrained: bool = False,
    *,
    hub: str | None = None,
    revision: str | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
    device: str = "cpu",
) -> nn.Module:
    """Build a model, with its published weights and in evaluation mode where `pretrained`.

    The first argument is a model's name, a model folder's path, or an address in a hub
    (`hf://namespace/name`, `file:PATH/name`); what has a separator or begins with `.` or `~` is a
    path. Weights of a name come from `hub`; without one from ZOO_HUB where it is set and has them,
    else from the catalogue that ships with the zoo. Their SHA-256 is checked, and every tensor must
    fit. With `num_classes` other than the model's, the layers whose shapes depend on it start from
    their initialisation, all others from the weights; with 0 the net ends with its features, where it
    has timm's `reset_classifier`. With `in_channels` other than the model's, the weights of its first
    convolution are summed or repeated over them, as timm does it.

    Raises UnknownModel, PluginError, BuildError, FolderError, HashMismatch, NotFound or HubError.
    """
    from zoo.nets.build import build
    from zoo.nets.device import choose

    target = choose(device)
    if not pretrained and hub is None and is_name(name_or_path_or_hub_id):
        if revision is not None:
            raise HubError(f"revision {revision} is one of published weights; load them with pretrained=True")
        model = registry.load(tagged(full_name(str(name_or_path_or_hub_id), None))[0])
        return build(model.architecture, model.dataset, num_classes, in_channels).to(target)
    found = published(name_or_path_or_hub_id, hub=hub, revision=revision)
    make = found.net if pretrained else found.untrained
    return make(target, num_classes=num_classes, in_channels=in_channels)


def transforms(
    name_or_path_or_hub_id: str | Path, *, hub: str | None = None, revision: str | None = None
) -> v2.Compose:
    """The preprocessing a model was evaluated with: an image of any size and mode to [C, H, W] float32.

    From the model's folder where it is published, with its own mean and std. Of a name that no hub and no
    revision is given with (and no ZOO_HUB is set for), with the data set's where the catalogue has no weights.
    """
    from zoo.data.preprocess import preprocessing

    try:
        return published(name_or_path_or_hub_id, hub=hub, revision=revision).preprocess
    except NotPublished:
        dataset = registry.load(registry.resolve(str(name_or_path_or_hub_id))).dataset
        return preprocessing(dataset.input_size, dataset.mean, dataset.std, dataset.resizing)


def train(
    name: str,
    *,
    dataset: str | None = None,
    start: str | Path | None = None,
    test_part: float | None = None,
    skip_bad: bool = False,
    license: str | None = None,  # noqa: A002 - what it is called everywhere
    recipe: str | None = None,
    settings: Mapping[str, str] | None = None,
    epochs: int | None = None,
    seed: int = 0,
    seeds: int = 1,
    side_by_side: bool = False,
    device: str | None = None,
    amp: bool | None = None,
    compile: str = "auto",  # noqa: A002 - torch's word for it
    deterministic: bool | None = None,
    grad_checkpointing: bool = False,
    dtype: str = "fp32",
    threads: int | None = None,
    data: Path | None = None,
    limit_train: int | None = None,
    out: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    save_every: int = 1,
    eval_every: int = 1,
    push: bool = False,
    hub: str | None = None,
    track: Sequence[str] = (),
    report: Report | None = None,
    tell: Tell | None = None,
) -> Trained:
    """Train a model with one of its recipes, evaluate it, write its folder `out`, and `push` it.

    `dataset` is a data set's name, or the address of somebody's pictures, `folder:PATH` (docs/pictures.md). Of those,
    `test_part` are the test set where none is set apart, `skip_bad` leaves out what can't be read, `tell` hears how
    far looking at them is, and weights that are published need a `license`.

    It begins with the weights of `start`, a name, a path or an address as `load` takes them, else as its architecture
    initialises it. Where the classes are others than those weights know, the head begins anew, from `seed`; with
    another number of channels the first convolution is adapted as by `load`; all else must fit. A deeper net may begin
    as a shallower one of its family, where its architecture has a `deepening`. An architecture that no plugin declares
    is that of `start`.

    `settings` changes fields of the recipe by name, `limit_train` trains on the first images only,
    `amp` is bf16 autocast (None: where the hardware has it), `compile` is "none", "graph" (a step as one
    CUDA graph), "default" (compiled; on a GPU a graph comes with it) or "auto" (what the training is
    worth), `deterministic` gives the same bytes from the same seed (None: on a CPU, where it costs
    nothing), `grad_checkpointing` computes activations again in the backward pass, for less memory,
    `dtype` "fp16" stores the weights in half the bytes where that costs under 0.02 points on the held-out
    images, or the last training images where the recipe holds out none,
    `threads` is how many of the processor's compute (None: what torch uses).
    `resume` goes on with a run that was stopped, and takes a finished one as it is; `overwrite` starts again.
    `track` names who is told beside `report`: "tensorboard", which writes event files into `OUT.events/`, or a
    plugin's tracker.

    Under torchrun every process calls this with the same arguments; the first one writes and pushes.
    The process is left as it was; one that does nothing but train on a CPU is faster with
    `zoo.training.memory.keep_memory()`, which can't be put back, before.

    With `seeds` above 1 the training is repeated from the seeds after `seed`, each into a folder of its
    own; the model that is returned and pushed is that of `seed`, declared here, whichever is best, and
    its card says the mean and standard deviation of all. One after another, or `side_by_side` in one
    process, which a GPU may have room for; the weights are the same.

    Raises RegistryError, RecipeError, DataError, TrainingError, FolderError or HubError; what can
    be foreseen (hub, token, name, data, folder) before the first step. Warns with StartWarning where a
    recipe trains the head alone at first, and there is no `start`.
    """
    from zoo.training.place import Place, mode_of
    from zoo.training.plan import MOST_SEEDS, Options, plan, recipe_of

    options = Options(
        recipe=recipe,
        settings=settings or {},
        epochs=epochs,
        limit_train=limit_train,
        amp=amp,
        compile=compile,
        deterministic=deterministic,
        grad_checkpointing=grad_checkpointing,
        dtype=dtype,
        threads=threads,
    )
    if not 1 <= seeds <= MOST_SEEDS:
        raise TrainingError(f"--seeds should be at least 1 and up to {MOST_SEEDS:,}, not {seeds}")
    machine, target = _machine(device, data), open_hub(hub) if push else None
    watch = _watch(save_every, eval_every, report, track)
    source = None if start is None else published(start)
    model = _model(name, Asked(dataset or "", test_part, skip_bad), options, machine, tell or _nobody, source)
    weights_license = _license(license, model, target)
    recipe_name, chosen = recipe_of(model, options)
    teacher = _teacher(model, chosen, machine.device)
    origin, begun = teacher.origin if teacher else None, _start(model, start, source)
    if chosen.freeze_epochs and begun is None:
        warnings.warn(StartWarning(_nothing_learned(recipe_name, chosen)), stacklevel=2)
    plans = [
        plan(model, options, machine, seed=one, start=begun, teacher=origin, license=weights_license)
        for one in range(seed, seed + seeds)
    ]
    mode = mode_of(resume=resume, overwrite=overwrite)
    if out is None:
        places = [Place(Path("runs") / f"{model.name}-{recipe_name}-seed{one.job.seed}", mode) for one in plans]
    else:
        places = [Place(out, mode), *(Place(out, mode).beside(one.job.seed) for one in plans[1:])]
    return _train(
        plans,
        model,
        places,
        machine=machine,
        watch=watch,
        teacher=teacher,
        target=target,
        side_by_side=side_by_side,
    )


def _model(name: str, asked: Asked, options: Options, machine: Machine, tell: Tell, start: Published | None) -> Model:
    """The model that is to be trained: declared, or an architecture on somebody's own pictures.

    An architecture that no plugin declares is that of the weights it starts from. Raises UnknownModel.
    """
    from zoo.data.kinds import is_address
    from zoo.data.opening import opened
    from zoo.training.plan import recipe_of

    if not is_address(asked.address):
        if asked.test_part is not None or asked.skip_bad:
            raise TrainingError("--test-part and --skip-bad are for pictures of one's own: --dataset folder:PATH")
        try:
            return _declared(name, asked.address or None, start)
        except UnknownModel as error:
            if not asked.address or not Path(asked.address).is_dir():
                raise
            raise UnknownModel(
                f"{error}; to train on the folder of that name: --dataset folder:{asked.address}"
            ) from None
    architecture = _architecture(name, start)
    _, recipe = recipe_of(architecture, options)
    size = start.config.input_size[1] if start else None
    pictures = opened(asked, recipe, machine.data_root, tell, size=size)
    return Model(architecture, pictures, parameters=None)


def _architecture(name: str, start: Published | None) -> Architecture:
    try:
        return registry.architecture(name)
    except UnknownModel:
        if start is None or start.architecture.name != name:
            raise
        return start.architecture


def _declared(name: str, dataset: str | None, start: Published | None) -> Model:
    """The model of a name and a data set's name, as the plugins have them."""
    try:
        return registry.load(registry.resolve(name, dataset))
    except UnknownModel:
        if start is None:
            raise
        architecture = start.architecture
        if dataset is None and name == architecture.name:
            raise UnknownModel(f"{name} has no default data set; choose one with --dataset") from None
        on = name.removeprefix(f"{architecture.name}_") if dataset is None else dataset
        if name not in (architecture.name, f"{architecture.name}_{on}"):
            raise
        return registry.join(architecture, registry.dataset(on))


def _nothing_learned(recipe_name: str, recipe: Recipe) -> str:
    """What is to be said of a head that learns alone on top of a net that knows nothing."""
    epochs = f"{recipe.freeze_epochs} of {recipe.epochs} epochs"
    return (
        f"recipe {recipe_name} trains the head alone for {epochs}, and the rest of the net has learned nothing yet: "
        "name the weights that it begins with, --start MODEL"
    )


def _license(given: str | None, model: Model, target: Hub | None) -> str | None:
    """The license of the weights, where it is not the architecture's; whoever publishes their own has to say it."""
    if given is not None:
        return _sound_license(given)
    if model.dataset.pictures is None:
        return None
    if target is not None:
        raise TrainingError(publish.unlicensed(model.name))
    return UNKNOWN_LICENSE


def _sound_license(given: str) -> str:
    if not publish.LICENSE.fullmatch(given) or given == UNKNOWN_LICENSE:
        raise HubError(f"--license should be as the Hub spells it, apache-2.0 or cc-by-4.0, not {given!r}")
    return given


def _nobody(what: str, done: int, total: int) -> None:
    """Hears how far long work is, and says nothing."""


def _train(
    plans: list[Plan],
    model: Model,
    places: list[Place],
    *,
    machine: Machine,
    watch: Watch,
    teacher: Teacher | None,
    target: Hub | None = None,
    side_by_side: bool = False,
) -> Trained:
    """Train what is planned already, whoever planned it."""
    from zoo.training import distributed
    from zoo.training.place import owned
    from zoo.training.run import run_seeds

    is_first, folder = distributed.share().is_first, places[0].folder
    with owned(places if is_first else ()):
        if is_first:
            for place in places:
                place.require()
            if target is not None:
                publish.require_public(plans[0].job, target)
                target.require_writable(model.name)
        with distributed.process_group(machine.device):
            config = run_seeds(
                plans,
                model,
                places,
                machine=machine,
                watch=watch,
                teacher=teacher.net if teacher else None,
                side_by_side=side_by_side,
            )
        return Trained(folder, config, target.push(folder, model.name) if target is not None and is_first else None)


def evaluate(
    name_or_path_or_hub_id: str | Path,
    *,
    hub: str | None = None,
    revision: str | None = None,
    weights: Path | None = None,
    device: str | None = None,
    data: Path | None = None,
    dataset: str | None = None,
    runtime: str | None = None,
    tell: Tell | None = None,
) -> Evaluated:
    """Run a model over its whole test set: what it scores now, and what its card says.

    Of a model that was trained on somebody's own pictures, `dataset` says where they are, `folder:PATH`, if this
    machine has not prepared them; they must be the very same. Of somebody else's weights that name no data set which
    is declared here it is that one's name; its images and classes must be the model's.

    With `weights`, a safetensors file, the first argument names the architecture, and there is no
    card; the normalisation is that which the file's metadata names, else the data set's own. With `runtime`, the
    format of a file that the folder has of it (`export`), that one is run, on the processor.

    Raises what `load` raises, DataError, and ExportError.
    """
    from zoo.data import batches, sources
    from zoo.data.kinds import is_address
    from zoo.evaluation.evaluate import Evaluated, measure
    from zoo.nets.device import choose
    from zoo.nets.weights import load_file, normalisation_of

    named = dataset if dataset is not None and not is_address(dataset) else None
    if named is not None and (runtime is not None or weights is not None):
        raise DataError("a data set is named for a model's own net alone; leave out --weights and --with, or --dataset")
    if dataset is not None and named is None:
        _prepare(published(name_or_path_or_hub_id, hub=hub, revision=revision), dataset, data, tell)
    if runtime is not None:
        _require_processor(device, weights)
        return _evaluate_exported(published(name_or_path_or_hub_id, hub=hub, revision=revision), runtime, data)
    on = choose(device)
    if weights is not None:
        given = str(name_or_path_or_hub_id)
        is_named = is_name(name_or_path_or_hub_id)
        model, card = (
            registry.load(full_name(given, None)) if is_named else published(given, revision=revision).model,
            None,
        )
        net, metadata = load_file(model.architecture, model.dataset, weights)
        mean, std = normalisation_of(metadata, model, weights)
    else:
        found = published(name_or_path_or_hub_id, hub=hub, revision=revision)
        model, net, card = found.on(named) if named else found.model, found.net(), found.config
        mean, std = card.mean, card.std
    test = sources.read_split(model.dataset, data or sources.default_root(), train=False, device=on)
    results, confusion = measure(net.to(on), test, batches.pixels(mean, std, on))
    return Evaluated(model.name, model.dataset.classes, results, tuple(map(tuple, confusion.tolist())), card)


def _prepare(found: Published, dataset: str, data: Path | None, tell: Tell | None) -> None:
    """Prepare the pictures at an address again, which a model was trained on; raises DataError for others."""
    from zoo.data import sources
    from zoo.data.opening import opened_again

    opened_again(Asked(dataset), found.config, data or sources.default_root(), tell or _nobody)


def _evaluate_exported(found: Published, runtime: str, data: Path | None) -> Evaluated:
    """What a file in another format scores, run by its own runtime."""
    import torch

    from zoo.data import sources
    from zoo.evaluation.evaluate import Evaluated, score
    from zoo.exporters.use import logits_of, opened

    model, run = found.model, opened(found, runtime)
    test = sources.read_split(model.dataset, data or sources.default_root(), train=False, device=torch.device("cpu"))
    results, confusion = score(logits_of(run, len(model.dataset.classes)), test)
    return Evaluated(model.name, model.dataset.classes, results, tuple(map(tuple, confusion.tolist())), found.config)


def _require_processor(device: str | None, weights: Path | None = None) -> None:
    """Refuse what an exported file has no say in; raises ExportError."""
    if device not in (None, "cpu"):
        raise ExportError(f"an exported file is run on the processor, not on {device}; leave out the device")
    if weights is not None:
        raise ExportError(f"an exported file has its own weights; leave out {weights}, or the runtime")


def report(evaluated: Evaluated, out: Path) -> list[ClassResults]:
    """Write an evaluation's confusion matrix and its results class by class into the folder `out`; return those."""
    from zoo.evaluation.report import write

    return write(out, evaluated.name, evaluated.results, evaluated.classes, evaluated.confusion)


def predict(
    name_or_path_or_hub_id: str | Path,
    pictures: Iterable[Path],
    *,
    top: int = 5,
    hub: str | None = None,
    revision: str | None = None,
    device: str | None = None,
    runtime: str | None = None,
) -> Iterator[Prediction]:
    """What a published model sees in pictures of any size and mode, one by one; a folder means all that are in it.

    A picture that can't be read is a Prediction with an error, and the others go on. With `runtime`, the format of a
    file that the folder has of the model (`export`), that one is asked, on the processor. Raises what `load` raises,
    ExportError, and ImageError where there is no picture at all.
    """
    from functools import partial

    from zoo.evaluation.predict import predictions, probabilities
    from zoo.nets.device import choose

    found = published(name_or_path_or_hub_id, hub=hub, revision=revision)
    if runtime is not None:
        from zoo.exporters.use import opened, probabilities_of

        _require_processor(device)
        look = probabilities_of(opened(found, runtime), found.config)
    else:
        look = partial(probabilities, found.net(choose(device)), found.preprocess)
    return predictions(look, found.config.classes, pictures, top=top)


def layers(name: str, *, depth: int = 2) -> list[Layer]:
    """The modules of a model's net, `depth` levels down: output shapes, parameters, multiply-adds for an image."""
    from zoo.nets.build import build
    from zoo.nets.layers import layers as layers_of

    model = registry.load(registry.resolve(name))
    return layers_of(build(model.architecture, model.dataset), model.dataset.input_size, depth=depth)


def survey(
    address: str,
    *,
    test_part: float | None = None,
    skip_bad: bool = False,
    data: Path | None = None,
    tell: Tell | None = None,
) -> Survey:
    """Look at the pictures at an address, `folder:PATH`: classes, sizes, balance, copies, what can't be read.

    Raises DataError where there are none, or no test set and no `test_part`; PluginError.
    """
    from zoo.data import sources
    from zoo.data.opening import surveyed

    return surveyed(Asked(address, test_part, skip_bad), data or sources.default_root(), tell or _nobody)


def plot(runs: Iterable[str | Path], out: Path) -> Path:
    """Draw loss, top-1 and learning rate of runs over one another into `out`, an SVG, PNG or PDF.

    A run is a model's name, the path of a model folder or of an unfinished run, or an address in a hub.
    """
    from zoo.folder import curve

    kind = curve.kind_of(out)
    return curve.write(out, curve.overlay(logs(runs), kind))


def compare(
    names: Iterable[str],
    *,
    out: Path,
    recipe: str | None = None,
    settings: Mapping[str, str] | None = None,
    epochs: int | None = None,
    seed: int = 0,
    device: str | None = None,
    amp: bool | None = None,
    data: Path | None = None,
    limit_train: int | None = None,
    mixed: bool = False,
    track: Sequence[str] = (),
    report: Report | None = None,
) -> list[Trained]:
    """Train several models the same way, each into its folder in `out`, and draw their errors to `out/errors.svg`.

    What is finished there already is taken as it is, and what was stopped goes on. Models on different data sets are
    refused, with a TrainingError, but where `mixed`.
    """
    from zoo.folder import curve
    from zoo.training.plan import Options, recipe_of

    full = list(dict.fromkeys(registry.resolve(name) for name in names))
    models = [registry.load(name) for name in full]
    recipes = [recipe_of(model, Options(recipe=recipe, settings=settings or {}, epochs=epochs))[0] for model in models]
    datasets = list(dict.fromkeys(model.dataset.name for model in models))
    if len(datasets) > 1 and not mixed:
        raise TrainingError(
            f"errors on {' and '.join(datasets)} are not to be compared; name models of one data set, in full as in "
            f"{full[0]}, or give --mixed to draw them together"
        )
    trained = [
        train(
            name,
            recipe=recipe,
            settings=settings,
            epochs=epochs,
            seed=seed,
            device=device,
            amp=amp,
            data=data,
            limit_train=limit_train,
            out=out / name,
            resume=True,
            track=track,
            report=report,
        )
        for name in full
    ]
    # By architecture, or in full where one of them is there on two data sets.
    short = len({one.config.architecture for one in trained}) == len(trained)
    runs = {one.config.architecture if short else one.config.name: store.read_log(one.folder) for one in trained}
    title = f"{', '.join(datasets)}, recipe {', '.join(dict.fromkeys(recipes))}"
    for kind in ("svg", "png"):
        curve.write(out / f"errors.{kind}", curve.errors(runs, kind, title))
    return trained


def verify(
    name_or_path_or_hub_id: str | Path,
    *,
    hub: str | None = None,
    revision: str | None = None,
    device: str | None = None,
    data: Path | None = None,
    dataset: str | None = None,
    tell: Tell | None = None,
) -> Verified:
    """Hold a published model against what its folder says: hash, strict load, known answers, and its test set.

    The result is "as published", "differs", or "not measured" where something could not be checked: the
    test set is run where the data is there, and nothing is downloaded for it. Accuracies and loss must be
    the card's where processor, threads and torch are the same; elsewhere accuracies within 0.05 points. Its files in
    other formats are run by their own runtimes, where those are here.

    Raises what `load` raises, also for a file of the folder that is not the one it was; whatever differs
    otherwise is told in the result.
    """
    from zoo.data import sources
    from zoo.evaluation.verify import Check, Verified
    from zoo.evaluation.verify import verify as held_against
    from zoo.nets.device import choose

    found, on = published(name_or_path_or_hub_id, hub=hub, revision=revision), choose(device)
    store.check(found.folder)
    if dataset is not None:
        _prepare(found, dataset, data, tell)
    root = data or sources.default_root()
    try:
        net = found.net(on)
    except HubError as error:
        if found.config.origin is None:
            raise
        return Verified(found.config.name, (Check("weights", "not measured", str(error)),))
    verified = held_against(found.with_weights, found.known, net, root)
    if not found.config.exports:
        return verified
    from zoo.exporters.check import checks

    return replace(verified, checks=(*verified.checks, *checks(found, root)))


def reproduce(
    name_or_path_or_hub_id: str | Path,
    *,
    hub: str | None = None,
    revision: str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    data: Path | None = None,
    dataset: str | None = None,
    out: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    track: Sequence[str] = (),
    report: Report | None = None,
    tell: Tell | None = None,
) -> tuple[Trained, Config]:
    """Train a published model again with the very recipe in its folder; returns it beside what was published.

    Recipe, seed, images, normalisation, threads, bf16, compilation, start and teacher are the folder's, whatever
    the plugin declares by now. `epochs` and `seed` are the only things that can be changed. Whether the
    same bytes are to be expected, `zoo.folder.same_bytes` says of the two.

    Raises what `load` and `train` raise, and TrainingError where start, teacher or data set is another by now.
    """
    from zoo.training.place import Place, mode_of
    from zoo.training.plan import again, as_published

    found, machine = published(name_or_path_or_hub_id, hub=hub, revision=revision), _machine(device, data)
    if dataset is not None:
        _prepare(found, dataset, data, tell)
    model, job = as_published(found.model, found.config), found.config.own.job
    if job.recipe.teacher is not None:
        require_allowed(job.recipe.teacher, f"the teacher of {found.config.name}")
    teacher = _teacher(model, job.recipe, machine.device)
    watch = _watch(1, 1, report, track)
    origin, begun = teacher.origin if teacher else None, None
    if job.start is not None:
        require_allowed(job.start.address, f"what {found.config.name} began with")
        begun = _start(model, job.start.address, published(job.start.address))
    planned = again(job, model, machine, start=begun, teacher=origin, epochs=epochs, seed=seed)
    planned = replace(planned, license=found.config.license)
    place = Place(out or Path("runs") / f"{model.name}-reproduced", mode_of(resume=resume, overwrite=overwrite))
    trained = _train([planned], model, [place], machine=machine, watch=watch, teacher=teacher)
    return trained, found.config


def push(
    path: Path,
    *,
    hub: str | None = None,
    weights_at: str | None = None,
    license: str | None = None,  # noqa: A002 - what it is called everywhere
) -> Pushed:
    """Publish a model folder under its model's name; raises FolderError or HubError.

    With `license`, as the Hub spells it, that is written into the folder first: weights that were trained on
    pictures of somebody's own have none before. With `weights_at`, another hub, the weights are published there
    (the same bytes again change nothing), and `hub`, a folder as the catalogue is one, gets everything but them:
    their place, revision and hash instead.
    """
    if license is not None:
        from zoo.training.result import convert

        convert(path, published(path).known, license=_sound_license(license))
    return publish.push(path, hub=hub, weights_at=weights_at)


def convert(path: Path) -> Config:
    """Write a model folder of an earlier format anew in today's, in its place; raises FolderError or PluginError."""
    from zoo.training.result import convert

    return convert(path, published(path).known)


def pull(name_or_hub_id: str, *, hub: str | None = None, revision: str | None = None, out: Path | None = None) -> Path:
    """Copy a published model folder, whole and hash checked, to `out` (`./NAME`).

    Raises FolderError or HubError.
    """
    return publish.copy(published(name_or_hub_id, hub=hub, revision=revision), out)


def export(
    name_or_path_or_hub_id: str | Path,
    *,
    to: Sequence[str] = ("onnx",),
    out: Path | None = None,
    hub: str | None = None,
    revision: str | None = None,
    data: Path | None = None,
    allow_loss: bool = False,
    time: bool = False,
) -> tuple[Path, Config]:
    """Write a model in other formats too: a copy of its folder, with their files in it, is `out` (`./NAME-export`).

    A format is `onnx`, `int8` (ONNX in whole numbers, calibrated on training images), `pt2` (torch.export), `aot`
    (compiled for this processor), or a plugin's. Each takes pixels, uint8 [N, H, W, C], and answers logits and
    probabilities. Each is run at once by its own runtime and held against the net: on fixed inputs, and where the data
    is there on the whole test set; nothing is downloaded for that. What costs more than half a point of top-1 is
    refused, unless `allow_loss`. With `time` each is asked in turn with the net how long it takes, which is best done
    on a quiet machine.

    Raises what `load` raises, ExportError, PluginError and DataError.
    """
    from zoo.data import sources
    from zoo.exporters import export as exporting

    wanted = exporting.exporters(to)
    found = published(name_or_path_or_hub_id, hub=hub, revision=revision)
    target = out or Path(f"{found.config.name}-export")
    exporting.require_free(target)
    made = exporting.export(found, wanted, data or sources.default_root(), allow_loss=allow_loss, time=time)
    return exporting.write(found, made, target)


def page(out: Path, *, hub: str | None = None, runtime: Path | None = None) -> Site:
    """Write a static site of the models of a hub, the catalogue where none is named, into the folder `out`.

    With `runtime`, an unpacked npm package onnxruntime-web, models that have an ONNX file (`export`) can be tried in
    the page. A site of before is replaced. Raises PageError, FolderError, NotFound or HubError; a model that can't be
    read is left out, with a warning.
    """
    from zoo.page import models, site
    from zoo.page import runtime as browser

    site.require_installed()
    site.require_replaceable(out)
    runs = browser.read(runtime) if runtime is not None else None
    found = models.shown(hub, with_files=runs is not None)
    folder = site.write(out, site.pages(found, runs))
    return Site(folder, folder / "index.html", len(found), sum(one.onnx is not None for one in found))


def import_model(
    name: str,
    source: str | Path,
    credit: Credit,
    *,
    tag: str | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    sha256: str | None = None,
    out: Path | None = None,
    device: str | None = None,
    data: Path | None = None,
) -> tuple[Path, Config]:
    """Take in weights that somebody else published for a model; its folder is `out` (`./NAME.TAG`).

    `source` is a path, `https://…` or `hf://namespace/repository/path@REVISION`, of a safetensors file or a torch
    checkpoint, which is read without running its code. `tag` is the author's name where none is given; `mean` and
    `std` are what the weights were trained with, the data set's own where not given. Where the data set is
    there, the model is measured on its whole test set; nothing is downloaded for that.

    Raises RegistryError, HubError, HashMismatch, WeightsError, FolderError or DataError.
    """
    import torch

    from zoo.data import batches, sources
    from zoo.evaluation.answers import known_answers
    from zoo.evaluation.evaluate import evaluate
    from zoo.hub import others
    from zoo.hub.download import fetch
    from zoo.nets.device import choose
    from zoo.training.environment import environment
    from zoo.training.plan import versions

    model, on, root = registry.load(registry.resolve(name)), choose(device), data or sources.default_root()
    fetched = fetch(source, sha256=sha256)
    done = others.converted(model.architecture, model.dataset, fetched)
    config = others.facts(
        model,
        others.tag_of(credit) if tag is None else tag,
        credit if is_path(source) else replace(credit, address=fetched.address),
        others.Original(fetched.name, fetched.sha256, fetched.size, done.mapped),
        (mean or model.dataset.mean, std or model.dataset.std),
        others.Computing(torch.get_num_threads(), versions(model.architecture)),
    )
    net, pixels = done.net.to(on), batches.pixels(config.mean, config.std, on)
    is_there = sources.is_there(model.dataset, root)
    test = sources.read_split(model.dataset, root, train=False, device=on) if is_there else None
    config = replace(
        config,
        results=evaluate(net, test, pixels) if test else None,
        environment=environment(on, model.architecture) if test else None,
        known_answers=tuple(tuple(row) for row in known_answers(net, pixels, model.dataset.input_size).tolist()),
    )
    return others.write_new(out or Path(config.name), config, model, others.dump(net, config))


def _machine(device: str | None, data: Path | None) -> Machine:
    """What to train on: this process's device, and where data sets are."""
    from zoo.data import sources
    from zoo.nets.device import choose
    from zoo.training import distributed
    from zoo.training.plan import Machine

    return Machine(distributed.own_device(choose(device)), data or sources.default_root())


def _watch(save_every: int, eval_every: int, report: Report | None, track: Sequence[str]) -> Watch:
    from zoo.training.trackers import trackers
    from zoo.training.watch import Silent, Watch

    return Watch(save_every, eval_every, report or Silent(), trackers(track))


def _start(model: Model, named: str | Path | None, found: Published | None) -> Start | None:
    """The weights that a training of the model begins with, if any are named; raises TrainingError."""
    if named is None or found is None:
        return None
    from zoo.folder.job import Origin
    from zoo.training.start import Start, begins

    config = found.config
    if not begins(model.architecture, config.architecture):
        raise TrainingError(
            f"{named} is a {config.architecture}, and can't start a {model.architecture.name}; "
            f"train {config.architecture}, or start from another"
        )
    shallower = "" if config.architecture == model.architecture.name else config.architecture
    return Start(
        tensors=found.net().state_dict(),
        classes=config.classes,
        channels=config.input_size[0],
        origin=Origin(_lasting(named, found), found.with_weights.weights.sha256, shallower),
        license=config.license,
    )


def _lasting(named: str | Path, found: Published) -> str:
    """How weights are found again: by a full name, by a path, by an address, at its commit where that is known."""
    if is_name(named):
        return found.config.name
    return found.place if isinstance(found.located, Elsewhere) and found.located.held else str(named)


def _teacher(model: Model, recipe: Recipe, on: torch.device) -> Teacher | None:
    """The teacher that a recipe names, if it names one; it knows the student's classes. Raises RecipeError."""
    if recipe.teacher is None:
        return None
    import torch

    from zoo.folder.job import Origin
    from zoo.training.teacher import Renormalised, Teacher

    found = published(_teacher_of(model, recipe.teacher))
    config = found.config
    if config.classes != model.dataset.classes:
        raise RecipeError(
            f"recipe: teacher {config.name} knows other classes than {model.dataset.name}'s; name another"
        )
    net: nn.Module = found.net(on).to(memory_format=torch.channels_last)
    own, students = (config.mean, config.std), model.normalisation(recipe)
    if own != students:
        net = Renormalised(net, students, own).to(on).eval()
    return Teacher(net, Origin(recipe.teacher, found.with_weights.weights.sha256))


def _teacher_of(model: Model, teacher: str) -> str:
    """What `find` finds a teacher by; an architecture's name means that one on the student's data set, its tag kept."""
    if not is_name(teacher):
        return teacher
    for name, dot, tag in ((teacher, "", ""), teacher.rpartition(".")):
        try:
            return f"{registry.architecture(name).name}_{model.dataset.name}{dot}{tag}"
        except UnknownModel:
            continue
    return teacher
