"""A model folder on disk: what a finished run leaves, what a hub stores, what `zoo.load` reads.

    README.md            the card
    config.json          the facts: `zoo.folder.config.Config` in JSON, with the hash and size of every other file
    model.safetensors    the weights, fp32 or fp16, with name, recipe, its hash and the normalisation as metadata
    log.jsonl            a row an epoch: `EpochRow`
    curve.svg            the same, drawn

A folder's id is the SHA-256 of its config.json, whatever that one's spacing and order; so it stands for
every byte of the folder. Whatever is read is held against config.json; nothing is read twice.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from zoo import formats
from zoo.errors import FolderError, HashMismatch, OtherFormat, RecipeError
from zoo.folder import config as names
from zoo.folder import former, gate
from zoo.folder.config import FORMAT, Config, EpochRow, File, Pin, to_json
from zoo.folder.job import Job
from zoo.schema import SchemaError, from_json, require_known

README: Final = names.README
CONFIG: Final = names.CONFIG
WEIGHTS: Final = names.WEIGHTS
LOG: Final = names.LOG
CURVE: Final = names.CURVE
FILES: Final = (README, CONFIG, WEIGHTS, LOG, CURVE)

LOG_BYTES = 64 * 2**20  # 200 bytes an epoch


def read_config(folder: Path) -> Config:
    """Read a folder's config.json, of this format or the one before; raises FolderError.

    OtherFormat where it is of another library's.
    """
    return _config(document(folder), folder)


def identity(folder: Path) -> str:
    """The folder's id: 64 hex digits; raises FolderError."""
    return _identity(document(folder))


def identity_of(files: Mapping[str, bytes]) -> str:
    """The id of a folder whose files were read."""
    return _identity(json.loads(files[CONFIG]))


def config_of(files: Mapping[str, bytes]) -> Config:
    """What the config.json among a folder's files says; raises FolderError."""
    return _config(_decoded(files[CONFIG], Path()), Path())


def write(folder: Path, config: Config, files: Mapping[str, bytes]) -> Config:
    """Write a model folder's files into an empty folder, and their hashes into its config.json; returns that.

    Raises FolderError for facts that can't be a model's, before anything is written.
    """
    hashed = {name: file_facts(content) for name, content in files.items()}
    config = dataclasses.replace(config, files=hashed, format=FORMAT)
    _write(folder, config, files)
    return config


def read_file(folder: Path, config: Config, name: str) -> bytes:
    """Read a file of a folder, size and hash checked; raises FolderError or HashMismatch."""
    path, facts = folder / name, config.files[name]
    content = read_regular(folder, name, facts.bytes)
    actual = _sha256(content)
    if actual != facts.sha256:
        raise HashMismatch(
            f"{path} has SHA-256 {actual}, but {CONFIG} expects {facts.sha256}; "
            "the file is damaged or not the model's: fetch it again"
        )
    return content


def read_weights(folder: Path, config: Config) -> bytes:
    """Read a folder's weights, size and hash checked; raises FolderError or HashMismatch."""
    if is_missing(folder / WEIGHTS):
        raise FolderError(f"{folder} has no {WEIGHTS}; fetch the model again with zoo pull {config.name}")
    return read_file(folder, config, WEIGHTS)


def read_log(folder: Path) -> list[EpochRow]:
    """Read the log.jsonl of a model folder, or of a run that is still going on; raises FolderError."""
    return _log(read_regular(folder, LOG, LOG_BYTES), folder / LOG)


def check(folder: Path) -> Config:
    """Make sure that a folder is whole: every file there and as hashed, the log readable.

    Weights that are pinned to a hub may be missing. Raises FolderError or HashMismatch.
    """
    config = read_config(folder)
    for _ in _contents(folder, config):
        pass
    return config


def check_whole(folder: Path) -> Config:
    """Make sure that a folder is whole, its weights in it too; raises FolderError or HashMismatch."""
    config = check(folder)
    require_weights(folder, config)
    return config


def require_weights(folder: Path, config: Config) -> None:
    """Refuse a folder that only says where its weights are; raises FolderError."""
    if is_missing(folder / WEIGHTS):
        at = config.pin.hub if config.pin else config.origin.address if config.origin else "nowhere"
        raise FolderError(f"{folder} has no weights, those are at {at}; make a whole one with: zoo pull --out")


def read_files(folder: Path) -> dict[str, bytes]:
    """A whole model folder: every file of it by its name, each read once and held against config.json.

    Weights that are pinned to a hub may be missing. Raises FolderError or HashMismatch.
    """
    facts = _config_bytes(folder)
    return {CONFIG: facts, **dict(_contents(folder, _config(_decoded(facts, folder), folder)))}


def write_files(files: Mapping[str, bytes], target: Path) -> None:
    """Write the files of a model folder into an existing folder."""
    for name, content in files.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(content)


def copy_files(source: Path, target: Path) -> None:
    """Copy a model folder's files, and nothing else that may lie there, into an existing folder.

    Raises FolderError or HashMismatch where the source is not whole, before anything is written.
    """
    write_files(read_files(source), target)


def write_pinned(source: Path, target: Path, pin: Pin | None) -> None:
    """Write a model folder without its weights into an empty folder; they are where the pin says, or its origin."""
    config = check_whole(source)
    files = {name: read_file(source, config, name) for name in config.files if name != WEIGHTS}
    _write(target, dataclasses.replace(config, pin=pin, format=FORMAT), files)


def files_of(config: Config) -> tuple[str, ...]:
    """The names of all files that a folder with these facts has, config.json first."""
    return (CONFIG, *dict.fromkeys((*config.files, *_written(config))))


def file_facts(content: bytes) -> File:
    """The hash and size of a file."""
    return File(_sha256(content), len(content))


def _written(config: Config) -> tuple[str, ...]:
    """What is written of every model beside its weights; what was not trained here has no log and no curve."""
    return (README, LOG, CURVE) if config.origin is None else (README,)


def is_missing(path: Path) -> bool:
    """Whether nothing is there; what may not be looked at is there, and says so when it is read."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return True
    except OSError as error:
        return error.errno == errno.ENAMETOOLONG
    return False


def ground(path: Path) -> Path:
    """The path itself where it exists, else the nearest folder above it that does."""
    while is_missing(path) and path != path.parent:
        path = path.parent
    return path


def sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk, not only in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(folder: Path, config: Config, files: Mapping[str, bytes]) -> None:
    try:
        gate.require_sound(config)
        text = to_json(config, indent=2) + "\n"
    except (SchemaError, ValueError) as error:
        raise FolderError(f"{config.name} can't be written: its {error}") from None
    write_files(files, folder)
    (folder / CONFIG).write_text(text, encoding="utf-8")


def document(folder: Path) -> Mapping[str, Any]:
    """A folder's config.json, decoded, whatever it says; raises FolderError."""
    return _decoded(_config_bytes(folder), folder)


def _config_bytes(folder: Path) -> bytes:
    if is_missing(folder / CONFIG):
        raise FolderError(f"{folder} is not a model folder: it has no {CONFIG}")
    return read_regular(folder, CONFIG, gate.CONFIG_BYTES)


def _decoded(content: bytes, folder: Path) -> Mapping[str, Any]:
    try:
        return gate.mapping(gate.decoded(content.decode("utf-8")))
    except (SchemaError, UnicodeDecodeError) as error:
        message = f"{folder / CONFIG} is not a model's: {_short(error)}; fetch or train the model again"
        raise FolderError(message) from None


def _contents(folder: Path, config: Config) -> Iterator[tuple[str, bytes]]:
    """Every file but config.json, one by one, as it should be: as hashed, the log readable.

    Weights that are pinned to a hub may be missing. Raises FolderError or HashMismatch.
    """
    absent = {WEIGHTS} if config.may_lack_weights and is_missing(folder / WEIGHTS) else set()
    here = [name for name in config.files if name not in absent]
    unhashed = [name for name in _written(config) if name not in config.files]  # format 1 hashed weights only
    if missing := [name for name in (*here, *unhashed) if is_missing(folder / name)]:
        raise FolderError(f"{folder} is incomplete: it lacks {', '.join(missing)}; fetch or train it again")
    for name in (*here, *unhashed):
        content = read_regular(folder, name, LOG_BYTES) if name in unhashed else read_file(folder, config, name)
        if name == LOG and not _log(content, folder / LOG):
            raise FolderError(f"{folder / LOG} has no epoch; fetch or train the model again")
        yield name, content


def _config(values: Mapping[str, Any], folder: Path) -> Config:
    path, number = folder / CONFIG, values.get("format", 1)
    if isinstance(number, int) and number > FORMAT:
        raise FolderError(
            f"{path} has format {number}, this zoo reads up to {FORMAT}; update it: pip install -U residual-zoo"
        )
    try:
        values = _upgraded(values) if number == 1 else values
        require_known(Job, values.get("job"), "job")
        config = from_json(Config, values)
        gate.require_sound(config)
    except (SchemaError, RecipeError) as error:
        if (kind := formats.kind_of(values)) is not None:
            raise OtherFormat(kind, folder) from None
        raise FolderError(f"{path} is not a model's: {_short(error)}; fetch or train the model again") from None
    return config


def _upgraded(values: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return former.upgraded(values)
    except KeyError as error:
        raise SchemaError(f"{error.args[0]} is missing") from None
    except (TypeError, AttributeError):
        raise SchemaError("it is not of format 1 either") from None


def _log(content: bytes, path: Path) -> list[EpochRow]:
    try:
        rows = [from_json(EpochRow, gate.decoded(line)) for line in content.decode("utf-8").splitlines()]
        for row in rows:
            gate.require_epoch(row)
        return rows
    except (UnicodeDecodeError, SchemaError) as error:
        raise FolderError(f"{path} is not a training log: {_short(error)}") from None


def read_regular(folder: Path, name: str, most: int) -> bytes:
    """A regular file of a folder, of up to so many bytes; nothing else is opened. Raises FolderError."""
    path = folder / name
    try:
        real = _inside(folder, name)
        # A pipe without a writer would be waited for; what became a link meanwhile is not followed.
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise FolderError(f"{path} is no regular file; fetch or train the model again")
            if facts.st_size > most:
                raise FolderError(f"{path} has {facts.st_size:,} bytes, expected up to {most:,}; fetch it again")
            return file.read(most + 1)
    except OSError as error:
        raise FolderError(f"{path} can't be read: {error.strerror}") from None


def _inside(folder: Path, name: str) -> Path:
    """The file itself that a name in a folder leads to; raises FolderError where a link leads out of the folder.

    In the cache of the Hugging Face Hub a folder is REPOSITORY/snapshots/COMMIT, and its files are links into
    REPOSITORY/blobs.
    """
    try:
        home, real = folder.resolve(), (folder / name).resolve()
    except RuntimeError:
        raise FolderError(f"{folder / name} is a link in a circle; fetch or train the model again") from None
    root = home.parent.parent if home.parent.name == "snapshots" else home
    if root not in real.parents:
        raise FolderError(f"{folder / name} is a link out of its folder, to {real}; put the file itself there")
    return real


def _identity(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return _sha256(text.encode(errors="surrogatepass"))  # halves of characters may stand where nothing is read


def _short(error: Exception) -> str:
    text = str(error)
    return text if len(text) <= 300 else f"{text[:300]}…"


def _sha256(content: bytes) -> str:
    import hashlib  # a listing hashes nothing, and OpenSSL takes its time to load

    return hashlib.sha256(content).hexdigest()
