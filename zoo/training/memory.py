"""The C library's allocator, made to keep what a training on a CPU frees."""

from __future__ import annotations

import ctypes
import platform

# Parameters of glibc's mallopt(3).
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def keep_memory() -> None:
    """Keep the memory that a training step on a CPU frees for the next step, to the end of the process.

    glibc gives blocks of an activation's size back to the system, and takes them again page by page:
    10,000 faults and more a step, and a quarter of a compiled step's time. It has no way back to how it
    was, so this is for a process of one's own, as the command line's is. Does nothing on other C libraries.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    glibc = ctypes.CDLL(None)
    glibc.mallopt(M_TRIM_THRESHOLD, -1)
    if not glibc.mallopt(M_MMAP_THRESHOLD, 2**30):
        glibc.mallopt(M_MMAP_THRESHOLD, 2**25)  # the most that older versions accept
