"""Records the files that the interpreter opens."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

_recordings: list[list[Path]] = []


def _record(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _recordings and isinstance(arguments[0], str):
        _recordings[-1].append(Path(arguments[0]))


sys.addaudithook(_record)  # an audit hook can't be removed


@contextlib.contextmanager
def opened() -> Iterator[list[Path]]:
    """Record the files that the body opens, in order."""
    paths: list[Path] = []
    _recordings.append(paths)
    try:
        yield paths
    finally:
        _recordings.pop()
