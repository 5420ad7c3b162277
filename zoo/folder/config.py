"""The facts of a trained model, as they stand in its config.json and log.jsonl."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from zoo.errors import FolderError
from zoo.folder.job import DType, How, Job, Versions
from zoo.spec import PLAIN, Dataset, InputSize, Pictures, Resizing

FORMAT: Final = 2

README: Final = "README.md"
CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
LOG: Final = "log.jsonl"
CURVE: Final = "curve.svg"

UNKNOWN_LICENSE: Final = "unknown"  # as the Hub spells one that nobody has said


@dataclass(frozen=True)
class EpochRow:
    """One epoch of a run: rates of the epoch's last step, losses as means, top-1 in percent.

    The test figures are there to be looked at, and where the test set was run in that epoch; no
    choice is made by them. Choices are made by the validation figures, where the recipe holds images out.
    """

    epoch: int  # from 1
    lr: float
    train_loss: float
    train_top1: float
    train_seconds: float
    test_loss: float | None = None
    test_top1: float | None = None
    val_loss: float | None = None  # on the images of the training set that the recipe holds out
    val_top1: float | None = None
    compile_seconds: float = 0.0  # beside train_seconds

    def validated(self, results: Results) -> EpochRow:
        """The row with the figures of the held-out images after that epoch."""
        return dataclasses.replace(self, val_loss=results.test_loss, val_top1=results.test_top1)

    def tested(self, results: Results) -> EpochRow:
        """The row with the test figures of an evaluation after that epoch."""
        return dataclasses.replace(self, test_loss=results.test_loss, test_top1=results.test_top1)


@dataclass(frozen=True)
class Results:
    """What a model scores after its last epoch on all test images, one forward pass each; percent."""

    test_top1: float
    test_top5: float
    test_loss: float
    test_images: int

    @property
    def interval(self) -> tuple[float, float]:
        """Where top-1 would lie on other pictures of the same kind, in 95 of 100 cases (Wilson 1927), in percent."""
        z, n, p = 1.959964, self.test_images, self.test_top1 / 100
        middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        return 100 * max(0.0, middle - half), 100 * min(1.0, middle + half)


@dataclass(frozen=True)
class Half:
    """What storing the weights in fp16 was decided by: top-1 in percent before and after, on which images."""

    fp32_top1: float
    fp16_top1: float
    images: int
    of: Literal["held-out", "training", "test"]  # test in format 1 only


@dataclass(frozen=True)
class Training:
    """What came of a job beside the weights; where something else was done than asked, what was asked."""

    epochs: int
    train_seconds: float
    compile_seconds: float = 0.0  # beside train_seconds
    compile_why: str = ""  # why the steps were run as the job says
    compile_asked: How | None = None
    dtype_asked: DType | None = None
    half: Half | None = None  # where they are stored in fp16
    batch_norm_images: int | None = None  # of a batch, that each process's batch norm saw where it didn't see them all


@dataclass(frozen=True)
class SeedResults:
    """What the same training came to from one seed."""

    seed: int
    test_top1: float
    test_top5: float
    test_loss: float
    weights_sha256: str


@dataclass(frozen=True)
class Environment:
    """Where the weights came about."""

    device: str  # as its maker calls it
    python: str
    commit: str | None  # of the zoo's checkout, where it ran from one
    plugin_commit: str | None = None  # of the plugin's own checkout, where it ran from another one


@dataclass(frozen=True)
class File:
    """A file of the folder: what its bytes must be."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Pin:
    """Where weights are that are too large to lie beside their config.json."""

    hub: str  # a model's address, hf://namespace/name
    revision: str


@dataclass(frozen=True)
class Claim:
    """What the author of weights says that they score: top-1 in percent, and what that figure is."""

    test_top1: float
    meaning: str = ""  # "best over test epochs"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Weights that somebody else trained and published: whose they are, and what was made of their file."""

    by: str
    address: str  # of their file, https://… or hf://…; empty where there is none
    file: str  # its name
    sha256: str  # of the file: 64 hex digits, or the first 8, which its name has, where nobody here had it
    bytes: int | None  # None where nobody here had it
    revision: str = ""  # of the repository that it is in
    citation: str = ""
    mapped: str = ""  # how the names of its tensors became the net's
    claim: Claim | None = None
    threads: int  # of the processor, that measured it
    versions: Versions


@dataclass(frozen=True)
class ExportTest:
    """What an exported file answered to all test images, in its own runtime, beside the net that it was made from."""

    test_top1: float  # percent
    test_images: int
    otherwise: int  # images that it takes for another class than the net does
    logits: float  # their largest difference from the net's


@dataclass(frozen=True, kw_only=True)
class Export:
    """The model in another format: a file of the folder, and how it was held against the net it was made from."""

    format: str  # as `zoo export --to` names it
    file: str  # its name in the folder
    runtime: str  # that ran it, and its version
    device: str  # that it ran on, as its maker calls it
    threads: int  # of the processor
    known_logits: float  # the largest difference from the net's logits of the fixed inputs
    test: ExportTest | None  # None where the data was not there
    any_size: bool = False  # takes images of any height and width; else of the model's alone


@dataclass(frozen=True, kw_only=True)
class Config:
    """The facts of a model: all that loading, checking and reproducing it need.

    The zoo trained it, and it has a job, or somebody else did, and it has an origin: then results, known answers and
    the weights' hash are there as far as anybody here has had the weights.
    """

    name: str
    architecture: str
    dataset: str
    classes: tuple[str, ...]
    input_size: InputSize
    mean: tuple[float, ...]
    std: tuple[float, ...]
    parameters: int
    license: str
    paper: str
    job: Job | None
    recipe_sha256: str | None
    training: Training | None
    results: Results | None  # None where nobody has measured it
    environment: Environment | None  # where the weights came about; of somebody else's, where they were measured
    known_answers: tuple[tuple[float, ...], ...]  # logits of fixed inputs (`zoo.evaluation.evaluate`)
    files: Mapping[str, File]  # every other file of the folder, by its name in it
    pin: Pin | None = None  # where the weights are, if they do not lie in the folder
    seeds: tuple[SeedResults, ...] = ()  # where the training was repeated: every seed's, this folder's own first
    origin: Provenance | None = None  # where somebody else trained it
    exports: tuple[Export, ...] = ()  # the same model in other formats, a file of the folder each
    pictures: Pictures | None = None  # that it was trained on, of a data set that was found by looking
    resizing: Resizing = PLAIN  # how a picture of any size becomes `input_size`; left out where it is plain
    format: int = FORMAT  # of the folder that was read; what is written has today's

    def fits(self, dataset: Dataset) -> bool:
        """Whether its net sees the images and names the classes of that data set."""
        return (self.input_size, self.classes) == (dataset.input_size, dataset.classes)

    @property
    def weights(self) -> File:
        """The file of the weights."""
        return self.files[WEIGHTS]

    @property
    def may_lack_weights(self) -> bool:
        """Whether its weights may lie elsewhere: in the hub that it pins, or where their author put them."""
        return self.pin is not None or (self.origin is not None and bool(self.origin.address))

    @property
    def own(self) -> Own:
        """How the zoo trained it; raises FolderError where it didn't."""
        if self.job is None or self.training is None or self.results is None or self.environment is None:
            by = self.origin.by if self.origin else "somebody else"
            raise FolderError(f"{self.name} has no recipe and no log here: the zoo did not train it, {by} did")
        return Own(self.job, self.training, self.results, self.environment)

    @property
    def seed_results(self) -> SeedResults:
        """This folder's own results, as one among several seeds'."""
        job, results = self.own.job, self.own.results
        return SeedResults(job.seed, results.test_top1, results.test_top5, results.test_loss, self.weights.sha256)

    @property
    def versions(self) -> Versions:
        """Of what trained it, or measured it where somebody else did."""
        return self.origin.versions if self.origin else self.own.job.versions

    @property
    def threads(self) -> int:
        """Of the processor, that trained and measured it."""
        return self.origin.threads if self.origin else self.own.job.threads

    @property
    def plugin_distribution(self) -> str:
        """The distribution that provides the architecture."""
        return self.versions.plugin.partition(" ")[0]

    @property
    def asked(self) -> Job:
        """The job as it was asked for."""
        job, training = self.own.job, self.own.training
        return dataclasses.replace(
            job, compile=training.compile_asked or job.compile, dtype=training.dtype_asked or job.dtype
        )


@dataclass(frozen=True)
class Own:
    """What only a model has that the zoo trained."""

    job: Job
    training: Training
    results: Results
    environment: Environment


def spread(percents: Sequence[float]) -> str:
    """Mean ± standard deviation (of a sample: over n − 1) of two or more figures in percent: `92.44 ± 0.13`."""
    from statistics import mean, stdev  # takes its time to load, and few models have several seeds

    return f"{mean(percents):.2f} ± {stdev(percents):.2f}"


def to_json(facts: Config | EpochRow, *, indent: int | None = None) -> str:
    """A dataclass of this module as JSON text."""
    values = dataclasses.asdict(facts)
    if isinstance(facts, Config):
        values["job"] = facts.job.to_json() if facts.job else None
        if facts.resizing.is_plain:  # as folders have it from before there was any other
            del values["resizing"]
        if facts.pictures is None:
            del values["pictures"]
    return json.dumps(values, indent=indent, ensure_ascii=False, allow_nan=False)


def log_text(rows: Iterable[EpochRow]) -> str:
    """The text of log.jsonl."""
    return "".join(to_json(row) + "\n" for row in rows)
