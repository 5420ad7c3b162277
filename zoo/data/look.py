"""Every picture of a collection looked at once: its hash, its size, or why it can't be read.

What was seen is kept in the cache under the collection's stamp, so that the next look takes no time where nothing
has changed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from zoo.data.picture import decode
from zoo.errors import DataError, ImageError
from zoo.record.paths import cache
from zoo.record.replace import file_written_aside
from zoo.spec import Collection, Half

Thing = TypeVar("Thing")
Done = TypeVar("Done")

# Who is told how far long work is: what is done, how many pictures of how many.
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Seen:
    """What a look at a picture has shown; without a hash where it can't be read, and why."""

    half: str  # train or test, as the collection has it
    index: int  # in that half
    name: str
    label: int
    sha256: str = ""  # of the file's bytes
    size: tuple[int, int] = (0, 0)  # width, height
    mode: str = ""  # Pillow's: RGB, L, P, …
    error: str = ""


def look(collection: Collection, tell: Tell) -> list[Seen]:
    """Look at every picture, the training half's first, in their order; raises DataError for what has no order."""
    kept = _place(collection)
    if (seen := _read(kept)) is not None:
        return seen
    halves = [("train", collection.train)] + ([("test", collection.test)] if collection.test else [])
    wanted = [(name, half, index) for name, half in halves for index in range(len(half))]
    seen = []
    for one in in_parallel(lambda what: _seen(*what), wanted):
        seen.append(one)
        tell("looking", len(seen), len(wanted))
    _write(kept, seen)
    return seen


def in_parallel(work: Callable[[Thing], Done], things: list[Thing]) -> Iterator[Done]:
    """The work done to each thing, in their order, by as many threads as there are processors.

    Pillow reads and resizes without holding Python's lock.
    """
    ahead = 256  # what is done and not yet taken is bounded
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(things), ahead):
            yield from pool.map(work, things[start : start + ahead])


def _seen(name: str, half: Half, index: int) -> Seen:
    called, label = half.names[index], half.labels[index]
    try:
        content = half.read(index)
        picture = decode(content, called)
    except OSError as error:
        return Seen(name, index, called, label, error=f"{called} can't be read: {error.strerror or error}")
    except ImageError as error:
        return Seen(name, index, called, label, error=str(error))
    digest = hashlib.sha256(content).hexdigest()
    return Seen(name, index, called, label, digest, picture.size, picture.mode)


def _place(collection: Collection) -> Path:
    return cache() / "pictures" / "seen" / f"{hashlib.sha256(collection.stamp.encode()).hexdigest()}.json"


def _read(path: Path) -> list[Seen] | None:
    """What was seen before; None where nothing was, or nothing that can be used."""
    try:
        rows = json.loads(path.read_text())
        return [Seen(**{**row, "size": tuple(row["size"])}) for row in rows]
    except (OSError, ValueError, TypeError):
        return None


def _write(path: Path, seen: list[Seen]) -> None:
    text = json.dumps([dataclasses.asdict(one) for one in seen])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_written_aside(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise DataError(f"{path} can't be written ({error.strerror}); make room, or name another ZOO_CACHE") from None
