"""Check the paths that a user gives."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.errors import FolderError

LONGEST = 255  # bytes of a file name, the limit of the usual file systems


def path_of(given: str | Path) -> Path:
    """Convert a text to a path, with `~` expanded; raises FolderError if it can't be a path."""
    try:
        path = Path(given).expanduser()
    except RuntimeError:
        if str(given).startswith(("~/", "~\\")) or str(given) == "~":
            raise FolderError(f"there is no home folder for {given}; set HOME, or name a path without ~") from None
        raise FolderError(f"{given} begins with the home folder of somebody who is not here") from None
    if "\0" in str(path):
        raise FolderError(f"{str(given)!r} can't be a path: it has a NUL in it")
    for part in path.parts:
        if len(os.fsencode(part)) > LONGEST:
            raise FolderError(f"{part[:40]}… can't be a file's name: it has more than {LONGEST} bytes")
    return path


def require_named(target: Path) -> None:
    """Raise FolderError for an output path without a folder name: ".", ".." or "/"."""
    if target.name in ("", ".."):
        raise FolderError(f"out should name a folder to be made, not {str(target)!r}; give ./NAME")


def cache() -> Path:
    """Return the cache folder: ZOO_CACHE, else ~/.cache/zoo; raises FolderError if there is no home folder."""
    if named := os.environ.get("ZOO_CACHE"):
        return path_of(named)
    try:
        return Path.home() / ".cache" / "zoo"
    except RuntimeError:
        raise FolderError("there is no home folder for the cache; set HOME, or ZOO_CACHE to a folder") from None


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; False if the path can't be read."""
    try:
        return path.is_dir()
    except OSError:
        return False
