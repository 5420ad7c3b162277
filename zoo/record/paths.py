"""Paths that a user gives: checked, with `~` expanded."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.errors import FolderError

LONGEST = 255  # bytes of a name, on every file system that people have


def path_of(given: str | Path) -> Path:
    """A path with `~` expanded; raises FolderError for a text that can't be a path."""
    try:
        path = Path(given).expanduser()
    except RuntimeError:
        raise FolderError(f"{given} begins with a home folder that is not known; give the whole path") from None
    if "\0" in str(path):
        raise FolderError(f"{str(given)!r} can't be a path: it has a NUL in it")
    for part in path.parts:
        if len(os.fsencode(part)) > LONGEST:
            raise FolderError(f"{part[:40]}… can't be a file's name: it has more than {LONGEST} bytes")
    return path


def cache() -> Path:
    """The cache folder: ZOO_CACHE, else ~/.cache/zoo."""
    return path_of(os.environ.get("ZOO_CACHE") or "~/.cache/zoo")


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; False if that can't be found out."""
    try:
        return path.is_dir()
    except OSError:
        return False
