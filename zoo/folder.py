"""A model folder on disk: what a finished run leaves, what a hub stores, what `zoo.load` reads.

    README.md            the card
    config.json          the facts: `Config` below, in JSON
    model.safetensors    the weights, fp32 or fp16, with name, recipe and the recipe's hash as metadata
    log.jsonl            a row an epoch: `EpochRow`
    curve.svg            the same, drawn

A folder is written beside its place and renamed into it, so that whoever looks sees the whole
folder or none. The hash of the weights stands in config.json and is checked on every reading.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zoo.errors import FolderError, HashMismatch
from zoo.schema import SchemaError, from_json

README: Final = "README.md"
CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
LOG: Final = "log.jsonl"
CURVE: Final = "curve.svg"
FILES: Final = (README, CONFIG, WEIGHTS, LOG, CURVE)
FORMAT: Final = 1


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


@dataclass(frozen=True)
class Training:
    """How the weights came about, beside the recipe."""

    seed: int
    epochs: int
    train_images: int
    train_seconds: float
    amp: bool  # bf16 autocast; evaluation is always fp32
    compiled: bool = False
    compile_seconds: float = 0.0  # beside train_seconds
    deterministic: bool = True  # the same seed gives the same bytes; a GPU is, where it is asked for
    processes: int = 1
    teacher_sha256: str = ""  # of the weights that were distilled, where the recipe has a teacher
    grad_checkpointing: bool = False  # activations computed again in the backward pass, for less memory


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

    device: str
    threads: int
    python: str
    torch: str
    zoo: str
    plugin: str  # distribution and version, "zoo-resnet-cifar 0.1.0"
    commit: str | None  # of the zoo's checkout, where it ran from one


@dataclass(frozen=True)
class Weights:
    """The weights file, pinned; where it is too large to lie beside its config.json, also to where it is."""

    sha256: str
    bytes: int
    file: str = WEIGHTS
    hub: str | None = None  # a model's address, hf://namespace/name
    revision: str | None = None
    dtype: str = "fp32"  # that they are stored in
    fp32_top1: float | None = None  # what they scored before they were stored in fp16


@dataclass(frozen=True)
class Config:
    """The facts of a trained model: all that loading, checking and reproducing it need."""

    name: str
    architecture: str
    dataset: str
    classes: tuple[str, ...]
    input_size: tuple[int, int, int]  # channels, height, width
    mean: tuple[float, ...]
    std: tuple[float, ...]
    parameters: int
    license: str
    paper: str
    recipe_name: str
    recipe: Mapping[str, object]
    recipe_sha256: str
    training: Training
    results: Results
    environment: Environment
    weights: Weights
    known_answers: tuple[tuple[float, ...], ...] = ()  # logits of fixed inputs (`zoo.answers`)
    seeds: tuple[SeedResults, ...] = ()  # where the training was repeated: every seed's, this folder's own first
    format: int = FORMAT

    @property
    def seed_results(self) -> SeedResults:
        """This folder's own results, as one among several seeds'."""
        own = self.results
        return SeedResults(self.training.seed, own.test_top1, own.test_top5, own.test_loss, self.weights.sha256)

    @property
    def plugin_distribution(self) -> str:
        """The distribution that provides the architecture."""
        return self.environment.plugin.partition(" ")[0]


def read_config(folder: Path) -> Config:
    """Read a folder's config.json; raises FolderError."""
    path = folder / CONFIG
    try:
        config = from_json(Config, json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise FolderError(f"{folder} is not a model folder: it has no {CONFIG}") from None
    except OSError as error:
        raise FolderError(f"{path} can't be read: {error.strerror}") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise FolderError(f"{path} is not JSON ({error}); fetch or train the model again") from None
    except SchemaError as error:
        raise FolderError(f"{path} is not a model's: {error}; fetch or train the model again") from None
    if config.format > FORMAT:
        raise FolderError(
            f"{path} has format {config.format}, this zoo reads up to {FORMAT}; update it: pip install -U residual-zoo"
        )
    if config.weights.file != WEIGHTS:
        raise FolderError(f"{path} names the weights {config.weights.file!r}; expected {WEIGHTS}")
    return config


def read_log(folder: Path) -> list[EpochRow]:
    """Read a folder's log.jsonl; raises FolderError."""
    path = folder / LOG
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [from_json(EpochRow, json.loads(line)) for line in lines]
    except OSError as error:
        raise FolderError(f"{path} can't be read: {error.strerror}") from None
    except (UnicodeDecodeError, json.JSONDecodeError, SchemaError) as error:
        raise FolderError(f"{path} is not a training log: {error}") from None


def read_weights(folder: Path, config: Config) -> bytes:
    """Read a folder's weights file, hash checked; raises FolderError or HashMismatch.

    The bytes that were hashed are the bytes that are returned: nothing is read twice.
    """
    path = folder / config.weights.file
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FolderError(f"{folder} has no {WEIGHTS}; fetch the model again with zoo pull {config.name}") from None
    except OSError as error:
        raise FolderError(f"{path} can't be read: {error.strerror}") from None
    actual = _sha256(content)
    if actual != config.weights.sha256:
        raise HashMismatch(
            f"{path} has SHA-256 {actual}, but {CONFIG} expects {config.weights.sha256}; "
            "the file is damaged or not the model's: fetch it again"
        )
    return content


def check(folder: Path) -> Config:
    """Make sure that a folder is whole: every file there, config and log readable, weights as hashed.

    Weights that are pinned to a hub may be missing.
    """
    config = read_config(folder)
    elsewhere = config.weights.hub is not None and not (folder / WEIGHTS).exists()
    missing = [name for name in FILES if not (folder / name).is_file() and not (elsewhere and name == WEIGHTS)]
    if missing:
        raise FolderError(f"{folder} is incomplete: it lacks {', '.join(missing)}; fetch or train it again")
    read_log(folder)
    if not elsewhere:
        read_weights(folder, config)
    return config


def to_json(facts: Config | EpochRow, *, indent: int | None = None) -> str:
    """A dataclass of this module as JSON text."""
    return json.dumps(dataclasses.asdict(facts), indent=indent, ensure_ascii=False)


def log_text(rows: Iterable[EpochRow]) -> str:
    """The text of log.jsonl."""
    return "".join(to_json(row) + "\n" for row in rows)


def weights_facts(content: bytes) -> Weights:
    """Pin the bytes of a weights file."""
    return Weights(sha256=_sha256(content), bytes=len(content))


@contextlib.contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; on leaving, it is on disk and renamed to `target`.

    `target` must not exist. If the body fails, nothing is left of it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.partial-{os.getpid()}")
    aside.mkdir()
    try:
        yield aside
        for path in aside.iterdir():
            sync(path)
        sync(aside)
        aside.rename(target)
        sync(target.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def ground(path: Path) -> Path:
    """The path itself where it exists, else the nearest folder above it that does."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk, not only in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_files(source: Path, target: Path) -> None:
    """Copy a model folder's files, and nothing else that may lie there, into an existing folder."""
    for name in _files(source):
        shutil.copyfile(source / name, target / name)


def copy_pinned(source: Path, target: Path, hub: str, revision: str) -> None:
    """Copy a model folder without its weights, which are at this address and revision of a hub."""
    copy_files(source, target)
    (target / WEIGHTS).unlink()
    config = read_config(source)
    weights = dataclasses.replace(config.weights, hub=hub, revision=revision)
    text = to_json(dataclasses.replace(config, weights=weights), indent=2) + "\n"
    (target / CONFIG).write_text(text, encoding="utf-8")


def revision(folder: Path) -> str:
    """Identify a folder by the bytes of its files: 40 hex digits."""
    lines = [f"{name} {_sha256((folder / name).read_bytes())}\n" for name in _files(folder)]
    return _sha256("".join(lines).encode())[:40]


def _files(folder: Path) -> list[str]:
    """The files of a model folder: all of them, but for weights that are pinned to a hub (`check` knows)."""
    return [name for name in FILES if name != WEIGHTS or (folder / name).exists()]


def _sha256(content: bytes) -> str:
    import hashlib  # a listing hashes nothing, and OpenSSL takes its time to load

    return hashlib.sha256(content).hexdigest()
