"""Activation checkpointing (arXiv:1604.06174) that knows of batch norm."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recomputed(block: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """forward(x) of a block, of which only x is kept: what is inside is computed again in the backward pass.

    The second time, batch norm leaves its running statistics alone, which have this batch already; so
    the net ends with the very values that it has without.
    """
    out: Tensor = checkpoint(
        forward,
        x,
        use_reentrant=False,
        preserve_rng_state=False,  # nothing is random in these blocks
        context_fn=lambda: (contextlib.nullcontext(), _statistics_at_rest(block)),
    )
    return out


@contextlib.contextmanager
def _statistics_at_rest(block: nn.Module) -> Iterator[None]:
    # All that tracks statistics: where there are several processes, other modules stand in place of nn.BatchNorm2d.
    norms: list[Any] = [module for module in block.modules() if getattr(module, "track_running_stats", False)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm, (_, count) in zip(norms, before, strict=True):
        norm.momentum, norm.num_batches_tracked = 0.0, None if count is None else count.clone()
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
