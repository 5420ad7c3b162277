"""What the command line and a notebook both call: load, train, evaluate, push, pull, list.

Only functions that compute import torch, when they are called.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from zoo import registry
from zoo.data.collection import DatasetRequest
from zoo.errors import (
    DataError,
    ExportError,
    HubError,
    NotPublished,
    TrainingError,
)
from zoo.hub import Hub, Pushed, open_hub, publish
from zoo.hub.address import Name, parse
from zoo.hub.listing import ModelInfo, Row, info, list_models, overview, search
from zoo.hub.resolve import Published, full_name, logs, published, tagged
from zoo.record import store
from zoo.record.types import Imported, Record, require_trained
from zoo.record.types import Trained as TrainedRecord
from zoo.training.options import TrainOptions, takes

if TYPE_CHECKING:
    from torch import nn
    from torchvision.transforms import v2

    from zoo.data.survey import Survey, Tell
    from zoo.evaluation.evaluate import Evaluated
    from zoo.evaluation.outcome import Verified
    from zoo.evaluation.predict import Prediction
    from zoo.evaluation.report import ClassResults
    from zoo.hub.imported import Credit
    from zoo.nets.layers import Layer
    from zoo.spec import Model
    from zoo.training.plan import Plan
    from zoo.training.reporting import Report

__all__ = [
    "ModelInfo", "Row", "Site", "Trained",
    "compare", "evaluate", "export", "find", "import_model", "info", "layers", "list_models", "load",
    "overview", "page", "plot", "predict", "pull", "push", "report", "reproduce", "search", "survey", "train",
    "transforms", "verify",
]  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """What a training leaves: its model folder, what it scored, and where it was published."""

    folder: Path
    config: TrainedRecord
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

    Weights that it only has a download of are not in it; `pull` writes a folder that has them.

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

    `device` is any that torch has here: cpu, cuda, cuda:1, mps, xpu.

    Raises UnknownModel, PluginError, BuildError, DeviceError, FolderError, HashMismatch, NotFound or HubError.
    """
    reference = parse(name_or_path_or_hub_id)
    if not pretrained and hub is None and isinstance(reference, Name):
        if revision is not None:
            raise HubError(f"revision {revision} is one of published weights; load them with pretrained=True")
        model = registry.load(tagged(full_name(reference.text, None))[0])
        from zoo.nets.build import build
        from zoo.nets.device import choose

        target = choose(device)
        return build(model.architecture, model.dataset, num_classes, in_channels).to(target)
    found = published(reference, hub=hub, revision=revision)
    from zoo.nets.device import choose

    target = choose(device)
    make = found.net if pretrained else found.untrained
    return make(target, num_classes=num_classes, in_channels=in_channels)


def transforms(
    name_or_path_or_hub_id: str | Path, *, hub: str | None = None, revision: str | None = None
) -> v2.Compose:
    """The preprocessing a model was evaluated with: an image of any size and mode to [C, H, W] float32.

    From the model's folder where it is published, with its own mean and std. Of a name that no hub and no
    revision is given with (and no ZOO_HUB is set for), with the data set's where the catalogue has no weights.
    """
    from zoo.data.preprocessing import preprocessing

    try:
        return published(name_or_path_or_hub_id, hub=hub, revision=revision).preprocess
    except NotPublished:
        dataset = registry.load(registry.resolve(str(name_or_path_or_hub_id))).dataset
        return preprocessing(dataset.input_size, dataset.mean, dataset.std, dataset.resizing)


@takes(TrainOptions)
def train(name: str, options: TrainOptions) -> Trained:
    """Train a model with one of its recipes, evaluate it, write its folder `out`, and `push` it to `hub`.

    `dataset` is a data set's name, or the address of your own pictures, `folder:PATH` (docs/pictures.md). Of those,
    `test_part` is the part for the test set if none is set apart, `skip_bad` leaves out what can't be read, `tell`
    hears how far looking at them is, and weights that are published need a `license`.

    The training starts from the weights of `start`, a name, a path or an address as `load` takes them, else from the
    architecture's initialization. With other classes the head is initialized anew, from `seed`; with another number of
    channels the first convolution is adapted as by `load`; all else must fit. A deeper net may start from a shallower
    one of its family, if its architecture has a `deepening`. An undeclared architecture is that of `start`.

    `settings` changes fields of the recipe by name, `limit_train` trains on the first images only,
    `amp` is bf16 autocast (None: if the hardware has it), `compile` is "none", "graph" (a step as one
    CUDA graph), "default" (compiled; on a GPU a graph comes with it) or "auto" (chosen by the length of the
    training), `deterministic` gives the same bytes from the same seed (None: on a CPU, where it costs
    nothing), `grad_checkpointing` computes activations again in the backward pass, for less memory,
    `dtype` "fp16" stores the weights in half the bytes, rounded before they are evaluated,
    `threads` is the number of the processor's threads (None: torch's).
    `resume` continues a run that was stopped, and takes a finished one as it is; `overwrite` starts again.
    `track` names trackers that are told beside `report`: "tensorboard", which writes event files into `OUT.events/`, or
    a plugin's.

    Under torchrun every process calls this with the same arguments; the first one writes and pushes.
    The process is left as it was; a process that only trains on a CPU is faster after
    `zoo.training.environment.keep_memory()`, which can't be undone.

    With `seeds` above 1 the training is repeated from the seeds after `seed`, one after another, each into a folder of
    its own. The model that is returned and pushed is that of `seed`, whichever is best; its card has the mean and
    standard deviation of all.

    Raises RegistryError, RecipeError, DataError, TrainingError, FolderError or HubError, before the first step where
    possible. Warns with StartWarning if a recipe trains the head alone at first, and there is no `start`.
    """
    from zoo.training.plan import plans

    target = open_hub(options.hub) if options.push else None
    return _train(plans(name, options), target)


def _train(plans: Sequence[Plan], target: Hub | None = None) -> Trained:
    """Run plans that differ in their seed, and publish the first one's model."""
    from zoo.training import distributed
    from zoo.training.output import owned
    from zoo.training.run import run_seeds

    first, is_first = plans[0], distributed.share().is_first
    outputs = [plan.output for plan in plans]
    with owned(outputs if is_first else ()):
        if is_first:
            for output in outputs:
                output.require()
            if target is not None:
                publish.require_public(first.job, target)
                target.require_writable(first.model.name)
        with distributed.process_group(first.machine.device):
            config = run_seeds(plans)
        folder = first.output.folder
        published = _published(folder, target) if target is not None and is_first else None
        return Trained(folder, config, published)


def _published(folder: Path, hub: Hub) -> Pushed:
    """Publish the folder of a training that has ended; an error says how to publish it later."""
    try:
        return publish.publish(folder, hub)
    except HubError as error:
        command = f"zoo push {shlex.quote(str(folder))} --hub {hub.address}"
        raise type(error)(f"{error}; the model folder {folder} is whole: publish it with: {command}") from None


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
    from zoo.data.collection import is_address

    named = dataset if dataset is not None and not is_address(dataset) else None
    if named is not None and (runtime is not None or weights is not None):
        raise DataError(
            "a data set is named for a model's own net alone; leave out dataset, or the weights and the runtime"
        )
    if runtime is not None:
        _require_processor(device, weights)
    if weights is not None:
        return _evaluate_file(name_or_path_or_hub_id, revision, weights, device, data)
    found = published(name_or_path_or_hub_id, hub=hub, revision=revision)
    if dataset is not None and named is None:
        _prepare(found, dataset, data, tell)
    if runtime is not None:
        return _evaluate_exported(found, runtime, data)
    model, card = found.on(named) if named else found.model, found.config
    return _evaluated(model, found.net(), (card.mean, card.std), device, data, card)


def _evaluate_file(
    name_or_path: str | Path, revision: str | None, weights: Path, device: str | None, data: Path | None
) -> Evaluated:
    """What a safetensors file scores in the net of a model."""
    reference = parse(name_or_path)
    source = None if isinstance(reference, Name) else published(reference, revision=revision)
    model = source.model if source else registry.load(full_name(str(name_or_path), None))
    from zoo.nets.weights import load_file, normalisation_of

    net, metadata = load_file(model.architecture, model.dataset, weights)
    if source is not None and "mean" not in metadata:
        normalisation = source.config.mean, source.config.std
    else:
        normalisation = normalisation_of(metadata, model, weights)
    return _evaluated(model, net, normalisation, device, data, None)


def _evaluated(
    model: Model,
    net: nn.Module,
    normalisation: tuple[tuple[float, ...], tuple[float, ...]],
    device: str | None,
    data: Path | None,
    card: Record | None,
) -> Evaluated:
    """What a net scores on the whole test set of a model."""
    from zoo.data import batches, sources
    from zoo.evaluation.evaluate import Evaluated, measure
    from zoo.nets.device import choose

    on = choose(device)
    test = sources.read_split(model.dataset, data or sources.default_root(), train=False, device=on)
    results, confusion = measure(net.to(on), test, batches.pixels(*normalisation, on))
    return Evaluated(model.name, model.dataset.classes, results, tuple(map(tuple, confusion.tolist())), card)


def _nobody(what: str, done: int, total: int) -> None:
    """Hears how far long work is, and says nothing."""


def _prepare(found: Published, dataset: str, data: Path | None, tell: Tell | None) -> None:
    """Prepare the pictures at an address again, which a model was trained on; raises DataError for imported."""
    from zoo.data import sources
    from zoo.data.prepared import prepare_again

    prepare_again(DatasetRequest(dataset), found.config, data or sources.default_root(), tell or _nobody)


def _evaluate_exported(found: Published, runtime: str, data: Path | None) -> Evaluated:
    """What a file in another format scores, run by its own runtime."""
    import torch

    from zoo.data import sources
    from zoo.evaluation.evaluate import Evaluated, score
    from zoo.exporters.runtime import logits_of, open_export

    model, run = found.model, open_export(found, runtime)
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

    found = published(name_or_path_or_hub_id, hub=hub, revision=revision)
    from zoo.evaluation.predict import predictions, probabilities
    from zoo.nets.device import choose

    if runtime is not None:
        from zoo.exporters.runtime import open_export, probabilities_of

        _require_processor(device)
        look = probabilities_of(open_export(found, runtime), found.config)
    else:
        look = partial(probabilities, found.net(choose(device)), found.preprocess)
    return predictions(look, found.config.classes, pictures, top=top)


def layers(name: str, *, depth: int = 2) -> list[Layer]:
    """The modules of a model's net, `depth` levels down: output shapes, parameters, multiply-adds for an image."""
    model = registry.load(registry.resolve(name))
    from zoo.nets.build import to_be_filled
    from zoo.nets.layers import layers as layers_of

    return layers_of(to_be_filled(model.architecture, model.dataset), model.dataset.input_size, depth=depth)


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
    from zoo.data.prepared import survey_address

    return survey_address(DatasetRequest(address, test_part, skip_bad), data or sources.default_root(), tell or _nobody)


def plot(runs: Iterable[str | Path], out: Path) -> Path:
    """Draw loss, top-1 and learning rate of runs over one another into `out`, an SVG, PNG or PDF.

    A run is a model's name, the path of a model folder or of an unfinished run, or an address in a hub.
    """
    from zoo.record import curve

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
    from zoo.record import curve

    full = list(dict.fromkeys(registry.resolve(name) for name in names))
    models = [registry.load(name) for name in full]
    options = TrainOptions(recipe=recipe, settings=settings, epochs=epochs)
    recipes = [options.recipe_of(model)[0] for model in models]
    datasets = list(dict.fromkeys(model.dataset.name for model in models))
    if len(datasets) > 1 and not mixed:
        raise TrainingError(
            f"errors on {' and '.join(datasets)} are not to be compared; name models of one data set, in full as in "
            f"{full[0]}, or draw them together (mixed)"
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
    found = published(name_or_path_or_hub_id, hub=hub, revision=revision, newest=True)
    found.require_record()
    found.check()
    from zoo.data import sources
    from zoo.evaluation.outcome import Check, Verified
    from zoo.evaluation.verify import verify as held_against
    from zoo.nets.device import choose

    on = choose(device)
    if dataset is not None:
        _prepare(found, dataset, data, tell)
    root = data or sources.default_root()
    try:
        net = found.net(on)
    except HubError as error:
        if not isinstance(found.config, Imported):
            raise
        return Verified(found.config.name, (Check("weights", "not measured", str(error)),))
    verified = held_against(found.config, found.known, net, root)
    if not found.config.exports:
        return verified
    from zoo.exporters.runtime import checks

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
) -> tuple[Trained, TrainedRecord]:
    """Train a published model again with the very recipe in its folder; returns it beside what was published.

    Recipe, seed, images, normalisation, threads, bf16, compilation, start and teacher are the folder's, whatever
    the plugin declares by now. `epochs` and `seed` are the only things that can be changed. Whether the
    same bytes are to be expected, `zoo.record.types.obstacles` says of the two.

    Raises what `load` and `train` raise, and TrainingError where start, teacher or data set is another by now.
    """
    from zoo.training.plan import reproduction

    found = published(name_or_path_or_hub_id, hub=hub, revision=revision)
    record = require_trained(found.config)
    options = TrainOptions(
        epochs=epochs,
        seed=record.job.seed if seed is None else seed,
        device=device,
        data=data,
        out=out,
        resume=resume,
        overwrite=overwrite,
        track=track,
        report=report,
    )
    if dataset is not None:
        _prepare(found, dataset, data, tell)
    return _train([reproduction(found, options)]), record


def push(
    path: Path,
    *,
    hub: str | None = None,
    license: str | None = None,  # noqa: A002 - what it is called everywhere
) -> Pushed:
    """Publish a model folder under its model's name; raises FolderError or HubError.

    With `license`, as the Hub spells it, that is written into the folder's record first: weights that were trained on
    pictures of somebody's own have none before. A missing or stale card is rendered anew, an edited one kept.
    """
    if license is not None:
        publish.relicense(path, publish.sound_license(license))
    return publish.publish(path, open_hub(hub))


def pull(name_or_hub_id: str, *, hub: str | None = None, revision: str | None = None, out: Path | None = None) -> Path:
    """Copy a published model folder, whole and hash checked, to `out` (`./NAME`).

    Raises FolderError or HubError.
    """
    return publish.pull(published(name_or_hub_id, hub=hub, revision=revision, newest=True), out)


def export(
    name_or_path_or_hub_id: str | Path,
    *,
    to: Sequence[str] = ("onnx",),
    out: Path | None = None,
    hub: str | None = None,
    revision: str | None = None,
    data: Path | None = None,
    allow_loss: bool = False,
) -> tuple[Path, Record]:
    """Write a model in other formats too: a copy of its folder, with their files in it, is `out` (`./NAME-export`).

    A format is `onnx`, `int8` (ONNX in 8-bit integers, calibrated on training images), `pt2` (torch.export), or a
    plugin's. Each takes pixels, uint8 [N, H, W, C], and answers logits and
    probabilities. Each is run at once by its own runtime and held against the net: on fixed inputs, and where the data
    is there on the whole test set; nothing is downloaded for that. What costs more than half a point of top-1 is
    refused, unless `allow_loss`.

    Raises what `load` raises, ExportError, PluginError and DataError.
    """
    found = published(name_or_path_or_hub_id, hub=hub, revision=revision)
    found.require_record()
    from zoo.data import sources
    from zoo.exporters import export as exporting

    wanted = exporting.exporters(to)
    target = out or Path(f"{found.config.name}-export")
    exporting.require_free(target)
    made = exporting.export(found, wanted, data or sources.default_root(), allow_loss=allow_loss)
    return exporting.write(found, made, target)


def page(out: Path, *, hub: str | None = None, runtime: Path | None = None) -> Site:
    """Write a static site of the models of a hub, the catalogue where none is named, into the folder `out`.

    With `runtime`, an unpacked npm package onnxruntime-web, models that have an ONNX file (`export`) can be tried in
    the page. A site of before is replaced. Raises PageError, FolderError, NotFound or HubError; a model that can't be
    read is left out, with a warning.
    """
    from zoo.page import models, site
    from zoo.page import runtime as browser

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
    rename: Sequence[tuple[str, str]] = (),
    out: Path | None = None,
    device: str | None = None,
    data: Path | None = None,
) -> tuple[Path, Record]:
    """Take in weights that somebody else published for a model; its folder is `out` (`./NAME.TAG`).

    `source` is a path, `https://…` or `hf://namespace/repository/path@REVISION`, of a safetensors file or a torch
    checkpoint, which is read without running its code. `tag` is the author's name where none is given; `mean` and
    `std` are what the weights were trained with, the data set's own where not given. The names of the tensors
    are the net's, or names that the architecture's plugin translates; `rename` is pairs of a regular expression and its
    replacement, applied to them first, one after another, as `re.sub` does. Where the data set is there, the model is
    measured on its whole test set; nothing is downloaded for that.

    Raises RegistryError, HubError, HashMismatch, WeightsError, FolderError or DataError.
    """
    model = registry.load(registry.resolve(name))
    import torch

    from zoo.data import batches, sources
    from zoo.evaluation.evaluate import evaluate as evaluate_net
    from zoo.evaluation.evaluate import known_answers
    from zoo.hub import imported
    from zoo.hub.download import fetch
    from zoo.nets.conversion import require_rules
    from zoo.nets.device import choose
    from zoo.training.environment import environment
    from zoo.training.jobs import versions

    on, root = choose(device), data or sources.default_root()
    require_rules(rename)
    tag = imported.tag_of(credit) if tag is None else tag
    normalisation = (mean or model.dataset.mean, std or model.dataset.std)
    imported.require_sound(model, tag, normalisation)
    fetched = fetch(source, sha256=sha256)
    done = imported.converted(model.architecture, model.dataset, fetched, rename)
    download = imported.download_of(
        credit.address if isinstance(parse(source), Path) else fetched.address, fetched, done
    )
    original = download.sha256 if download else fetched.sha256
    content = imported.dump(done.net, f"{model.name}.{tag}", credit.by, original, normalisation)
    computing = imported.Computing(torch.get_num_threads(), versions(model.architecture))
    config = imported.record(model, tag, credit, normalisation, computing, done, download, content, rename)
    net, pixels = done.net.to(on), batches.pixels(config.mean, config.std, on)
    is_there = sources.is_there(model.dataset, root)
    test = sources.read_split(model.dataset, root, train=False, device=on) if is_there else None
    answers = known_answers(net, pixels, model.dataset.input_size).tolist()
    config = msgspec.structs.replace(
        config,
        results=evaluate_net(net, test, pixels) if test else None,
        environment=environment(on, model.architecture) if test else None,
        known_answers=tuple(map(tuple, answers)),
    )
    return imported.write_new(out or Path(config.name), config, model, content)
