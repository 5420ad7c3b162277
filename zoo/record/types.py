"""The record of a model, which is its config.json, and the rows of its log.jsonl.

`Record` is either `Trained` or `Imported`. Decoding checks all bounds and rules; a record that is made by a call is
checked when it is written (`zoo.record.store`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from zoo.decoding import (
    Address,
    Count,
    Distance,
    FileName,
    FilePath,
    Line,
    Name,
    Percent,
    Positive,
    Seconds,
    Sha256,
    Sha256OrDigits,
)
from zoo.errors import FolderError
from zoo.record.job import How, Job, Versions
from zoo.spec import PLAIN, Dataset, Pictures, Resizing, one_per_channel

FORMAT: Final = 1

README: Final = "README.md"
CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
LOG: Final = "log.jsonl"
CURVE: Final = "curve.svg"
PRESENTATION: Final = (README, CURVE)  # rendered from record and log, and no part of the record

UNKNOWN_LICENSE: Final = "unknown"  # the Hub's id for it

MOST_CLASSES: Final = 100_000
MOST_CHANNELS: Final = 64
MOST_PIXELS: Final = 4096  # of a side

Channels = Annotated[int, Meta(ge=1, le=MOST_CHANNELS)]
Side = Annotated[int, Meta(ge=1, le=MOST_PIXELS)]
Classes = Annotated[tuple[Line, ...], Meta(min_length=1, max_length=MOST_CLASSES)]
LayerNames = Annotated[tuple[Line, ...], Meta(max_length=16)]
Threads = Annotated[int, Meta(ge=1, lt=2**20)]
Loss = Annotated[float, Meta(ge=-1e39, le=1e39)]  # nothing beyond float32's range can be drawn
TAG: Final = r"\A[a-z0-9][a-z0-9_-]{0,39}\Z"


class Results(Struct, frozen=True, forbid_unknown_fields=True):
    """The accuracy of a model on all test images, one forward pass each; percent."""

    test_top1: Percent
    test_top5: Percent
    test_loss: Loss
    test_images: Positive

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% confidence interval of top-1 (Wilson 1927), in percent."""
        z, n, p = 1.959964, self.test_images, self.test_top1 / 100
        middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        margin = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        return 100 * max(0.0, middle - margin), 100 * min(1.0, middle + margin)


class EpochRow(Struct, frozen=True, forbid_unknown_fields=True):
    """An epoch of a run: mean losses, top-1 in percent; no choice is made by the test values."""

    epoch: Annotated[int, Meta(ge=1, lt=2**31)]
    lr: Loss  # of the last step
    train_loss: Loss
    train_top1: Loss
    train_seconds: Loss
    test_loss: Loss | None = None
    test_top1: Loss | None = None
    val_loss: Loss | None = None  # on the images of the training set that the recipe holds out
    val_top1: Loss | None = None
    compile_seconds: Loss = 0.0  # beside train_seconds

    def validated(self, results: Results) -> EpochRow:
        """The row with the results on the held-out images."""
        return msgspec.structs.replace(self, val_loss=results.test_loss, val_top1=results.test_top1)

    def tested(self, results: Results) -> EpochRow:
        """The row with the results on the test set."""
        return msgspec.structs.replace(self, test_loss=results.test_loss, test_top1=results.test_top1)


class Continuation(Struct, frozen=True, forbid_unknown_fields=True):
    """An interrupted training that was resumed in another environment."""

    epoch: Count  # finished epochs
    changes: tuple[Line, ...]  # "torch 2.14.1 instead of 2.13.0"


class Training(Struct, frozen=True, forbid_unknown_fields=True):
    """How a job was run, and what had been requested if something else was done."""

    epochs: Count
    train_seconds: Seconds
    compile_seconds: Seconds = 0.0  # beside train_seconds
    compile_why: Line = ""  # the reason for the job's `compile`
    compile_requested: How | None = None  # if compiling failed
    batch_norm_images: Positive | None = None  # images of a batch in the batch norm of each process, if not all
    continued: tuple[Continuation, ...] | UnsetType = UNSET


class SeedResults(Struct, frozen=True, forbid_unknown_fields=True):
    """The results of the same training from one seed."""

    seed: int
    test_top1: Percent
    test_top5: Percent
    test_loss: Loss
    weights_sha256: Sha256


class Environment(Struct, frozen=True, forbid_unknown_fields=True):
    """The machine on which the weights were trained or measured."""

    device: Line  # its name by its maker
    python: Line
    commit: Line | None  # of the zoo's checkout, if it ran from one
    plugin_commit: Line | None = None  # of the plugin's own checkout, if it ran from another one


class File(Struct, frozen=True, forbid_unknown_fields=True):
    """The hash and the size of a file."""

    sha256: Sha256
    bytes: Count


class Download(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The address of weights that are not in the folder: `model.safetensors`, or a file that is converted to it."""

    address: Address
    file: FileName
    sha256: Sha256OrDigits  # of the file; its first 8 digits if only those are known
    bytes: Positive | None = None
    # Over the names, types, shapes and values of the file's tensors (`zoo.nets.weights.tensors_sha256`).
    tensors_sha256: Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{64})?\Z")] = ""

    def is_of(self, sha256: str) -> bool:
        """Whether the file may have this SHA-256."""
        return sha256.startswith(self.sha256)


class Claim(Struct, frozen=True, forbid_unknown_fields=True):
    """The top-1 that the author of weights publishes, in percent, and how it was obtained."""

    test_top1: Percent
    meaning: Line = ""  # "best over test epochs"


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The author of imported weights, and how their file was converted and measured."""

    by: Annotated[Line, Meta(min_length=1)]
    revision: Line = ""  # of the repository that their file is in
    citation: Line = ""
    mapped: Line = ""  # how the names of its tensors became the net's
    # Regular expressions and their replacements, that were applied to the names first.
    rename: Annotated[tuple[tuple[Line, Line], ...], Meta(max_length=100)] | UnsetType = UNSET
    claim: Claim | None = None
    threads: Threads  # of the processor that measured it
    versions: Versions


class ExportTest(Struct, frozen=True, forbid_unknown_fields=True):
    """The results of an exported file on all test images, in its runtime, compared with the net."""

    test_top1: Percent
    test_images: Positive
    otherwise: Count  # images with another predicted class than the net's
    logits: Distance  # the largest difference from the net's

    def __post_init__(self) -> None:
        _require(self.otherwise <= self.test_images, "otherwise should be at most test_images")


class Export(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An exported file of the folder, and how it was compared with the net."""

    format: Name  # as `zoo export --to` names it
    file: FilePath  # its name in the folder
    runtime: Line  # with its version
    device: Line  # that it ran on, by its maker's name
    threads: Threads
    known_logits: Distance  # the largest difference from the net's logits of the fixed inputs
    test: ExportTest | None  # None if the data was not there
    any_size: bool = False  # takes images of any height and width, not only the model's


class PretrainedCfg(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What timm reads beside `architecture` to load the weights, under the names of its own `PretrainedCfg`.

    The first seven fields repeat fields of the record; the others are the net's.
    """

    input_size: tuple[Channels, Side, Side]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_pct: float
    interpolation: Line
    crop_mode: Line
    label_names: Classes
    num_classes: Positive
    first_conv: Line | LayerNames | None = None
    classifier: Line | LayerNames | None = None
    fixed_input_size: bool = False


class _Common(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """The fields of every record."""

    format: Annotated[int, Meta(ge=1, le=FORMAT)] = FORMAT
    name: Name
    architecture: Name
    dataset: Name
    classes: Classes
    input_size: tuple[Channels, Side, Side]
    mean: tuple[float, ...]
    std: tuple[Annotated[float, Meta(gt=0)], ...]
    resizing: Resizing = PLAIN  # how a picture of any size becomes `input_size`
    parameters: Positive
    license: Line
    paper: Line
    # Logits of fixed inputs (`zoo.evaluation.evaluate`); empty for a repository of another library.
    known_answers: tuple[tuple[float, ...], ...] = ()
    files: Annotated[Mapping[FilePath, File], Meta(max_length=1_000)]  # all but config.json, card and curve
    exports: Annotated[tuple[Export, ...], Meta(max_length=16)] = ()
    download: Download | None = None  # of the weights, which may be missing in the folder then
    pretrained_cfg: PretrainedCfg | UnsetType = UNSET  # if timm has the net too

    def __post_init__(self) -> None:
        channels = self.input_size[0]
        for field in ("mean", "std"):
            _require(len(getattr(self, field)) == channels, f"{field} should have {one_per_channel(channels)}")
        every = all(len(row) == len(self.classes) for row in self.known_answers)
        _require(every, "known_answers should have a logit for every class")
        _require(WEIGHTS in self.files, f"files should have {WEIGHTS}")
        others = [name for name in (CONFIG, *PRESENTATION) if name in self.files]
        _require(not others, f"files should not have {', '.join(others)}, which no hash is kept of")
        for field in ("format", "file"):
            values = [getattr(export, field) for export in self.exports]
            _require(len(set(values)) == len(values), f"exports should each have a {field} of its own")
        exported = all(export.file in self.files and export.file not in (WEIGHTS, LOG) for export in self.exports)
        _require(exported, "exports should each have a file that is among files")
        if self.pretrained_cfg is not UNSET:
            resized = msgspec.structs.asdict(self.resizing)
            same = {"input_size": self.input_size, "mean": self.mean, "std": self.std, "label_names": self.classes}
            for field, value in {**same, **resized, "num_classes": len(self.classes)}.items():
                agrees = getattr(self.pretrained_cfg, field) == value
                _require(agrees, f"pretrained_cfg.{field} should be the record's")

    @property
    def computation(self) -> Job | Source:
        """What has the versions and threads that trained it, or measured it if it was imported."""
        raise NotImplementedError

    @property
    def weights(self) -> File:
        """The file of the weights."""
        return self.files[WEIGHTS]

    @property
    def plugin_distribution(self) -> str:
        """The distribution that provides the architecture."""
        return self.computation.versions.distribution

    def fits(self, dataset: Dataset) -> bool:
        """Whether its images and classes are those of a data set."""
        return (self.input_size, self.classes) == (dataset.input_size, dataset.classes)


class Trained(_Common, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="trained"):
    """The record of a model that the zoo trained."""

    job: Job
    recipe_sha256: Sha256
    training: Training
    results: Results
    environment: Environment
    seeds: tuple[SeedResults, ...] = ()  # of a training from several seeds, the one of this folder first
    pictures: Pictures | None = None  # if it was trained on a folder of pictures

    def __post_init__(self) -> None:
        super().__post_init__()
        name = f"{self.architecture}_{self.dataset}"
        _require(self.name == name, f"name should be {name}, its architecture's and its data set's")
        _require(self.job.name == name, "job should be of the same model")
        _require(self.recipe_sha256 == self.job.recipe.sha256(), "recipe_sha256 should be the one of the job's recipe")
        sha256 = self.pictures.sha256 if self.pictures else ""
        _require(self.job.pictures == sha256, "pictures.sha256 should be the one of the job")
        _require(LOG in self.files, f"files should have {LOG}")

    @property
    def computation(self) -> Job:
        """The job."""
        return self.job

    @property
    def seed_results(self) -> SeedResults:
        """Its results, as those of one of several seeds."""
        top1, top5, loss = self.results.test_top1, self.results.test_top5, self.results.test_loss
        return SeedResults(self.job.seed, top1, top5, loss, self.weights.sha256)

    @property
    def requested_job(self) -> Job:
        """The job as it was requested, before compiling failed."""
        return msgspec.structs.replace(self.job, compile=self.training.compile_requested or self.job.compile)


class Imported(_Common, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="imported"):
    """The record of a model that somebody else trained."""

    source: Source
    results: Results | None = None  # None if it was not measured
    environment: Environment | None = None  # in which it was measured

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = f"{self.architecture}_{self.dataset}."
        tag = self.name.removeprefix(whole)
        _require(tag != self.name and is_tag(tag), f"name should be {whole}TAG")

    @property
    def computation(self) -> Source:
        """The source."""
        return self.source


class _Software(Struct, frozen=True):
    versions: Versions


class _Accuracy(Struct, frozen=True):
    test_top1: Percent


class _Author(Struct, frozen=True):
    versions: Versions
    claim: _Accuracy | None = None


class Summary(Struct, frozen=True):
    """The part of a record that a listing shows, which is decoded faster."""

    name: Name
    dataset: Name
    parameters: Positive
    license: Line
    files: Mapping[FilePath, File]
    results: _Accuracy | None = None
    job: _Software | None = None  # of a trained model
    source: _Author | None = None  # of an imported one
    download: Download | None = None

    def __post_init__(self) -> None:
        _require((self.job is None) != (self.source is None), "it should have either a job or a source")

    @property
    def plugin_distribution(self) -> str:
        """The distribution that provides the architecture."""
        software = self.job or self.source
        assert software is not None
        return software.versions.distribution


Record: TypeAlias = Trained | Imported


def require_trained(record: Record) -> Trained:
    """Return the record of a model that the zoo trained; raises FolderError for an imported model."""
    if isinstance(record, Trained):
        return record
    by = record.source.by
    raise FolderError(f"{record.name} has no recipe and no log: the zoo did not train it, {by} did; name another model")


def obstacles(here: Trained, there: Trained) -> list[str]:
    """The reasons, a phrase each, why two trainings of one job may have other bytes; empty if they should be equal."""
    recipe = there.job.recipe
    uses_numpy = bool(recipe.mixup or recipe.cutmix or recipe.cutout)
    different = [
        f"{name.removeprefix('versions ')} {value if value != '' else 'unknown'} there, "
        f"{other if other != '' else 'unknown'} here"
        for name, value, other in there.job.pairs(here.job)
        if value != other and (name != "versions numpy" or uses_numpy)
    ]
    if there.environment.device != here.environment.device:
        different.append(f"{there.environment.device} there, {here.environment.device} here")
    if there.job.device != "cpu" and not there.job.deterministic:
        different.append("not deterministic there, which never gives the same bytes twice")
    if there.training.continued or here.training.continued:
        different.append("continued in another environment")
    return different


def differences(a: Record, b: Record) -> dict[str, tuple[object, object]]:
    """The fields in which two records differ, as `job.recipe.lr` or `classes[3]`, with both values, None if missing.

    `known_answers` are left out: they follow from the weights.
    """
    ours, theirs = (dict(_leaves(msgspec.to_builtins(record))) for record in (a, b))
    pairs = {path: (ours.get(path), theirs.get(path)) for path in ours | theirs}
    return {path: pair for path, pair in pairs.items() if pair[0] != pair[1] and not path.startswith("known_answers")}


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _leaves(part, f"{path}.{name}" if path else name)
    elif isinstance(value, list | tuple):
        for position, part in enumerate(value):
            yield from _leaves(part, f"{path}[{position}]")
    else:
        yield path, value


def is_tag(text: str) -> bool:
    """Whether a text can be the tag of imported weights, the last part of their name."""
    return re.match(TAG, text) is not None


def spread(percents: Sequence[float]) -> str:
    """Mean ± standard deviation (of a sample: over n − 1) of two or more values in percent: `92.44 ± 0.13`."""
    from statistics import mean, stdev  # takes its time to load, and few models have several seeds

    return f"{mean(percents):.2f} ± {stdev(percents):.2f}"


def log_text(rows: Iterable[EpochRow]) -> str:
    """The text of log.jsonl."""
    return "".join(f"{msgspec.json.encode(row).decode()}\n" for row in rows)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
