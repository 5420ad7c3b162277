"""A model folder on disk: what a finished run leaves, what a hub stores, what `zoo.load` reads.

    README.md            the card
    config.json          the facts: `zoo.folder.config.Config` in JSON
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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from zoo.errors import FolderError, HashMismatch, RecipeError
from zoo.folder import former
from zoo.folder.config import FORMAT, Config, EpochRow, Weights, to_json
from zoo.folder.job import Job
from zoo.schema import SchemaError, from_json, require_known

README: Final = "README.md"
CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
LOG: Final = "log.jsonl"
CURVE: Final = "curve.svg"
FILES: Final = (README, CONFIG, WEIGHTS, LOG, CURVE)


def read_config(folder: Path) -> Config:
    """Read a folder's config.json; raises FolderError."""
    path = folder / CONFIG
    try:
        config = _config(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise FolderError(f"{folder} is not a model folder: it has no {CONFIG}") from None
    except OSError as error:
        raise FolderError(f"{path} can't be read: {error.strerror}") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise FolderError(f"{path} is not JSON ({error}); fetch or train the model again") from None
    except NewerFormat as newer:
        raise FolderError(
            f"{path} has format {newer}, this zoo reads up to {FORMAT}; update it: pip install -U residual-zoo"
        ) from None
    except (SchemaError, RecipeError) as error:
        raise FolderError(f"{path} is not a model's: {error}; fetch or train the model again") from None
    if config.weights.file != WEIGHTS:
        raise FolderError(f"{path} names the weights {config.weights.file!r}; expected {WEIGHTS}")
    return config


class NewerFormat(Exception):
    """A config.json that a later zoo wrote."""


def _config(values: object) -> Config:
    """The facts in a decoded config.json, of this format or the one before."""
    number = values.get("format", 1) if isinstance(values, Mapping) else FORMAT
    if isinstance(number, int) and number > FORMAT:
        raise NewerFormat(number)
    if isinstance(values, Mapping) and number == 1:
        try:
            values = former.upgraded(values)
        except (KeyError, TypeError, AttributeError) as error:
            raise SchemaError(f"{error.args[0] if isinstance(error, KeyError) else 'something'} is missing") from None
    if isinstance(values, Mapping):
        require_known(Job, values.get("job"), "job")
    return from_json(Config, values)


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
