"""A folder put into its place in one step, so that a kill at any moment leaves the one before or the one after.

What is written goes into a scratch folder beside its place, under a name that no other process can have.
When all of it is on the disk the two are exchanged, by one call of the system where it has one; else the
one before is moved out of the way first, and taken back by `recover` where a kill came between. A file
takes its place in the same way, by one call everywhere.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from zoo.errors import FolderError
from zoo.record.store import sync

ASIDE, BEFORE = ".aside", ".before"
RENAME_EXCHANGE = 2  # linux/fs.h
AT_FDCWD = -100


@contextlib.contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; on leaving, it is on the disk and in the place of `target`.

    If the body fails, nothing is left of it, and `target` is what it was. Raises FolderError where the disk is full,
    or nothing can be written.
    """
    aside = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=ASIDE, dir=target.parent))
        yield aside
        aside.chmod(0o777 & ~umask())  # mkdtemp's are its owner's alone
        for path in sorted(aside.rglob("*")):
            sync(path)
        sync(aside)
        exchange(aside, target)
    except OSError as error:
        raise FolderError(f"{target} can't be written ({error.strerror}); make room or name another place") from None
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def file_written_aside(target: Path) -> Iterator[IO[bytes]]:
    """Yield a file that is `target` once the body is done and it is on the disk, in a folder that is there.

    If the body fails, nothing is left of it. Raises OSError.
    """
    with tempfile.NamedTemporaryFile(prefix=f".{target.name}.", suffix=ASIDE, dir=target.parent, delete=False) as file:
        aside = Path(file.name)
        try:
            yield file
            file.flush()
            sync(aside)
            aside.chmod(0o666 & ~umask())  # mkstemp's is its owner's alone
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)


def exchange(new: Path, target: Path) -> None:
    """Put the folder `new` in the place of `target`; what was there is at `new` afterwards, or nowhere."""
    if not target.exists():
        new.rename(target)
    elif not _exchanged(new, target):
        before = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=BEFORE, dir=target.parent))
        target.rename(before)  # onto an empty folder
        new.rename(target)
        before.rename(new)
    sync(target.parent)


def recover(target: Path) -> None:
    """Clear what a killed process has left beside a place, and take back what it had moved out of the way.

    Nobody else may be writing there meanwhile.
    """
    for left in list(target.parent.iterdir()) if target.parent.is_dir() else []:
        if not re.fullmatch(rf"\.{re.escape(target.name)}\.[^.]+({re.escape(ASIDE)}|{re.escape(BEFORE)})", left.name):
            continue
        if left.suffix == BEFORE and not target.exists() and any(left.iterdir()):
            left.rename(target)
        else:
            shutil.rmtree(left)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two paths in one step; False where the system or its file system can't."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    failed = renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE)
    if failed:
        number = ctypes.get_errno()
        if number in (errno.ENOSYS, errno.EINVAL):
            return False
        raise OSError(number, os.strerror(number), str(other))
    return True


def umask() -> int:
    """What this process takes away of the permissions of what it makes."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
