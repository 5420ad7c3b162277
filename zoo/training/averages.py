"""Tensors that follow a net step by step: the average of its weights, and batch norm's counts of batches."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """The exponential moving average of a net's tensors, updated after every step; `decay` is the part it keeps.

    It is torch's AveragedModel with batch norm's statistics, begun with the net as it is before the first step. That
    class asks its count whether this is the first update, for which a GPU would have to be waited for in every step,
    and a step that asks can't be captured; here it is never the first. What isn't floating point is taken over as it
    is: torch would round the average of a count off, to where it began.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        """Average `net`, which must keep its tensor objects."""
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        own, followed = ([*one.parameters(), *one.buffers()] for one in (self.net, net))
        pairs = [(mine.detach(), its.detach()) for mine, its in zip(own, followed, strict=True)]
        self._floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self._others = [pair for pair in pairs if not pair[0].is_floating_point()]
        self._move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the net after a step; does not wait for a GPU."""
        self._move([mine for mine, _ in self._floats], [its for _, its in self._floats], None)
        if self._others:
            torch._foreach_copy_([mine for mine, _ in self._others], [its for _, its in self._others])


class BatchCounts:
    """Counts batches for all batch norm layers at once; each would launch a kernel of its own to add 1 in every step.

    The counts are a part of the net's state, so whoever reads or writes that puts them `back` meanwhile.
    Layers whose averages depend on the count (`momentum` None) go on counting themselves.
    """

    def __init__(self, net: nn.Module) -> None:
        self._layers = [
            (layer, count)
            for layer in net.modules()
            if getattr(layer, "momentum", None) is not None
            and not isinstance(layer, nn.SyncBatchNorm)  # it refuses to train without its count
            and isinstance(count := getattr(layer, "num_batches_tracked", None), Tensor)
        ]
        self._take()

    def add(self) -> None:
        """Count a batch."""
        if self._layers:
            torch._foreach_add_([count for _, count in self._layers], 1)

    def give_back(self) -> None:
        """Give the layers their counts again."""
        for layer, count in self._layers:
            layer.num_batches_tracked = count

    @contextlib.contextmanager
    def back(self) -> Iterator[None]:
        """The layers have their counts meanwhile."""
        self.give_back()
        try:
            yield
        finally:
            self._take()

    def _take(self) -> None:
        for layer, _ in self._layers:
            layer.num_batches_tracked = None  # type: ignore[assignment]
