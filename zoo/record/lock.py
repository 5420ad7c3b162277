"""One writer at a time for a folder that is to be made or changed; a process that dies lets go.

The lock is a file beside the folder, `.NAME.lock`, there only while it is held, and `.NAME.writer` says by whom.
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
    """Be the only process that writes the folder `target`; what one that was killed has left there is cleared.

    Raises FolderError where another process is at it after `wait` seconds, which is named, or where nothing can be
    written.
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
        with contextlib.suppress(OSError):  # what was refused leaves no empty folders; one that is filled stays
            for folder in made:
                folder.rmdir()


def owner(target: Path) -> str | None:
    """The process that is writing a folder now, "pid 7 on here", or None; it may change at any moment."""
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
        lock = FileLock(path, timeout=wait)
        try:
            lock.acquire()
        except Timeout:
            return None
        descriptor = lock._context.lock_file_fd
        with contextlib.suppress(FileNotFoundError):
            # The former holder removes the file; another process may have made and locked a new one since.
            if descriptor is not None and os.path.samestat(os.fstat(descriptor), path.stat()):
                return lock
        lock.release()


def _lock(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


def _writer(target: Path) -> Path:
    return target.with_name(f".{target.name}.writer")


def _named(writer: Path) -> str:
    try:
        return writer.read_text(encoding="utf-8")[:200] or "another process"
    except OSError:
        return "another process"
