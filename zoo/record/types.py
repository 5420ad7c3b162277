"""The types of config.json (the record of a model) and of the rows of log.jsonl.

`Record` is either `Trained` or `Imported`. Decoding checks all bounds. A record that was constructed in Python is
checked when it is written (`zoo.record.store`).
"""

from __future__ import annotations

import builtins
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
    Sha256OrEmpty,
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
ERRORS: Final = "errors.svg"
PRESENTATION: Final = (README, CURVE, ERRORS)  # for people; the record has no hash of them

UNKNOWN_LICENSE: Final = "unknown"  # license id of the Hugging Face Hub

MOST_CLASSES: Final = 100_000
MOST_CHANNELS: Final = 64
MOST_PIXELS: Final = 4096  # of height and width

Channels = Annotated[int, Meta(ge=1, le=MOST_CHANNELS)]
Side = Annotated[int, Meta(ge=1, le=MOST_PIXELS)]
Classes = Annotated[tuple[Line, ...], Meta(min_length=1, max_length=MOST_CLASSES)]
LayerNames = Annotated[tuple[Line, ...], Meta(max_length=16)]
Threads = Annotated[int, Meta(ge=1, lt=2**20)]
Loss = Annotated[float, Meta(ge=-1e39, le=1e39)]  # a plot needs values in the range of float32
TAG: Final = r"\A[a-z0-9][a-z0-9_-]{0,39}\Z"


class Results(Struct, frozen=True, forbid_unknown_fields=True):
    """The accuracy of a model on all test images, in percent, with one forward pass per image."""

    test_top1: Percent
    test_top5: Percent
    test_loss: Loss
    test_images: Positive

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% confidence interval of top-1 in percent (Wilson's score interval, 1927)."""
        z, n, p = 1.959964, self.test_images, self.test_top1 / 100
        middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        margin = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        return 100 * max(0.0, middle - margin), 100 * min(1.0, middle + margin)


class EpochRow(Struct, frozen=True, forbid_unknown_fields=True):
    """The log of an epoch: mean losses and top-1 in percent. Nothing is chosen by the test values."""

    epoch: Annotated[int, Meta(ge=1, lt=2**31)]
    lr: Loss  # of the last step
    train_loss: Loss
    train_top1: Loss
    train_seconds: Loss
    test_loss: Loss | None = None
    test_top1: Loss | None = None
    val_loss: Loss | None = None  # on the training images that the recipe holds out
    val_top1: Loss | None = None
    compile_seconds: Loss = 0.0  # not in train_seconds

    def validated(self, results: Results) -> EpochRow:
        """Return the row with the results on the held-out images."""
        return msgspec.structs.replace(self, val_loss=results.test_loss, val_top1=results.test_top1)

    def tested(self, results: Results) -> EpochRow:
        """Return the row with the results on the test set."""
        return msgspec.structs.replace(self, test_loss=results.test_loss, test_top1=results.test_top1)


class Continuation(Struct, frozen=True, forbid_unknown_fields=True):
    """An interrupted training that was resumed in another environment."""

    epoch: Count  # finished epochs
    changes: tuple[Line, ...]  # "torch 2.14.1 instead of 2.13.0"


class Training(Struct, frozen=True, forbid_unknown_fields=True):
    """How long a job ran, how it was compiled, and where it was resumed."""

    epochs: Count
    train_seconds: Seconds
    compile_seconds: Seconds = 0.0  # not in train_seconds
    compile_why: Line = ""  # the reason for the job's `compile`
    compile_requested: How | None = None  # the requested `compile`, if compiling failed
    batch_norm_images: Positive | None = None  # images per process in batch norm, if not the whole batch
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

    device: Line  # the manufacturer's name of the CPU or GPU
    python: Line
    commit: Line | None  # of the zoo's git checkout; None if the zoo was installed
    plugin_commit: Line | None = None  # of the plugin's git checkout, if it is not the zoo's


class File(Struct, frozen=True, forbid_unknown_fields=True):
    """The hash and the size of a file."""

    sha256: Sha256
    bytes: Count

    @classmethod
    def of(cls, content: builtins.bytes) -> File:  # `bytes` is a field here
        """Hash the content of a file."""
        import hashlib  # imported here because OpenSSL loads slowly and a list of models needs no hash

        return cls(hashlib.sha256(content).hexdigest(), len(content))


class Download(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The address of weights that may be missing in the folder.

    The file is `model.safetensors`, or is converted to it.
    """

    address: Address
    file: FileName
    sha256: Sha256OrDigits  # of the file; or the first 8 digits
    bytes: Positive | None = None
    # Over the names, types, shapes and values of the file's tensors (`zoo.nets.weights.tensors_sha256`).
    tensors_sha256: Sha256OrEmpty = ""

    def is_of(self, sha256: str) -> bool:
        """Whether this SHA-256 has the recorded digits."""
        return sha256.startswith(self.sha256)


class Claim(Struct, frozen=True, forbid_unknown_fields=True):
    """The top-1 in percent that the author of the weights published, and how it was measured."""

    test_top1: Percent
    meaning: Line = ""  # "best over test epochs"


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The author of imported weights, and how their file was converted and measured."""

    by: Annotated[Line, Meta(min_length=1)]
    revision: Line = ""  # of the repository that their file is in
    citation: Line = ""
    mapped: Line = ""  # how the tensors were renamed, in words
    # Regular expressions and replacements that were applied to the names of the tensors first.
    rename: Annotated[tuple[tuple[Line, Line], ...], Meta(max_length=100)] | UnsetType = UNSET
    claim: Claim | None = None
    threads: Threads  # number of CPU threads of the measurement
    versions: Versions


class ExportTest(Struct, frozen=True, forbid_unknown_fields=True):
    """The results of an exported file on all test images, in its runtime, compared with the net."""

    test_top1: Percent
    test_images: Positive
    otherwise: Count  # number of images for which the predicted class differs from the net's
    logits: Distance  # the largest difference from the net's

    def __post_init__(self) -> None:
        _require(self.otherwise <= self.test_images, "otherwise should be at most test_images")


class Export(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An exported file of the folder, and its comparison with the net."""

    format: Name  # as `zoo export --to` names it
    file: FilePath  # its name in the folder
    runtime: Line  # with its version
    device: Line  # the manufacturer's name of the CPU or GPU that ran it
    threads: Threads
    known_logits: Distance  # the largest difference from the net's logits of the fixed inputs
    test: ExportTest | None  # None if the dataset was missing
    any_size: bool = False  # accepts images of any height and width


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
    resizing: Resizing = PLAIN  # how an image of any size becomes `input_size`
    parameters: Positive
    license: Line
    paper: Line
    # Logits of fixed inputs (`zoo.evaluation.evaluate`); empty for a repository of another library.
    known_answers: tuple[tuple[float, ...], ...] = ()
    files: Annotated[Mapping[FilePath, File], Meta(max_length=1_000)]  # all but config.json, card and charts
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
        """The job, or the source of an imported model: each has `versions` and `threads`."""
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
        """Whether a dataset has the same image size and classes."""
        return (self.input_size, self.classes) == (dataset.input_size, dataset.classes)


class Trained(_Common, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="trained"):
    """The record of a model that the zoo trained."""

    job: Job
    recipe_sha256: Sha256
    training: Training
    results: Results
    environment: Environment
    seeds: tuple[SeedResults, ...] = ()  # if it was trained from several seeds, its own seed first
    pictures: Pictures | None = None  # of a dataset by address

    def __post_init__(self) -> None:
        super().__post_init__()
        name = f"{self.architecture}_{self.dataset}"
        _require(self.name == name, f"name should be {name}, its architecture's and its dataset's")
        _require(self.job.name == name, "job should be of the same model")
        _require(self.recipe_sha256 == self.job.recipe.sha256(), "recipe_sha256 should be the one of the job's recipe")
        sha256 = self.pictures.sha256 if self.pictures else ""
        _require(self.job.pictures == sha256, "images.sha256 should be the one of the job")
        _require(LOG in self.files, f"files should have {LOG}")

    @property
    def computation(self) -> Job:
        """The job."""
        return self.job

    @property
    def seed_results(self) -> SeedResults:
        """The results, with seed and hash."""
        top1, top5, loss = self.results.test_top1, self.results.test_top5, self.results.test_loss
        return SeedResults(self.job.seed, top1, top5, loss, self.weights.sha256)

    @property
    def requested_job(self) -> Job:
        """The job with the requested `compile`, also if compiling failed."""
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
    """The fields of a record that a list shows. It is decoded faster than the record."""

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
    """Return the record if the zoo trained the model; raises FolderError for an imported model."""
    if isinstance(record, Trained):
        return record
    by = record.source.by
    raise FolderError(f"{record.name} has no recipe and no log: the zoo did not train it, {by} did; name another model")


def obstacles(here: Trained, there: Trained) -> list[str]:
    """List the reasons why two trainings of the same job may have different weights.

    Args:
        here: The record of the training on this machine.
        there: The record of the training that it repeats.

    Returns:
        A phrase per reason; empty if the weights should be equal byte for byte.
    """
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
    """List the fields in which two records differ, without `known_answers`, which depend on the weights only.

    Returns:
        Both values by field, such as `job.recipe.lr` or `classes[3]`; None for a missing value.
    """
    first, second = (dict(_leaves(msgspec.to_builtins(record))) for record in (a, b))
    pairs = {path: (first.get(path), second.get(path)) for path in first | second}
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
    """Whether a text can be the tag of imported weights, the part of the name after the dot."""
    return re.match(TAG, text) is not None


def tag_of(author: str) -> str:
    """Return the tag for the weights of an author; empty if the name has no letter or digit of ASCII."""
    return re.sub(r"[^a-z0-9_-]+", "-", author.lower()).strip("-_")[:40]


def spread(percents: Sequence[float]) -> str:
    """Format the mean ± sample standard deviation of at least two values in percent: `92.44 ± 0.13`."""
    from statistics import mean, stdev  # imported here because it loads slowly and few models have several seeds

    return f"{mean(percents):.2f} ± {stdev(percents):.2f}"


def log_text(rows: Iterable[EpochRow]) -> str:
    """Encode log.jsonl."""
    return "".join(f"{msgspec.json.encode(row).decode()}\n" for row in rows)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
