"""Replace files and folders in one step, so that a killed process leaves either the old state or the new one.

Content is written under a name that ends in `.aside`, flushed to disk and renamed. An existing folder is first renamed
to `.NAME.before`. If the process is killed before the second rename, `recover` restores that folder.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from zoo.errors import FolderError

ASIDE, BEFORE = ".aside", ".before"


@contextlib.contextmanager
def file_written_aside(target: Path) -> Iterator[IO[bytes]]:
    """Yield a file that is renamed to `target` when the block ends without an error; raises OSError."""
    aside = target.with_name(f".{target.name[:200]}.{os.getpid()}-{os.urandom(4).hex()}{ASIDE}")
    try:
        with aside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def write_file(target: Path, content: bytes) -> None:
    """Write a file in one step, and create missing parent folders; raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with file_written_aside(target) as file:
        file.write(content)


def left_aside(target: Path) -> list[Path]:
    """List the temporary files of killed processes that were writing a file."""
    return sorted(target.parent.glob(f".{glob.escape(target.name[:200])}.*{ASIDE}"))


@contextlib.contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """Yield an empty folder that is renamed to `target` when the block ends without an error.

    Hold the lock of `target` (`zoo.record.lock`). Raises FolderError if the folder can't be written.
    """
    aside = _beside(target, ASIDE)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        yield aside
        sync(aside)
        before = _beside(target, BEFORE)
        shutil.rmtree(before, ignore_errors=True)
        if target.exists():
            target.rename(before)
        aside.rename(target)
        shutil.rmtree(before, ignore_errors=True)
    except OSError as error:
        raise FolderError(f"{target} can't be written ({error.strerror}); make room or name another folder") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def recover(target: Path) -> None:
    """Restore a folder that a killed process had renamed, and remove its temporary folders.

    Hold the lock of `target` (`zoo.record.lock`).
    """
    before = _beside(target, BEFORE)
    if before.exists() and not target.exists():
        before.rename(target)
    for left in (before, _beside(target, ASIDE)):
        shutil.rmtree(left, ignore_errors=True)


def sync(folder: Path) -> None:
    """Flush all files in a folder and its subfolders to disk, and on POSIX the folders too."""
    for path in (*folder.rglob("*"), folder):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        elif os.name == "posix":  # Windows can't open a folder
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(f".{target.name}{suffix}")
