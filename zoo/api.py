"""The public functions, which the command line calls too: load, train, evaluate, publish, export and list models.

torch is imported by the functions that compute, when they are called. A `model` argument is a model's name, the path of
a model folder, or an address in a hub (`hf://namespace/name`, `file:PATH/name`). Text with a separator, or that begins
with `.` or `~`, is a path. The weights of a name come from `hub`. Without `hub` they come from the hub in ZOO_HUB if it
has the model, else from the catalogue that ships with the zoo.
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
from zoo.hub.info import ModelInfo, RevisionRow, info, revisions
from zoo.hub.listing import Row, list_models, overview, search
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
    """The result of `page`."""

    folder: Path
    index: Path  # the first page
    models: int  # number of models
    tried: int  # number of models that can be tried in the browser
    space: str = ""  # the URL of the Space that the site was published to


def find(model: str | Path, *, hub: str | None = None, revision: str | None = None) -> Path:
    """Fetch a published model, and return its folder on this machine.

    Imported weights that the hub does not store are not fetched; `pull` downloads them too.

    Args:
        model: A name, a path or an address.
        hub: The hub, if `model` is a name. Default: ZOO_HUB, then the catalogue.
        revision: A revision of the model.

    Returns:
        The path of the model folder.

    Raises:
        UnknownModel: No plugin has a model of that name.
        FolderError: The folder is incomplete or damaged.
        HubError: The hub can't be read, or does not have the model (NotFound).

    Examples:
        >>> import zoo
        >>> (zoo.api.find("resnet8_digits") / "README.md").is_file()
        True
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
    """Build a model, and load its published weights if `pretrained` is true.

    The SHA-256 of the weights is checked, and the weights are loaded with `strict=True`. With another `num_classes`,
    the classifier is initialized randomly. With another `in_channels`, the weights of the first convolution are summed
    or repeated, as timm does.

    Args:
        model: A name, a path or an address.
        pretrained: Load the published weights, and return the net in evaluation mode.
        hub: The hub, if `model` is a name. Default: ZOO_HUB, then the catalogue.
        revision: A revision of the published weights.
        num_classes: The number of classes, by default that of the model; 0 for a net that returns its features.
        in_channels: The number of channels of an image, by default that of the model.
        device: A device of torch: cpu, cuda, cuda:1, mps, xpu.

    Returns:
        The net.

    Raises:
        UnknownModel: No plugin has a model of that name.
        PluginError: The plugin that provides the architecture is missing or fails.
        BuildError: The net can't be built for these classes and channels.
        DeviceError: torch does not have the device on this machine.
        FolderError: The model folder is incomplete, or its weights have another hash (HashMismatch).
        HubError: The hub can't be read, or does not have the model (NotFound).

    Examples:
        >>> import zoo
        >>> net = zoo.load("resnet8_digits", pretrained=True)
    """
    reference = parse(model)
    if not pretrained and hub is None and isinstance(reference, Name):
        if revision is not None:
            raise HubError(f"revision {revision} names published weights; load them with pretrained=True")
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

    Image size, mean and std come from the record of the published model. If the model has no published weights, they
    come from its dataset.

    Args:
        model: A name, a path or an address.
        hub: The hub, if `model` is a name. Default: ZOO_HUB, then the catalogue.
        revision: A revision of the model.

    Returns:
        A transform from an image of any size and mode to a tensor [C, H, W], float32.

    Raises:
        UnknownModel, FolderError, HubError: As `load` raises them.

    Examples:
        >>> import zoo
        >>> from PIL import Image
        >>> preprocess = zoo.transforms("resnet8_digits")
        >>> preprocess(Image.open("photo.png")).shape
        torch.Size([1, 8, 8])
    """
    from zoo.data.preprocessing import preprocessing

    try:
        return published(model, hub=hub, revision=revision).preprocess
    except NotPublished:
        dataset = registry.load(registry.resolve(str(model))).dataset
        return preprocessing(dataset.input_size, dataset.mean, dataset.std, dataset.resizing)


@takes(TrainOptions)
def train(model: str, options: TrainOptions) -> Trained:
    """Train a model with one of its recipes, evaluate it, write its model folder, and publish it if `push` is true.

    Under torchrun every process calls this function with the same arguments; the first process writes and publishes.
    In a process that only trains, on a CPU, training is faster after `zoo.training.environment.keep_memory()`.

    Args:
        model: The name of a model or an architecture. If no plugin declares this architecture, the architecture
            of `start` is used.
        recipe: The name of a recipe. Default: with `start`, `finetune` if the model has this recipe; else the
            model's first recipe.
        dataset: A dataset's name, or your own images, `folder:PATH`. Default: the architecture's dataset.
        start: The weights to start from: a name, a path or an address. For other classes the head is initialized from
            `seed`; for another number of channels the first convolution is adapted as `load` does.
        test_part: The fraction of your own images to hold out as the test set, from 0 to 1.
        skip_bad: Leave out images that can't be read.
        license: The license of the weights. Required for publishing a model that is trained on your own images.
        settings: Recipe fields to change, by name: `{"lr": 0.05}`.
        epochs: The number of epochs. Default: the recipe's.
        seed: The random seed.
        seeds: The number of seeds to train from, each into its own folder. The model of `seed` is returned and
            published; its card has the mean and standard deviation of all seeds.
        device: cpu, cuda, cuda:N or mps. Default: a GPU if there is one.
        amp: Train in bf16 autocast. Default: if the hardware supports bf16.
        compile: "none", "graph" (a step as one CUDA graph), "default" (torch.compile) or "auto" (chosen by the device
            and the length of the training).
        deterministic: Get the same weights, byte for byte, from the same seed. Default: on a CPU only.
        grad_checkpointing: Recompute activations in the backward pass, to use less memory.
        dtype: The type of the stored weights: "fp32" or "fp16". Weights are rounded before they are evaluated.
        threads: The number of CPU threads. Default: torch's.
        data: The directory of datasets.
        limit_train: The number of training images to use. Default: all.
        limit_test: The number of test images to use. Default: all. Otherwise the model can't be published.
        out: The model folder to create.
        resume: Continue a stopped run. If the training is finished, return its result.
        overwrite: Replace an existing run or model folder. With `resume`, replace it only if it has other settings.
        allow_other_environment: With `resume`, continue a run of another machine, precision or torch version. The
            record and the card list the differences. The weights can't be reproduced byte for byte.
        save_every: The number of epochs between checkpoints.
        eval_every: The number of epochs between evaluations on the test set.
        push: Publish the model folder at the end.
        hub: The hub to publish to.
        track: Names of trackers: "tensorboard", "wandb", "mlflow", "trackio", or a plugin's.
        report: A `zoo.plugin.Report`, which receives each epoch's results. Default: a progress bar in Jupyter.
        tell: A function `(task, done, total)` that is called with the progress of reading your images.

    Returns:
        The model folder, its record, and its address in the hub if it was published.

    Raises:
        RegistryError: There is no such model, architecture or dataset.
        RecipeError: There is no such recipe, or a field has an impossible value.
        DataError: The dataset is missing or damaged.
        TrainingError: The run can't start or continue.
        FolderError: The model folder can't be written.
        HubError: The hub can't be read or written.

    Examples:
        >>> import zoo
        >>> trained = zoo.train("resnet8_digits", epochs=1, out="runs/example")
        >>> print(trained.folder)
        runs/example
    """
    return launch.train(model, options)


@takes(CompareOptions)
def compare(models: Sequence[str], options: CompareOptions) -> list[Trained]:
    """Train several models with the same options, and plot their errors in `out/errors.svg` and `out/errors.png`.

    Models that are finished in `out` are not trained again, and stopped runs continue.

    Args:
        models: Names of models.
        out: The folder for the model folders and the plot. Default: `./compare`.
        mixed: Allow models on different datasets.

    The other arguments are those of `train`.

    Returns:
        The result of each training.

    Raises:
        TrainingError: The models are on different datasets without `mixed`, or a run can't start.
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
    """Evaluate a model on its whole test set.

    Args:
        model: A name, a path or an address.
        hub: The hub, if `model` is a name. Default: ZOO_HUB, then the catalogue.
        revision: A revision of the model.
        weights: A safetensors file to evaluate in the net of `model`. Images are normalized with the mean and std in
            the metadata of the file, else with the mean and std of the model.
        device: A device of torch. Default: a GPU if there is one.
        data: The directory of datasets.
        dataset: The address of the images that the model was trained on, if they are not in this machine's cache. For
            imported weights, the name of a dataset with the same classes.
        runtime: An export format, such as `onnx`: run the exported file (`export`) on the CPU instead of the net.
        tell: A function `(task, done, total)` that is called with the progress of reading your images.

    Returns:
        The results, the confusion matrix, and the record with the published results.

    Raises:
        DataError: The dataset is missing, or differs from the model's.
        ExportError: The folder has no file of this format, or its runtime is missing.
        UnknownModel, FolderError, HubError: As `load` raises them.

    Examples:
        >>> import zoo
        >>> zoo.evaluate("resnet8_digits", device="cpu").results.test_images
        360
    """
    from zoo.data.collection import is_address

    dataset_name = dataset if dataset is not None and not is_address(dataset) else None
    if dataset_name is not None and (runtime is not None or weights is not None):
        raise DataError(f"dataset {dataset_name} can't be combined with weights or runtime; leave out one of them")
    if runtime is not None:
        _require_processor(device, weights)
    if weights is not None:
        return _evaluate_file(model, revision, path_of(weights), device, data)
    source = published(model, hub=hub, revision=revision)
    if dataset is not None and dataset_name is None:
        _prepare(source, dataset, data, tell)

    root = root_of(data)
    if runtime is not None:
        from zoo.exporters.runtime import evaluated as run_over_test_set

        return run_over_test_set(source, runtime, root)
    from zoo.evaluation.evaluate import evaluated
    from zoo.nets.device import choose

    declared, record = source.on(dataset_name) if dataset_name else source.model, source.config
    return evaluated(declared, source.net(), (record.mean, record.std), root, choose(device), record)


def _evaluate_file(
    model: str | Path, revision: str | None, weights: Path, device: str | None, data: str | Path | None
) -> Evaluated:
    """Evaluate a safetensors file in the net of a model."""
    reference = parse(model)
    source = None if isinstance(reference, Name) else published(reference, revision=revision)
    declared = source.model if source else registry.load(full_name(str(model), None))
    from zoo.evaluation.evaluate import evaluated
    from zoo.nets.device import choose
    from zoo.nets.weights import load_file, normalisation_of

    net, metadata = load_file(declared.architecture, declared.dataset, weights)
    if source is not None and "mean" not in metadata:
        normalisation = source.config.mean, source.config.std
    else:
        normalisation = normalisation_of(metadata, declared, weights)
    return evaluated(declared, net, normalisation, root_of(data), choose(device), None)


def _silent(what: str, done: int, total: int) -> None:
    """Report no progress."""


def _prepare(source: Published, dataset: str, data: str | Path | None, tell: Tell | None) -> None:
    """Prepare the images that a model was trained on; raises DataError for imported weights."""
    from zoo.data.prepared import prepare_again

    prepare_again(DatasetRequest(dataset), source.config, root_of(data), tell or _silent)


def _require_processor(device: str | None, weights: str | Path | None = None) -> None:
    """Raise ExportError for arguments that can't be combined with a runtime."""
    if device not in (None, "cpu"):
        raise ExportError(f"an exported file runs on the CPU, not on {device}; leave out device")
    if weights is not None:
        raise ExportError(f"an exported file has its own weights; leave out weights ({weights}) or runtime")


def report(evaluated: Evaluated, out: str | Path) -> list[ClassResults]:
    """Write the confusion matrix and the results by class of an evaluation into a folder.

    Args:
        evaluated: A result of `evaluate`.
        out: The folder.

    Returns:
        The results of each class.

    Raises:
        FolderError: The folder can't be written.

    Examples:
        >>> import zoo
        >>> classes = zoo.api.report(zoo.evaluate("resnet8_digits", device="cpu"), "report")
        >>> classes[0].name, classes[0].images
        ('0', 35)
    """
    from zoo.evaluation.report import write

    return write(path_of(out), evaluated.name, evaluated.results, evaluated.classes, evaluated.confusion)


def predict(
    model: str | Path,
    images: str | Path | Iterable[str | Path],
    *,
    top: int = 5,
    hub: str | None = None,
    revision: str | None = None,
    device: str | None = None,
    runtime: str | None = None,
) -> Iterator[Prediction]:
    """Classify images of any size and mode.

    Args:
        model: A name, a path or an address.
        images: The path of an image or of a folder of images, or several paths.
        top: The number of classes to return for each image.
        hub: The hub, if `model` is a name. Default: ZOO_HUB, then the catalogue.
        revision: A revision of the model.
        device: A device of torch. Default: a GPU if there is one.
        runtime: An export format, such as `onnx`: run the exported file (`export`) on the CPU instead of the net.

    Returns:
        An iterator of a Prediction for each image. If an image can't be read, its Prediction has an error.

    Raises:
        ImageError: There are no images.
        ExportError: The folder has no file of this format, or its runtime is missing.
        UnknownModel, FolderError, HubError: As `load` raises them.

    Examples:
        >>> import zoo
        >>> for prediction in zoo.predict("resnet8_digits", "photo.png", device="cpu"):
        ...     print(prediction.path, prediction.guesses[0].label)
        photo.png 2
    """
    from functools import partial

    paths = [images] if isinstance(images, str | Path) else images
    source = published(model, hub=hub, revision=revision)
    from zoo.evaluation.predict import predictions, probabilities
    from zoo.nets.device import choose

    if runtime is not None:
        from zoo.exporters.runtime import open_export, probabilities_of

        _require_processor(device)
        classify = probabilities_of(open_export(source, runtime), source.config)
    else:
        classify = partial(probabilities, source.net(choose(device)), source.preprocess)
    return predictions(classify, source.config.classes, map(path_of, paths), top=top)


def layers(model: str, *, depth: int = 2) -> list[Layer]:
    """List the modules of a model's net with output shapes, parameters and multiply-adds per image.

    Args:
        model: A model's name.
        depth: The number of levels of modules to list.

    Returns:
        The net, then its modules.

    Raises:
        UnknownModel: No plugin has a model of that name.

    Examples:
        >>> import zoo
        >>> net, *modules = zoo.api.layers("resnet8_digits")
        >>> net.parameters
        75002
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
    """Read your own images, and report classes, sizes, copies in both splits and unreadable files.

    Args:
        address: The address of the images, `folder:PATH`.
        test_part: The fraction to hold out as the test set, from 0 to 1.
        skip_bad: Leave out images that can't be read.
        data: The directory of datasets.
        tell: A function `(task, done, total)` that is called with the progress of reading the images.

    Returns:
        The images of each split, with their classes, sizes, copies and errors.

    Raises:
        DataError: There are no images, or neither a test set nor a `test_part`.
        PluginError: The plugin that reads this kind of address fails.
    """
    plugins.declared()  # leaves out a damaged distribution, on which importing torch would fail
    from zoo.data.survey import survey

    request = DatasetRequest(address, test_part, skip_bad)
    return survey(request, root_of(data), tell or _silent)


def plot(runs: Iterable[str | Path], out: str | Path) -> Path:
    """Plot loss, top-1 and learning rate of several runs against the epoch.

    Args:
        runs: Names, addresses, or paths of model folders or unfinished runs.
        out: The file to write: .svg, .png or .pdf.

    Returns:
        The path of the file.

    Raises:
        FolderError: A run can't be read, or the file can't be written.

    Examples:
        >>> import zoo
        >>> print(zoo.api.plot(["resnet8_digits", "./runs/resnet8_digits"], "plot.svg"))
        plot.svg
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
    """Verify a published model: hashes, strict load, recorded logits, and accuracy if the test set is on this machine.

    No data is downloaded. With the same processor, number of threads and torch version, accuracy and loss must equal
    the recorded values; otherwise the accuracy may differ by 0.05 percentage points. Exported files are run if their
    runtimes are installed.

    Args:
        model: A name, a path or an address.
        hub: The hub, if `model` is a name. Default: ZOO_HUB, then the catalogue.
        revision: A revision of the model.
        device: A device of torch. Default: a GPU if there is one.
        data: The directory of datasets.
        dataset: The address of the images that the model was trained on, if they are not in this machine's cache.
        tell: A function `(task, done, total)` that is called with the progress of reading your images.

    Returns:
        The overall outcome and the outcome of each check: "as published", "differs" or "not measured".

    Raises:
        FolderError: A file is missing or damaged.
        UnknownModel, HubError: As `load` raises them.

    Examples:
        >>> import zoo
        >>> zoo.verify("resnet8_digits", device="cpu").outcome
        'as published'
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
    """Train a published model again with the settings in its record, even if the plugin's recipe has changed.

    `zoo.record.types.obstacles` compares the two records: it lists the reasons why the weights may differ.

    Args:
        model: A name, a path or an address.
        epochs: The number of epochs. Default: as published.
        seed: The random seed. Default: as published.
        hub: The hub, if `model` is a name. Default: ZOO_HUB, then the catalogue.
        revision: A revision of the model.
        device: cpu, cuda, cuda:N or mps. Default: a GPU if there is one.
        data: The directory of datasets.
        dataset: The address of the images that the model was trained on, if they are not in this machine's cache.
        out: The model folder to create. Default: `runs/MODEL-reproduced`.
        resume: Continue a stopped run.
        overwrite: Replace an existing run or model folder.
        track: Names of trackers.
        report: A `zoo.plugin.Report`, which receives each epoch's results. Default: a progress bar in Jupyter.
        tell: A function `(task, done, total)` that is called with the progress of reading your images.

    Returns:
        The result of the training, and the published record.

    Raises:
        TrainingError: The start, the teacher or the dataset differs from the record.
        UnknownModel, FolderError, HubError: As `load` raises them.

    Examples:
        >>> import zoo
        >>> trained, published = zoo.reproduce("runs/resnet8_digits", epochs=1, device="cpu")
        >>> trained.config.job.seed == published.job.seed
        True
    """
    from zoo.training.plan import reproduction

    source = published(model, hub=options.hub, revision=options.revision)
    record = require_trained(source.config)
    training = options.training(record.job.seed)
    if options.dataset is not None:
        _prepare(source, options.dataset, options.data, options.tell)
    return launch.launch([reproduction(source, training)]), record


def push(
    folder: str | Path,
    *,
    hub: str | None = None,
    license: str | None = None,  # noqa: A002 - the usual word
) -> Pushed:
    """Publish a model folder under its model's name.

    A missing or outdated card is rendered again; a card that was edited by hand is kept.

    Args:
        folder: The model folder.
        hub: The hub to publish to. Default: ZOO_HUB, else the account that is logged in to the Hugging Face Hub.
        license: The license of the weights, a license id of the Hugging Face Hub. It is written into the record.

    Returns:
        The address and the revision.

    Raises:
        FolderError: The folder is incomplete or damaged.
        HubError: The hub can't be written.

    Examples:
        >>> import zoo
        >>> print(zoo.push("runs/resnet8_digits", hub="file:hub").address)
        file:hub/resnet8_digits
    """
    path = path_of(folder)
    if license is not None:
        publish.relicense(path, publish.sound_license(license))
    return publish.publish(path, open_hub(hub))


def pull(model: str, *, hub: str | None = None, revision: str | None = None, out: str | Path | None = None) -> Path:
    """Download a published model with all its files, and check their hashes.

    Args:
        model: A name or an address.
        hub: The hub, if `model` is a name. Default: ZOO_HUB, then the catalogue.
        revision: A revision of the model.
        out: The folder to create. Default: `./NAME`.

    Returns:
        The path of the folder.

    Raises:
        FolderError: `out` exists already, or a file is damaged.
        HubError: The hub can't be read, or does not have the model (NotFound).

    Examples:
        >>> import zoo
        >>> print(zoo.pull("resnet8_digits", out="downloaded"))
        downloaded
    """
    source = published(model, hub=hub, revision=revision, newest=True)
    return publish.pull(source, path_of(out) if out is not None else None)


def diff(a: str | Path, b: str | Path) -> dict[str, tuple[object, object]]:
    """Compare the records of two published models: job, recipe, results, classes and hashes.

    Args:
        a: The first model: a name, a path, or an address, also with a revision.
        b: The second model.

    Returns:
        The fields that differ, each with its two values. The value is None if a record does not have the field.

    Raises:
        UnknownModel, FolderError, HubError: As `load` raises them.

    Examples:
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
    """Export a model to other formats, into a copy of its model folder.

    An exported file takes pixels, uint8 [N, H, W, C], and returns logits and probabilities, float32 [N, num_classes].
    It is run and compared with the net: on fixed inputs, and on the test set if the dataset is on this machine.

    Args:
        model: A name, a path or an address.
        to: Formats: `onnx`, `int8` (ONNX in 8-bit integers), `pt2` (torch.export), or a plugin's.
        out: The folder to create. Default: `./NAME-export`.
        hub: The hub, if `model` is a name. Default: ZOO_HUB, then the catalogue.
        revision: A revision of the model.
        data: The directory of datasets.
        allow_loss: Accept an exported file even if its top-1 is more than 0.5 percentage points lower.

    Returns:
        The path of the folder, and its record.

    Raises:
        ExportError: A format is unknown, or the results of its file differ from those of the net.
        FolderError: `out` exists already.
        UnknownModel, HubError: As `load` raises them.

    Examples:
        >>> import zoo
        >>> folder, record = zoo.export("resnet8_digits", to="pt2", out="exported")
        >>> print(folder / record.exports[0].file)
        exported/pt2/model.pt2
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

    An existing site is replaced. A model that can't be read is left out, with a warning.

    Args:
        out: The folder to write to.
        hub: The hub. Default: the catalogue.
        runtime: The folder of an unpacked npm package onnxruntime-web. With it, models that have an ONNX file
            (`export`) can be tried in the browser.
        push: The address of a Space to publish the site to, `hf://NAMESPACE/SPACE`. The Space is created if needed.

    Returns:
        The folder, the first page, and the numbers of models.

    Raises:
        PageError: The folder has other files, the runtime is incomplete, or `push` is not the address of a Space.
        HubError: The hub can't be read, or the Space can't be written.

    Examples:
        >>> import zoo
        >>> pushed = zoo.push("runs/resnet8_digits", hub="file:hub")
        >>> zoo.api.page("site", hub="file:hub").models
        1
    """
    from zoo.page import models, site, space
    from zoo.page import runtime as browser

    target = path_of(out)
    repository = space.repository_of(push) if push is not None else None
    site.require_replaceable(target)
    web_runtime = browser.read(path_of(runtime)) if runtime is not None else None
    model_pages = models.read(hub, with_files=web_runtime is not None)
    folder = site.write(target, site.pages(model_pages, web_runtime))
    tried = sum(page.onnx is not None for page in model_pages)
    url = space.publish(folder, repository) if repository is not None else ""
    return Site(folder, folder / "index.html", len(model_pages), tried, url)


@takes(ImportOptions)
def import_model(model: str, options: ImportOptions) -> tuple[Path, Record]:
    """Import weights of another author, evaluate them, and write a model folder.

    Accuracy is measured if the dataset is on this machine; no data is downloaded.

    Args:
        model: The name of the model that the weights belong to.
        source: The path of a safetensors file or a torch checkpoint, `https://…`, or
            `hf://namespace/repository/path@REVISION`. A checkpoint is read without running its code.
        by: The author of the weights.
        license: The license of the weights.
        tag: The imported model is named MODEL.TAG. Default: the author's name.
        mean: The mean for normalization. Default: the dataset's.
        std: The standard deviation for normalization. Default: the dataset's.
        sha256: The expected SHA-256 of the file.
        rename: Pairs of a regular expression and its replacement, applied to the tensors' names as `re.sub` does.
        address: The public URL of the file, if `source` is a path.
        revision: The revision of the repository, if `address` is in a repository.
        citation: The citation for the weights, as the author requests it.
        claim: The top-1 accuracy that the author reports, in percent.
        claim_means: How the author measured the top-1, such as "best over test epochs".
        out: The folder to create. Default: `./MODEL.TAG`.
        device: A device of torch. Default: a GPU if there is one.
        data: The directory of datasets.

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
