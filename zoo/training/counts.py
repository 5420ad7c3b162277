"""Batch norm's count of batches, for all layers of a net at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class BatchCounts:
    """Takes the counting off the layers, each of which would launch a kernel of its own to add 1 in every step.

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
