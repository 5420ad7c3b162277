"""How everything that is published about a model is computed: accuracies, known answers, predictions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def exact() -> Iterator[None]:
    """Compute in fp32 that is fp32, by the same algorithm each time, and without gradients.

    A GPU would otherwise round convolutions to TF32 and pick whichever of its algorithms is the fastest
    just then. cuDNN itself stays in use: its `flags` turn it off unless told not to.
    """
    cudnn = torch.backends.cudnn
    with (
        torch.inference_mode(),
        cudnn.flags(enabled=cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False),
    ):
        yield
