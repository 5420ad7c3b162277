"""The C library's allocator, made to keep what a training on a CPU frees."""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Iterator

# Parameters of glibc's mallopt(3).
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


@contextlib.contextmanager
def memory_kept() -> Iterator[None]:
    """Keep the memory that a training step on a CPU frees for the next step.

    glibc gives blocks of an activation's size back to the system, and takes them again page by page:
    10,000 faults and more a step, and a quarter of a compiled step's time. Does nothing on other C libraries.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    glibc = ctypes.CDLL(None)
    glibc.mallopt(M_TRIM_THRESHOLD, -1)
    if not glibc.mallopt(M_MMAP_THRESHOLD, 2**30):
        glibc.mallopt(M_MMAP_THRESHOLD, 2**25)  # the most that older versions accept
    try:
        yield
    finally:
        # The most that glibc comes to by itself, adapting to what is freed: it has no way back to that.
        glibc.mallopt(M_TRIM_THRESHOLD, 2**26)
        glibc.mallopt(M_MMAP_THRESHOLD, 2**25)
        glibc.malloc_trim(0)
