"""Read, check and write model folders.

    config.json          the record (`zoo.record.types.Record`), with the hash and size of each file
    model.safetensors    the weights, fp32 or fp16, with name, recipe, hash of the recipe and normalization as metadata
    log.jsonl            a row per epoch (`EpochRow`), if the zoo trained the model
    README.md            the card
    curve.svg            loss and accuracy against epoch, if the zoo trained the model
    errors.svg           the errors of each class on the test set, if the zoo trained the model

The card and the charts have no hash: they may be edited or missing.

The id of a folder is the SHA-256 of the record's JSON with sorted keys and without white space. It identifies all
hashed files.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from zoo import formats
from zoo.decoding import SchemaError, decode, explain
from zoo.errors import FolderError, HashMismatch, OtherFormat, RecipeError
from zoo.record.types import CONFIG as CONFIG
from zoo.record.types import CURVE as CURVE
from zoo.record.types import ERRORS as ERRORS
from zoo.record.types import FORMAT, PRESENTATION, EpochRow, File, Imported, Record, Summary, Trained
from zoo.record.types import LOG as LOG
from zoo.record.types import README as README
from zoo.record.types import WEIGHTS as WEIGHTS

FILES: Final = (README, CONFIG, WEIGHTS, LOG, CURVE, ERRORS)

CONFIG_BYTES: Final = 32 * 2**20  # a config.json of 10,000 classes has a megabyte
LOG_BYTES: Final = 64 * 2**20  # an epoch has about 200 bytes
PRESENTATION_BYTES: Final = 16 * 2**20

STORED_AS: Final = {"fp32": "F32", "fp16": "F16"}  # a job's dtype, and its name in safetensors
# By dtype: the unsigned integer of the same size, and the bits of the exponent, which are all set in NaN and infinity.
EXPONENTS: Final = {
    "F16": ("<u2", 0x7C00), "BF16": ("<u2", 0x7F80), "F32": ("<u4", 0x7F80_0000), "F64": ("<u8", 0x7FF << 52),
}  # fmt: skip

DECODER: Final[msgspec.json.Decoder[Record]] = msgspec.json.Decoder(Trained | Imported)
SUMMARY: Final = msgspec.json.Decoder(Summary)
ROWS: Final = msgspec.json.Decoder(EpochRow)


def read_record(folder: Path) -> Record:
    """Read a folder's config.json; raises FolderError, or OtherFormat if another library wrote it."""
    return record_of({CONFIG: config_bytes(folder)}, folder)


def record_of(files: Mapping[str, bytes], folder: Path = Path()) -> Record:
    """Decode the record in the files of a model folder, as `read_record`; errors name `folder`."""
    try:
        return DECODER.decode(files[CONFIG])
    except (msgspec.MsgspecError, RecipeError, RecursionError, UnicodeError) as error:
        raise _refused(files[CONFIG], folder, error) from None


def read_summary(folder: str | Path) -> Summary:
    """Read the fields of a folder's config.json that a list shows; raises FolderError."""
    content = config_bytes(folder)
    try:
        return SUMMARY.decode(content)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise _refused(content, Path(folder), error) from None


def encode(record: Record) -> bytes:
    """Encode a record as config.json; raises FolderError if a value is out of bounds."""
    content = msgspec.json.encode(record)
    try:
        DECODER.decode(content)  # msgspec checks the bounds only when it decodes
    except (msgspec.MsgspecError, RecipeError) as error:
        said = str(error) if isinstance(error, RecipeError) else explain(error)
        raise FolderError(f"{record.name} can't be written: {said}") from None
    return msgspec.json.format(content, indent=2) + b"\n"


def identity(folder: Path) -> str:
    """Return the id of a folder, 64 hex digits; raises FolderError."""
    return identity_of({CONFIG: config_bytes(folder)}, folder)


def identity_of(files: Mapping[str, bytes], folder: Path = Path()) -> str:
    """Return the id of a folder from its files; raises FolderError, which names `folder`."""
    values = _document(files[CONFIG], folder)
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return File.of(text.encode()).sha256


def write(folder: Path, record: Record, files: Mapping[str, bytes]) -> Record:
    """Write a model folder.

    Args:
        folder: An empty folder.
        record: The record; its `files` are replaced.
        files: The contents of all files but config.json, by name.

    Returns:
        The written record, with the hashes of the files.

    Raises:
        FolderError: A value of the record is out of bounds. Nothing is written then.
    """
    hashed = {name: File.of(content) for name, content in files.items() if name not in PRESENTATION}
    record = msgspec.structs.replace(record, files=hashed, format=FORMAT)
    write_files({CONFIG: encode(record), **files}, folder)
    return record


def read_file(folder: Path, record: Record, name: str) -> bytes:
    """Read a file of the record, and check its size and hash; raises FolderError or HashMismatch."""
    path, expected = folder / name, record.files[name]
    content = read_regular(folder, name, expected.bytes)
    actual = File.of(content).sha256
    if actual != expected.sha256:
        raise HashMismatch(
            f"{path} has SHA-256 {actual}, but {CONFIG} expects {expected.sha256}; "
            "the file is damaged or not the model's: fetch it again"
        )
    return content


def read_weights(folder: Path, record: Record) -> bytes:
    """Read the weights, and check their hash, types and values; raises FolderError or HashMismatch."""
    require_weights(folder, record)
    content = read_file(folder, record, WEIGHTS)
    require_sound_weights(content, record, folder / WEIGHTS)
    return content


def require_sound_weights(content: bytes, record: Record, path: Path) -> None:
    """Raise FolderError if a tensor does not have the dtype of the record, or has a value that is not finite."""
    import numpy as np  # imported here because a list of models needs neither
    from safetensors import SafetensorError, deserialize

    try:
        tensors = deserialize(content)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise FolderError(f"{path} is not a safetensors file ({error}); train the model again") from None
    for name, tensor in tensors:
        kind = tensor["dtype"]
        if isinstance(record, Trained) and kind in ("F16", "F32") and kind != STORED_AS[record.job.dtype]:
            raise FolderError(
                f"{path} has {name} as {kind}, its record says {STORED_AS[record.job.dtype]}; "
                "put back the file that was written with the record"
            )
        if kind in EXPONENTS:
            bits, exponent = EXPONENTS[kind]
            if bool((np.frombuffer(tensor["data"], bits) & exponent == exponent).any()):
                raise FolderError(f"{path} has values in {name} that are not finite; train the model again")


def read_log(folder: Path) -> list[EpochRow]:
    """Read the log.jsonl of a model folder or of a run in progress; raises FolderError."""
    return _rows(read_regular(folder, LOG, LOG_BYTES), folder / LOG)


def log_rows(content: bytes, where: str | Path) -> list[EpochRow]:
    """Decode a published log.jsonl; raises FolderError, which names `where`, if it is damaged or empty."""
    rows = _rows(content, where)
    if not rows:
        raise FolderError(f"{where} has no epoch; fetch or train the model again")
    return rows


def check(folder: Path) -> Record:
    """Check every file of the record; weights that can be downloaded may be missing.

    Args:
        folder: The model folder.

    Returns:
        The record.

    Raises:
        FolderError: A file is missing or invalid.
        HashMismatch: A file does not have the hash of the record.
    """
    record = read_record(folder)
    for _ in _contents(folder, record):
        pass
    return record


def check_whole(folder: Path) -> Record:
    """Check every file of the record as `check`, and require the weights; raises FolderError or HashMismatch."""
    record = check(folder)
    require_weights(folder, record)
    return record


def require_weights(folder: Path, record: Record) -> None:
    """Raise FolderError if a folder has no weights."""
    if is_missing(folder / WEIGHTS):
        if record.download is None:
            raise FolderError(f"{folder} has no {WEIGHTS}; copy it from where the model was published, or train again")
        raise FolderError(
            f"{folder} has no weights, those are at {record.download.address}; "
            f"fetch a whole one with zoo pull {record.name}"
        )


def read_files(folder: Path) -> dict[str, bytes]:
    """Read every file of a model folder, and check it as `check`; raises FolderError or HashMismatch."""
    config = {CONFIG: config_bytes(folder)}
    shown = {name: read_regular(folder, name, PRESENTATION_BYTES) for name in PRESENTATION if (folder / name).is_file()}
    return {**config, **dict(_contents(folder, record_of(config, folder))), **shown}


def write_files(files: Mapping[str, bytes], target: Path) -> None:
    """Write the files of a model folder into an existing folder."""
    for name, content in files.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(content)


def copy_files(source: Path, target: Path, *, weights: bool = True) -> None:
    """Check a model folder, and copy its files into an existing folder; raises FolderError or HashMismatch."""
    files = read_files(source)
    write_files(files if weights else {name: files[name] for name in files if name != WEIGHTS}, target)


def is_missing(path: str | Path) -> bool:
    """Whether a path does not exist; a path without permission counts as existing."""
    try:
        os.stat(path)  # noqa: PTH116 - a Path per file would slow down the list of ten thousand models
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return True
    except OSError as error:
        return error.errno == errno.ENAMETOOLONG
    return False


def ground(path: Path) -> Path:
    """Return the path if it exists, else its nearest parent folder that exists."""
    while is_missing(path) and path != path.parent:
        path = path.parent
    return path


def document(folder: Path) -> Mapping[str, Any]:
    """Decode a folder's config.json to plain JSON values; raises FolderError."""
    return _document(config_bytes(folder), folder)


def _document(content: bytes, folder: Path) -> Mapping[str, Any]:
    try:
        return decode(dict[str, Any], content)
    except SchemaError as error:
        raise _unreadable(folder, error) from None


def config_bytes(folder: str | Path) -> bytes:
    """Read the bytes of a folder's config.json; raises FolderError."""
    try:
        return read_regular(folder, CONFIG, CONFIG_BYTES)
    except FolderError:
        if is_missing(f"{folder}/{CONFIG}"):
            raise FolderError(f"{folder} is not a model folder: it has no {CONFIG}") from None
        raise


def _refused(content: bytes, folder: Path, error: Exception) -> FolderError:
    """The error for an invalid config.json, or for that of a newer zoo or of another library."""
    values = _document(content, folder)
    number = values.get("format")
    if isinstance(number, int) and number > FORMAT:
        update = "update it: pip install -U residual-zoo"
        return FolderError(f"{folder / CONFIG} has format {number}, this zoo reads up to {FORMAT}; {update}")
    if (kind := formats.kind_of(values)) is not None:
        return OtherFormat(kind, folder)
    return _unreadable(folder, error)


def _unreadable(folder: Path, error: Exception) -> FolderError:
    said = explain(error) if isinstance(error, msgspec.MsgspecError | RecursionError) else str(error)
    return FolderError(f"{folder / CONFIG} is not a valid record: {_short(said)}; fetch or train the model again")


def _contents(folder: Path, record: Record) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of every file of the record, checked as by `check`."""
    absent = {WEIGHTS} if record.download is not None and is_missing(folder / WEIGHTS) else set()
    here = [name for name in record.files if name not in absent]
    if missing := [name for name in here if is_missing(folder / name)]:
        raise FolderError(f"{folder} is incomplete: it lacks {', '.join(missing)}; fetch or train it again")
    for name in here:
        content = read_file(folder, record, name)
        if name == LOG:
            log_rows(content, folder / LOG)
        yield name, content


def _rows(content: bytes, where: str | Path) -> list[EpochRow]:
    try:
        return ROWS.decode_lines(content)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        said = re.sub(r"\[(\d+)\]\.?", lambda match: f"line {int(match[1]) + 1}: ", explain(error), count=1)
        raise FolderError(f"{where} is not a training log: {_short(said)}; train the model again") from None


def read_regular(folder: str | Path, name: str, most: int) -> bytes:
    """Read a regular file of at most `most` bytes; raises FolderError for anything else."""
    path = os.path.join(folder, name)  # noqa: PTH118
    try:
        # Only a link or a name with folders can lead out of the folder.
        real = _inside(Path(folder), name) if "/" in name or os.path.islink(path) else path  # noqa: PTH114
        # Do not wait for the writer of a pipe, and do not follow a link that was created since the check.
        flags = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(real, os.O_RDONLY | flags)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise FolderError(f"{path} is no regular file; fetch or train the model again")
            if status.st_size > most:
                raise FolderError(
                    f"{path} has {status.st_size:,} bytes, expected at most {most:,}; fetch or train the model again"
                )
            return file.read(status.st_size)  # read(most) would allocate `most` bytes
    except OSError as error:
        raise FolderError(f"{path} can't be read: {error.strerror}") from None


def _inside(folder: Path, name: str) -> Path:
    """Resolve the links of a file in a folder; raises FolderError if they lead out of the folder.

    In the cache of the Hugging Face Hub, files in REPOSITORY/snapshots/COMMIT are links into REPOSITORY/blobs.
    """
    try:
        home, real = folder.resolve(), (folder / name).resolve()
    except RuntimeError:
        raise FolderError(f"{folder / name} is a link in a circle; fetch or train the model again") from None
    root = home.parent.parent if home.parent.name == "snapshots" else home
    if root not in real.parents:
        raise FolderError(f"{folder / name} is a link out of its folder, to {real}; put the file itself there")
    return real


def _short(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:300]}…"
