"""A lock for the writer of a folder; it is released when its process ends, however that ends.

The lock is a file beside the folder, `.NAME.lock`, that exists while the lock is held. `.NAME.writer` names the holder.
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
    """Be the only process that writes a folder, and recover it from a writer that was killed.

    Waits `wait` seconds for another process. Raises FolderError, which says what is being `doing` to the folder.
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
        with contextlib.suppress(OSError):  # a system may keep a file that is open
            path.unlink()
        lock.release()
        with contextlib.suppress(OSError):  # a refused write leaves no empty folders
            for folder in made:
                folder.rmdir()


def owner(target: Path) -> str | None:
    """The process that is writing a folder now, "pid 7 on here", or None."""
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
        path.unlink()  # of a process that was killed
    lock.release()
    return None


def _acquired(path: Path, wait: float) -> BaseFileLock | None:
    """The lock, held; None where another process holds it. Raises OSError."""
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
