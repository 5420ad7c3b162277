"""A lock that allows one process at a time to write a folder. The system releases it when the process ends.

The lock is the file `.NAME.lock` beside the folder, which exists while the lock is held. `.NAME.writer` names the
process that holds it.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import FolderError
from zoo.record.paths import require_named
from zoo.record.replace import recover

if TYPE_CHECKING:
    from filelock import BaseFileLock


@contextlib.contextmanager
def alone(target: Path, doing: str = "written", *, wait: float = 0) -> Iterator[None]:
    """Hold the lock of a folder, and recover the folder if an earlier writer was killed.

    Args:
        target: The folder, which may be missing.
        doing: What the lock's holder does to the folder, a past participle for the error.
        wait: Seconds to wait for another process.

    Raises:
        FolderError: Another process holds the lock, or the folder can't be written or is a link.
    """
    require_named(target)
    path, writer = _lock(target), _writer(target)
    made: list[Path] = []
    try:
        made += [folder for folder in path.parents if not folder.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = _acquired(path, wait)
        if lock is not None:
            writer.write_text(f"pid {os.getpid()} on {platform.node()}", encoding="utf-8")
    except OSError as error:
        raise FolderError(f"{target} can't be written ({error.strerror}); name another folder") from None
    if lock is None:
        raise FolderError(
            f"{target} is being {doing} by {_named(writer)}; wait for it, stop it, or name another folder"
        )
    try:
        if target.is_symlink():
            raise FolderError(f"{target} is a link; name the folder itself")
        recover(target)
        yield
    finally:
        writer.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # Windows does not delete an open file
            path.unlink()
        lock.release()
        with contextlib.suppress(OSError):  # remove the folders that were made for the lock, if nothing was written
            for folder in made:
                folder.rmdir()


def owner(target: Path) -> str | None:
    """Return the process that holds the lock of a folder, such as "pid 7 on HOST", or None."""
    path = _lock(target)
    if not path.is_file():
        return None
    try:
        lock = _acquired(path, 0)
    except OSError:
        return None
    if lock is None:
        return _named(_writer(target))
    with contextlib.suppress(OSError):
        path.unlink()  # the lock file of a killed process
    lock.release()
    return None


def _acquired(path: Path, wait: float) -> BaseFileLock | None:
    """Acquire the lock; None if another process holds it. Raises OSError."""
    from filelock import FileLock, Timeout

    while True:
        path.touch()
        before, lock = _status(path), FileLock(path, timeout=wait)
        try:
            lock.acquire()
        except Timeout:
            return None
        # The previous holder removes the file; another process may have created and locked a new one meanwhile.
        after = _status(path)
        if before is not None and after is not None and os.path.samestat(before, after):
            return lock
        lock.release()


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _lock(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


def _writer(target: Path) -> Path:
    return target.with_name(f".{target.name}.writer")


def _named(writer: Path) -> str:
    try:
        return writer.read_text(encoding="utf-8")[:200] or "another process"
    except OSError:
        return "another process"
