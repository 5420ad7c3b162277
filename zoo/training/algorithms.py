"""Which algorithms a training computes with."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def algorithms(device: torch.device, *, deterministic: bool) -> Iterator[None]:
    """Compute with the fastest algorithms on a GPU, or with those that give the same bits every time.

    A CPU's are the same either way. Settings are put back at the end; environment variables are by
    `zoo.training.caller`.
    """
    cudnn = torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn_before = cudnn.benchmark, cudnn.deterministic
    if device.type == "cuda":
        if deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
        torch.use_deterministic_algorithms(deterministic)
        cudnn.benchmark, cudnn.deterministic = not deterministic, deterministic
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        cudnn.benchmark, cudnn.deterministic = cudnn_before


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with so many threads of the processor; the sums of a CPU depend on it, in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
