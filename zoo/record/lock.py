"""One writer at a time for a folder that is to be made or replaced; whoever dies lets go.

The lock is `flock` on a file beside the folder, `.NAME.lock`, that is there only while it is held: the system
gives it back when its process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import FolderError
from zoo.record.replace import recover

# File systems on which nothing can be locked; people train there all the same.
UNLOCKABLE = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)


@contextlib.contextmanager
def alone(target: Path, doing: str = "written") -> Iterator[None]:
    """Be the only process that writes in the place `target`; what one that was killed has left there is cleared.

    Raises FolderError where another process is at it, which is named, or where nothing can be written.
    """
    path = target.with_name(f".{target.name}.lock")
    made: list[Path] = []
    try:
        made += [folder for folder in path.parents if not folder.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _locked(path, target, doing)
    except OSError as error:
        raise FolderError(f"{target} can't be written ({error.strerror}); name another folder with --out") from None
    try:
        if target.is_symlink():
            raise FolderError(f"{target} is a link; name the folder itself with --out")
        recover(target)
        yield
    finally:
        path.unlink(missing_ok=True)  # and only then let go
        os.close(descriptor)
        with contextlib.suppress(OSError):  # what was refused leaves no empty folders; one that is filled stays
            for folder in made:
                folder.rmdir()


def owner(target: Path) -> str | None:
    """The process that is at a place now, "pid 7 on here", or None: to be told of, as it may change at any moment."""
    try:
        descriptor = os.open(target.with_name(f".{target.name}.lock"), os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _named(descriptor)
    except OSError:  # nothing can be locked there
        return None
    finally:
        os.close(descriptor)
    return None


def _named(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"


def _locked(path: Path, target: Path, doing: str) -> int:
    """The descriptor that holds the lock; raises FolderError where another process does."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = _named(descriptor)
            os.close(descriptor)
            raise FolderError(
                f"{target} is being {doing} by {other}; wait for it, stop it, or name another folder with --out"
            ) from None
        except OSError as error:
            if error.errno not in UNLOCKABLE:
                os.close(descriptor)
                raise
        # Whoever held it may have removed this very file in between.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"pid {os.getpid()} on {platform.node()}".encode(), 0)
                return descriptor
        os.close(descriptor)
