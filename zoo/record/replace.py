"""Files and folders that take their place in one step, so that a kill leaves the former state or the new one.

What is written goes aside, under a name that ends in `.aside`, is flushed to the disk, and is renamed. A file replaces
a file by one rename. A folder replaces a folder by two, since no portable system call exchanges them: the former one
is called `.NAME.before` meanwhile, and `recover` takes it back where a kill came between.
"""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from zoo.errors import FolderError

ASIDE, BEFORE = ".aside", ".before"


@contextlib.contextmanager
def file_written_aside(target: Path) -> Iterator[IO[bytes]]:
    """Yield a file that becomes `target` when the body is done and all is on the disk; its folder must exist.

    It has the permissions that any new file has. If the body fails, nothing is left of it. Raises OSError.
    """
    aside = target.with_name(f".{target.name[:200]}.{os.getpid()}-{secrets.token_hex(4)}{ASIDE}")
    try:
        with aside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def write_file(target: Path, content: bytes) -> None:
    """Write a file in one step, and the folders above it where they are missing; raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with file_written_aside(target) as file:
        file.write(content)


def left_aside(target: Path) -> list[Path]:
    """What killed processes have left of a file that they were writing."""
    return sorted(target.parent.glob(f".{glob.escape(target.name[:200])}.*{ASIDE}"))


@contextlib.contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; it becomes `target` when the body is done and all is on the disk.

    If the body fails, nothing is left of it, and `target` is what it was. One process at a time may do this for a
    target (`zoo.record.lock`). Raises FolderError where the disk is full, or nothing can be written.
    """
    aside = _beside(target, ASIDE)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        yield aside
        sync(aside)
        _put(aside, target)
    except OSError as error:
        raise FolderError(f"{target} can't be written ({error.strerror}); make room or name another folder") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def recover(target: Path) -> None:
    """Clear what a killed process has left beside a folder, and take back what it had moved out of the way.

    Nobody else may be writing there meanwhile.
    """
    before = _beside(target, BEFORE)
    if before.exists() and not target.exists():
        before.rename(target)
    for left in (before, _beside(target, ASIDE)):
        shutil.rmtree(left, ignore_errors=True)


def sync(folder: Path) -> None:
    """Wait until every file of a folder is on the disk, not only in memory, and the folders where systems can."""
    for path in (*folder.rglob("*"), folder):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        elif os.name == "posix":  # elsewhere a folder can't be opened
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _put(aside: Path, target: Path) -> None:
    before = _beside(target, BEFORE)
    shutil.rmtree(before, ignore_errors=True)
    if target.exists():
        target.rename(before)
    aside.rename(target)
    shutil.rmtree(before, ignore_errors=True)


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(f".{target.name}{suffix}")
