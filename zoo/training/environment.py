"""The environment of a training: its description, the settings of torch, and the memory of the process.

This module imports torch only inside functions: the command line calls `keep_memory` before torch may be needed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import random
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from zoo.plugins import checkout
from zoo.record.types import Environment
from zoo.spec import Architecture

if TYPE_CHECKING:
    import torch

DESCRIBE: Final = ("--always", "--dirty", "--abbrev=12", "--exclude=*")


def environment(device: torch.device, architecture: Architecture) -> Environment:
    """Describe where a model is trained: device, Python, and the commits of the zoo and of the plugin."""
    from zoo.nets.device import describe

    return Environment(
        device=describe(device),
        python=platform.python_version(),
        commit=_commit(),
        plugin_commit=_commit_of_plugin(architecture),
    )


def _commit() -> str | None:
    """The commit of the zoo's checkout, with "-dirty" if files were changed; ZOO_COMMIT overrides it."""
    if named := os.environ.get("ZOO_COMMIT"):
        return named
    root = checkout()
    return _git(root, "describe", *DESCRIBE) if root is not None and (root / ".git").exists() else None


def _commit_of_plugin(architecture: Architecture) -> str | None:
    """The commit of the plugin's repository; None without git, and for plugins in the zoo's repository."""
    module = sys.modules.get(str(getattr(architecture.build, "__module__", None)))
    file = getattr(module, "__file__", None)
    if file is None or ((root := checkout()) is not None and Path(file).resolve().is_relative_to(root)):
        return None
    folder = Path(file).resolve().parent
    if _git(folder, "ls-files", "--error-unmatch", file) is None:
        return None
    return _git(folder, "describe", *DESCRIBE)


def _git(folder: Path, *words: str) -> str | None:
    """The output of git in a folder; None if git fails or is not installed."""
    command = ["git", "-C", str(folder), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


@contextlib.contextmanager
def settings(device: torch.device, *, deterministic: bool, threads: int) -> Iterator[None]:
    """Set torch up for a training inside the block, and restore the settings of the process after it.

    Random state (torch's, numpy's, Python's), environment variables and warning filters are restored too: torch.compile
    sets variables for its caches; plugins, and libraries at their first import, may draw random numbers.

    Args:
        device: The device of the training.
        deterministic: Use deterministic algorithms on a GPU, else the fastest; a CPU is always deterministic.
        threads: CPU threads; the last bits of sums depend on their number.
    """
    import numpy as np
    import torch

    from zoo.nets.device import as_by_default, random_state, set_random_state

    cudnn = torch.backends.cudnn
    variables, python_state, numpy_state = dict(os.environ), random.getstate(), np.random.get_state()
    device_state, threads_before = random_state(device), torch.get_num_threads()
    algorithms = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn_before = cudnn.benchmark, cudnn.deterministic
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(), as_by_default():
        torch.set_num_threads(threads)
        if device.type != "cpu":
            if deterministic:
                os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch requires it for cuBLAS
            torch.use_deterministic_algorithms(deterministic)
            cudnn.benchmark, cudnn.deterministic = not deterministic, deterministic
        try:
            yield
        finally:
            torch.set_num_threads(threads_before)
            torch.use_deterministic_algorithms(algorithms[0], warn_only=algorithms[1])
            cudnn.benchmark, cudnn.deterministic = cudnn_before
            random.setstate(python_state)
            np.random.set_state(numpy_state)
            set_random_state(device, device_state)
            for name in os.environ.keys() - variables.keys():
                del os.environ[name]
            os.environ.update(variables)


# Parameters of glibc's mallopt(3).
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def keep_memory() -> None:
    """Keep the memory that a training step on a CPU frees for the next step, until the process ends.

    glibc returns blocks of the size of an activation to the system. Allocating them again causes 10,000 page faults a
    step, a quarter of the time of a compiled step. The setting can't be undone, so call this only in a process that
    does nothing but train. It has no effect with other C libraries.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    glibc = ctypes.CDLL(None)
    glibc.mallopt(M_TRIM_THRESHOLD, -1)
    if not glibc.mallopt(M_MMAP_THRESHOLD, 2**30):
        glibc.mallopt(M_MMAP_THRESHOLD, 2**25)  # the maximum of older versions
