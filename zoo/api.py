"""The public functions: load, train, evaluate, publish, export and list models. The command line calls the same.

Only functions that compute import torch, when they are called. A `model` argument is a model's name, the path of a
model folder, or an address in a hub (`hf://namespace/name`, `file:PATH/name`); text with a separator, or that begins
with `.` or `~`, is a path. A name's weights come from `hub`; without one from ZOO_HUB where it is set and has them,
else from the catalogue that ships with the zoo. `revision` is a revision of published weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from zoo import plugins, registry
from zoo.data.collection import DatasetRequest, root_of
from zoo.errors import DataError, ExportError, HubError, NotPublished
from zoo.hub import Pushed, open_hub, publish
from zoo.hub.address import Name, parse
from zoo.hub.listing import ModelInfo, RevisionRow, Row, info, list_models, overview, revisions, search
from zoo.hub.resolve import Published, full_name, logs, published, tagged
from zoo.options import takes
from zoo.record.paths import path_of
from zoo.record.types import Imported, Record, differences, require_trained
from zoo.record.types import Trained as TrainedRecord
from zoo.training import importing, launch
from zoo.training.importing import ImportOptions
from zoo.training.launch import Trained
from zoo.training.options import CompareOptions, ReproduceOptions, TrainOptions

if TYPE_CHECKING:
    from torch import nn
    from torchvision.transforms import v2

    from zoo.data.survey import Survey, Tell
    from zoo.evaluation.evaluate import Evaluated
    from zoo.evaluation.outcome import Verified
    from zoo.evaluation.predict import Prediction
    from zoo.evaluation.report import ClassResults
    from zoo.nets.layers import Layer

__all__ = [
    "ModelInfo", "RevisionRow", "Row", "Site", "Trained",
    "compare", "diff", "evaluate", "export", "find", "import_model", "info", "layers", "list_models", "load",
    "overview", "page", "plot", "predict", "pull", "push", "report", "reproduce", "revisions", "search", "survey",
    "train", "transforms", "verify",
]  # fmt: skip


@dataclass(frozen=True)
class Site:
    """A site that was written: its folder, its first page, its number of models, and of those that can be tried."""

    folder: Path
    index: Path
    models: int
    tried: int
    space: str = ""  # the URL of the Space that it was published to


def find(model: str | Path, *, hub: str | None = None, revision: str | None = None) -> Path:
    """Fetch a published model, and return its folder on this machine.

    The folder has no weights where the record names an address to download them from; `pull` fetches those too.

    Args:
        model: A name, a path or an address.
        hub: The hub of a name.
        revision: A revision of the model.

    Returns:
        The path of the model folder.

    Raises:
        UnknownModel: No plugin has a model of that name.
        FolderError: The folder is incomplete or damaged.
        HubError: The hub can't be read, or does not have the model (NotFound).
    """
    return published(model, hub=hub, revision=revision).folder


def load(
    model: str | Path,
    pretrained: bool = False,
    *,
    hub: str | None = None,
    revision: str | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
    device: str = "cpu",
) -> nn.Module:
    """Build a model, with its published weights if `pretrained`.

    The SHA-256 of the weights is checked, and every tensor must fit. Layers that depend on another number of classes
    keep their initialization. The weights of the first convolution are summed or repeated over another number of
    channels, as timm does it.

    Args:
        model: A name, a path or an address.
        pretrained: Load the published weights, and return the net in evaluation mode.
        hub: The hub of a name.
        revision: A revision of the published weights.
        num_classes: Another number of classes than the model's; 0 for a net that returns its features.
        in_channels: Another number of channels than the model's.
        device: Any device that torch has here: cpu, cuda, cuda:1, mps, xpu.

    Returns:
        The net.

    Raises:
        UnknownModel: No plugin has a model of that name.
        PluginError: The plugin that provides the architecture is missing or fails.
        BuildError: The net can't be built for these classes and channels.
        DeviceError: torch does not have the device.
        FolderError: The model folder is incomplete, or its weights have another hash (HashMismatch).
        HubError: The hub can't be read, or does not have the model (NotFound).

    Example:
        >>> import zoo
        >>> net = zoo.load("resnet8_digits", pretrained=True)
    """
    reference = parse(model)
    if not pretrained and hub is None and isinstance(reference, Name):
        if revision is not None:
            raise HubError(f"revision {revision} is one of published weights; load them with pretrained=True")
        declared = registry.load(tagged(full_name(reference.text, None))[0])
        from zoo.nets.build import build
        from zoo.nets.device import choose

        target = choose(device)
        return build(declared.architecture, declared.dataset, num_classes, in_channels).to(target)
    source = published(reference, hub=hub, revision=revision)
    from zoo.nets.device import choose

    make = source.net if pretrained else source.untrained
    return make(choose(device), num_classes=num_classes, in_channels=in_channels)


def transforms(model: str | Path, *, hub: str | None = None, revision: str | None = None) -> v2.Compose:
    """Return the preprocessing that a model was evaluated with.

    Its size, mean and std are those of the published model. Of a name without published weights they are those of
    its data set.

    Args:
        model: A name, a path or an address.
        hub: The hub of a name.
        revision: A revision of the model.

    Returns:
        A transform from an image of any size and mode to a tensor [C, H, W], float32.

    Raises:
        UnknownModel, FolderError, HubError: As `load` raises them.

    Example:
        >>> import zoo
        >>> preprocess = zoo.transforms("resnet8_digits")
    """
    from zoo.data.preprocessing import preprocessing

    try:
        return published(model, hub=hub, revision=revision).preprocess
    except NotPublished:
        dataset = registry.load(registry.resolve(str(model))).dataset
        return preprocessing(dataset.input_size, dataset.mean, dataset.std, dataset.resizing)


@takes(TrainOptions)
def train(model: str, options: TrainOptions) -> Trained:
    """Train a model with one of its recipes, evaluate it, write its model folder, and publish it if `push`.

    Under torchrun every process calls this with the same arguments; the first one writes and pushes. The process is
    left as it was; a process that only trains on a CPU is faster after `zoo.training.environment.keep_memory()`, which
    can't be undone.

    Args:
        model: A model's or an architecture's name. An architecture that no plugin declares is that of `start`.
        recipe: The name of a recipe. By default `finetune` with a `start`, if there is one, else the model's first.
        dataset: Another data set than the architecture's default, or your own pictures, `folder:PATH`
            (docs/pictures.md).
        start: The weights to start from: a name, a path or an address. With other classes the head is initialized
            anew, from `seed`; with another number of channels the first convolution is adapted as by `load`.
        test_part: The part of your own pictures that becomes the test set, where none is set apart.
        skip_bad: Leave out pictures that can't be read.
        license: The license of the weights; your own pictures need one before the weights are published.
        settings: Changes of the recipe's fields, by name.
        epochs: How long to train; the recipe's epochs by default.
        seed: The random seed.
        seeds: Train from so many seeds, each into its own folder. The model of `seed` is returned and pushed; its card
            has the mean and standard deviation of all.
        device: cpu, cuda or cuda:N; a GPU by default, if there is one.
        amp: Train in bf16 autocast; by default if the hardware has it.
        compile: "none", "graph" (a step as one CUDA graph), "default" (torch.compile) or "auto" (chosen by the length
            of the training).
        deterministic: Get the same bytes from the same seed; by default on a CPU, where it costs nothing.
        grad_checkpointing: Recompute activations in the backward pass, for less memory.
        dtype: "fp16" stores the weights in half the bytes, rounded before they are evaluated.
        threads: The number of threads of the processor; torch's by default.
        data: The directory of data sets.
        limit_train: Train on the first images only.
        limit_test: Test on the first images only; such a model can't be published.
        out: The model folder to make.
        resume: Continue a run that was stopped, and take a finished one as it is.
        overwrite: Replace an existing run or model folder. With `resume`, replace it only if it is of another training.
        save_every: Epochs between checkpoints.
        eval_every: Epochs between evaluations on the test set.
        push: Publish the model folder at the end.
        hub: The hub to publish to.
        track: The names of trackers: "tensorboard", "wandb", "mlflow", "trackio", or a plugin's.
        report: An object that receives the results of each epoch.
        tell: A function that is called with the progress of reading your pictures.

    Returns:
        The model folder, its record, and where it was published.

    Raises:
        RegistryError: There is no such model, architecture or data set.
        RecipeError: There is no such recipe, or a field has an impossible value.
        DataError: The data set is missing or damaged.
        TrainingError: The run can't start or go on.
        FolderError: The model folder can't be written.
        HubError: The hub can't be read or written.

    Example:
        >>> import zoo
        >>> trained = zoo.train("resnet8_digits", epochs=1, out="runs/example", overwrite=True)
    """
    return launch.train(model, options)


@takes(CompareOptions)
def compare(models: Sequence[str], options: CompareOptions) -> list[Trained]:
    """Train several models with the same options, and draw their errors to `out/errors.svg` and `out/errors.png`.

    Finished models in `out` are taken as they are, and stopped runs continue. Models on different data sets are refused
    unless `mixed`.

    Args:
        models: Names of models.
        out: The folder for the model folders and the plot; `./compare` by default.
        mixed: Draw models on different data sets together.

    The other arguments are those of `train`.

    Returns:
        The result of each training.

    Raises:
        TrainingError: The models are on different data sets, or a run can't start.
    """
    return launch.compare(models, options)


def evaluate(
    model: str | Path,
    *,
    hub: str | None = None,
    revision: str | None = None,
    weights: str | Path | None = None,
    device: str | None = None,
    data: str | Path | None = None,
    dataset: str | None = None,
    runtime: str | None = None,
    tell: Tell | None = None,
) -> Evaluated:
    """Run a model over its whole test set.

    Args:
        model: A name, a path or an address.
        hub: The hub of a name.
        revision: A revision of the model.
        weights: A safetensors file that is evaluated in the net of `model`. Images are normalized as its metadata say,
            else as the data set does.
        device: Any device that torch has here; a GPU by default, if there is one.
        data: The directory of data sets.
        dataset: The address of your own pictures, if the model was trained on them and they are not prepared here; they
            must be the same. For imported weights, the name of a data set with the same images and classes.
        runtime: A format that the model folder has a file of (`export`); that file is run, on the processor.
        tell: A function that is called with the progress of reading your pictures.

    Returns:
        The results now, the confusion matrix, and the record with the published results.

    Raises:
        DataError: The data set is missing, or differs from the model's.
        ExportError: The folder has no file of this format, or its runtime is missing.
        UnknownModel, FolderError, HubError: As `load` raises them.

    Example:
        >>> import zoo
        >>> zoo.evaluate("resnet8_digits", device="cpu").results.test_images
        360
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
        return _evaluate_file(model, revision, path_of(weights), device, data)
    source = published(model, hub=hub, revision=revision)
    if dataset is not None and named is None:
        _prepare(source, dataset, data, tell)

    root = root_of(data)
    if runtime is not None:
        from zoo.exporters.runtime import evaluated as run_over_test_set

        return run_over_test_set(source, runtime, root)
    from zoo.evaluation.evaluate import evaluated
    from zoo.nets.device import choose

    known, record = source.on(named) if named else source.model, source.config
    return evaluated(known, source.net(), (record.mean, record.std), root, choose(device), record)


def _evaluate_file(
    model: str | Path, revision: str | None, weights: Path, device: str | None, data: str | Path | None
) -> Evaluated:
    """Evaluate a safetensors file in the net of a model."""
    reference = parse(model)
    source = None if isinstance(reference, Name) else published(reference, revision=revision)
    known = source.model if source else registry.load(full_name(str(model), None))
    from zoo.evaluation.evaluate import evaluated
    from zoo.nets.device import choose
    from zoo.nets.weights import load_file, normalisation_of

    net, metadata = load_file(known.architecture, known.dataset, weights)
    if source is not None and "mean" not in metadata:
        normalisation = source.config.mean, source.config.std
    else:
        normalisation = normalisation_of(metadata, known, weights)
    return evaluated(known, net, normalisation, root_of(data), choose(device), None)


def _silent(what: str, done: int, total: int) -> None:
    """Report no progress."""


def _prepare(source: Published, dataset: str, data: str | Path | None, tell: Tell | None) -> None:
    """Prepare the pictures that a model was trained on; raises DataError for imported weights."""
    from zoo.data.prepared import prepare_again

    prepare_again(DatasetRequest(dataset), source.config, root_of(data), tell or _silent)


def _require_processor(device: str | None, weights: str | Path | None = None) -> None:
    """Refuse what an exported file can't be run with; raises ExportError."""
    if device not in (None, "cpu"):
        raise ExportError(f"an exported file is run on the processor, not on {device}; leave out the device")
    if weights is not None:
        raise ExportError(f"an exported file has its own weights; leave out {weights}, or the runtime")


def report(evaluated: Evaluated, out: str | Path) -> list[ClassResults]:
    """Write the confusion matrix and the results of each class of an evaluation into the folder `out`.

    Args:
        evaluated: A result of `evaluate`.
        out: The folder to write to.

    Returns:
        The results class by class.

    Raises:
        FolderError: The folder can't be written.
    """
    from zoo.evaluation.report import write

    return write(path_of(out), evaluated.name, evaluated.results, evaluated.classes, evaluated.confusion)


def predict(
    model: str | Path,
    pictures: str | Path | Iterable[str | Path],
    *,
    top: int = 5,
    hub: str | None = None,
    revision: str | None = None,
    device: str | None = None,
    runtime: str | None = None,
) -> Iterator[Prediction]:
    """Classify pictures of any size and mode.

    Args:
        model: A name, a path or an address.
        pictures: The path of a picture or of a folder of pictures, or several paths.
        top: How many classes to name.
        hub: The hub of a name.
        revision: A revision of the model.
        device: Any device that torch has here; a GPU by default, if there is one.
        runtime: A format that the model folder has a file of (`export`); that file is run, on the processor.

    Returns:
        A Prediction for each picture, one by one. A picture that can't be read is a Prediction with an error.

    Raises:
        ImageError: There is no picture at all.
        ExportError: The folder has no file of this format, or its runtime is missing.
        UnknownModel, FolderError, HubError: As `load` raises them.
    """
    from functools import partial

    paths = [pictures] if isinstance(pictures, str | Path) else pictures
    source = published(model, hub=hub, revision=revision)
    from zoo.evaluation.predict import predictions, probabilities
    from zoo.nets.device import choose

    if runtime is not None:
        from zoo.exporters.runtime import open_export, probabilities_of

        _require_processor(device)
        look = probabilities_of(open_export(source, runtime), source.config)
    else:
        look = partial(probabilities, source.net(choose(device)), source.preprocess)
    return predictions(look, source.config.classes, map(path_of, paths), top=top)


def layers(model: str, *, depth: int = 2) -> list[Layer]:
    """List the modules of a model's net with their output shapes, parameters and multiply-adds for an image.

    Args:
        model: A model's name.
        depth: How many levels of modules to list.

    Returns:
        The net itself, then its modules.

    Raises:
        UnknownModel: No plugin has a model of that name.
    """
    declared = registry.load(tagged(model)[0])
    from zoo.nets.build import to_be_filled
    from zoo.nets.layers import layers as layers_of

    net = to_be_filled(declared.architecture, declared.dataset)
    return layers_of(net, declared.dataset.input_size, depth=depth)


def survey(
    address: str,
    *,
    test_part: float | None = None,
    skip_bad: bool = False,
    data: str | Path | None = None,
    tell: Tell | None = None,
) -> Survey:
    """Look at your own pictures: classes, sizes, copies across the split, and what can't be read.

    Args:
        address: The address of the pictures, `folder:PATH`.
        test_part: The part that becomes the test set, where none is set apart.
        skip_bad: Leave out pictures that can't be read.
        data: The directory of data sets.
        tell: A function that is called with the progress of reading your pictures.

    Returns:
        The classes, sizes, copies and unreadable files of the pictures.

    Raises:
        DataError: There are no pictures, or no test set and no `test_part`.
        PluginError: The plugin that reads this kind of address fails.
    """
    plugins.declared()  # a damaged distribution is reported and left out, before torch would fail on it
    from zoo.data.prepared import survey_address

    request = DatasetRequest(address, test_part, skip_bad)
    return survey_address(request, root_of(data), tell or _silent)


def plot(runs: Iterable[str | Path], out: str | Path) -> Path:
    """Draw loss, top-1 and learning rate of several runs in one picture.

    Args:
        runs: Names, addresses, or paths of model folders or unfinished runs.
        out: The file to write: .svg, .png or .pdf.

    Returns:
        The path of the picture.

    Raises:
        FolderError: A run can't be read, or the file can't be written.
    """
    from zoo.record import curve

    out = path_of(out)
    kind = curve.kind_of(out)
    return curve.write(out, curve.overlay(logs(runs), kind))


def verify(
    model: str | Path,
    *,
    hub: str | None = None,
    revision: str | None = None,
    device: str | None = None,
    data: str | Path | None = None,
    dataset: str | None = None,
    tell: Tell | None = None,
) -> Verified:
    """Check a published model: hashes, strict load, known answers, and accuracy on the test set if it is there.

    Nothing is downloaded for it. Accuracy and loss must be equal where processor, threads and torch are the same, else
    accuracy within 0.05 points. Files in other formats are run if their runtimes are installed.

    Args:
        model: A name, a path or an address.
        hub: The hub of a name.
        revision: A revision of the model.
        device: Any device that torch has here; a GPU by default, if there is one.
        data: The directory of data sets.
        dataset: The address of your own pictures, if the model was trained on them.
        tell: A function that is called with the progress of reading your pictures.

    Returns:
        The outcome, "as published", "differs" or "not measured", with that of each check.

    Raises:
        FolderError: A file is missing or damaged.
        UnknownModel, HubError: As `load` raises them.
    """
    source = published(model, hub=hub, revision=revision, newest=True)
    source.require_record()
    source.check()
    from zoo.evaluation.outcome import Check, Verified
    from zoo.evaluation.verify import verify as compared_to_record
    from zoo.nets.device import choose

    target = choose(device)
    if dataset is not None:
        _prepare(source, dataset, data, tell)
    root = root_of(data)
    try:
        net = source.net(target)
    except HubError as error:
        if not isinstance(source.config, Imported):
            raise
        return Verified(source.config.name, (Check("weights", "not measured", str(error)),))
    verified = compared_to_record(source.config, source.declared, net, root)
    if not source.config.exports:
        return verified
    from zoo.exporters.runtime import checks

    return replace(verified, checks=(*verified.checks, *checks(source, root)))


@takes(ReproduceOptions)
def reproduce(model: str | Path, options: ReproduceOptions) -> tuple[Trained, TrainedRecord]:
    """Train a published model again as its record says, whatever the plugin declares now.

    `zoo.record.types.obstacles` says of the two records whether the same bytes can be expected.

    Args:
        model: A name, a path or an address.
        epochs: Another number of epochs.
        seed: Another seed.
        hub: The hub of a name.
        revision: A revision of the model.
        device: cpu, cuda or cuda:N; a GPU by default, if there is one.
        data: The directory of data sets.
        dataset: The address of your own pictures, if the model was trained on them.
        out: The model folder to make; `runs/MODEL-reproduced` by default.
        resume: Continue a run that was stopped.
        overwrite: Replace an existing run or model folder.
        track: The names of trackers.
        report: An object that receives the results of each epoch.
        tell: A function that is called with the progress of reading your pictures.

    Returns:
        The result of the training, and the published record.

    Raises:
        TrainingError: The start, the teacher or the data set differs from the record's.
        UnknownModel, FolderError, HubError: As `load` raises them.
    """
    from zoo.training.plan import reproduction

    source = published(model, hub=options.hub, revision=options.revision)
    record = require_trained(source.config)
    training = options.training(record.job.seed)
    if options.dataset is not None:
        _prepare(source, options.dataset, options.data, options.tell)
    return launch.launch([reproduction(source, training)]), record


def push(
    path: str | Path,
    *,
    hub: str | None = None,
    license: str | None = None,  # noqa: A002 - what it is called everywhere
) -> Pushed:
    """Publish a model folder under its model's name.

    A missing or stale card is rendered anew; a card that was edited by hand is kept.

    Args:
        path: The model folder.
        hub: The hub to publish to; ZOO_HUB by default, else the account that is logged in.
        license: A license id of the Hugging Face Hub, which is written into the record first.

    Returns:
        The address and the revision.

    Raises:
        FolderError: The folder is incomplete or damaged.
        HubError: The hub can't be written.
    """
    folder = path_of(path)
    if license is not None:
        publish.relicense(folder, publish.sound_license(license))
    return publish.publish(folder, open_hub(hub))


def pull(model: str, *, hub: str | None = None, revision: str | None = None, out: str | Path | None = None) -> Path:
    """Copy a whole published model folder to this machine, and check its hashes.

    Args:
        model: A name or an address.
        hub: The hub of a name.
        revision: A revision of the model.
        out: The folder to make; `./NAME` by default.

    Returns:
        The path of the folder.

    Raises:
        FolderError: `out` exists already, or a file is damaged.
        HubError: The hub can't be read, or does not have the model (NotFound).
    """
    source = published(model, hub=hub, revision=revision, newest=True)
    return publish.pull(source, path_of(out) if out is not None else None)


def diff(a: str | Path, b: str | Path) -> dict[str, tuple[object, object]]:
    """Compare the records of two published models: job and recipe, results, classes, hashes of files.

    Args:
        a: A name, a path, or an address, which may have a revision.
        b: Another one.

    Returns:
        The fields that differ, each with both values; None where a record does not have the field.

    Raises:
        UnknownModel, FolderError, HubError: As `load` raises them.

    Example:
        >>> import zoo
        >>> zoo.api.diff("resnet20_cifar10", "resnet20_cifar100")["dataset"]
        ('cifar10', 'cifar100')
    """
    return differences(published(a).config, published(b).config)


def export(
    model: str | Path,
    *,
    to: str | Sequence[str] = ("onnx",),
    out: str | Path | None = None,
    hub: str | None = None,
    revision: str | None = None,
    data: str | Path | None = None,
    allow_loss: bool = False,
) -> tuple[Path, Record]:
    """Write a model in other formats, into a copy of its model folder.

    Each file takes pixels, uint8 [N, H, W, C], and returns logits and probabilities. It is run at once by its own
    runtime and compared to the net: on fixed inputs, and on the whole test set if it is there.

    Args:
        model: A name, a path or an address.
        to: Formats: `onnx`, `int8` (ONNX in 8-bit integers), `pt2` (torch.export), or a plugin's.
        out: The folder to make; `./NAME-export` by default.
        hub: The hub of a name.
        revision: A revision of the model.
        data: The directory of data sets.
        allow_loss: Keep a format that costs more than half a point of top-1.

    Returns:
        The path of the folder, and its record.

    Raises:
        ExportError: A format is unknown, or its file gives other answers than the net.
        FolderError: `out` exists already.
        UnknownModel, HubError: As `load` raises them.
    """
    source = published(model, hub=hub, revision=revision)
    source.require_record()
    from zoo.exporters import export as exporting

    exporters = exporting.exporters([to] if isinstance(to, str) else to)
    target = path_of(out or f"{source.config.name}-export")
    exporting.require_free(target)
    files = exporting.export(source, exporters, root_of(data), allow_loss=allow_loss)
    return exporting.write(source, files, target)


def page(
    out: str | Path, *, hub: str | None = None, runtime: str | Path | None = None, push: str | None = None
) -> Site:
    """Write a static site of the models of a hub.

    A site that was written before is replaced. A model that can't be read is left out, with a warning.

    Args:
        out: The folder to write to.
        hub: The hub; the catalogue by default.
        runtime: An unpacked npm package onnxruntime-web. With it, models that have an ONNX file (`export`) can be tried
            in the page.
        push: The address of a Space to publish the site to, `hf://NAMESPACE/SPACE`. It is created if it is missing.

    Returns:
        The folder, the first page, and the numbers of models.

    Raises:
        PageError: The folder has other files, the runtime is incomplete, or `push` is not the address of a Space.
        HubError: The hub can't be read, or the Space can't be written.
    """
    from zoo.page import models, site, space
    from zoo.page import runtime as browser

    target = path_of(out)
    repository = space.repository_of(push) if push is not None else None
    site.require_replaceable(target)
    runs = browser.read(path_of(runtime)) if runtime is not None else None
    shown = models.shown(hub, with_files=runs is not None)
    folder = site.write(target, site.pages(shown, runs))
    tried = sum(model.onnx is not None for model in shown)
    url = space.publish(folder, repository) if repository is not None else ""
    return Site(folder, folder / "index.html", len(shown), tried, url)


@takes(ImportOptions)
def import_model(model: str, options: ImportOptions) -> tuple[Path, Record]:
    """Import weights that somebody else published, measure them, and write a model folder.

    Accuracy is measured if the data set is on this machine; nothing is downloaded for it.

    Args:
        model: The name of the model whose net has these weights.
        source: The path of a safetensors file or a torch checkpoint, `https://…`, or
            `hf://namespace/repository/path@REVISION`. A checkpoint is read without running its code.
        by: Who trained the weights.
        license: Their license.
        tag: The tag in the name MODEL.TAG; the author's name by default.
        mean: The mean that they were trained with; the data set's by default.
        std: The standard deviation that they were trained with; the data set's by default.
        sha256: The SHA-256 that the file must have.
        rename: Pairs of a regular expression and its replacement, applied to the tensors' names as `re.sub` does.
        address: Where a file that is given by path is published.
        revision: The revision of the repository that it is published in.
        citation: How the author wants to be cited.
        claim: The top-1 that the author states, in percent.
        claim_means: What that number is.
        out: The folder to make; `./MODEL.TAG` by default.
        device: Any device that torch has here.
        data: The directory of data sets.

    Returns:
        The path of the folder, and its record.

    Raises:
        RegistryError: There is no such model.
        WeightsError: The file can't be read, or does not fit the net.
        HashMismatch: The file has another hash.
        FolderError: `out` exists already.
        HubError: The file can't be fetched.
    """
    return importing.import_model(model, options)
