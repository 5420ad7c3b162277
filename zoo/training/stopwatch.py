"""Where the seconds of an epoch go: into training, or into compiling; the two sum to its wall time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import torch

from zoo.nets.device import synchronize


class Stopwatch:
    """Counts an epoch's seconds. Work that a GPU still has when compiling begins is waited for, as training's."""

    def __init__(self, device: torch.device, now: Callable[[], float] = time.perf_counter) -> None:
        self._device, self._now = device, now
        self.start()

    def start(self, train_seconds: float = 0.0, compile_seconds: float = 0.0) -> None:
        """Begin an epoch, or go on with one that has taken so long already."""
        self.compile_seconds = compile_seconds
        self._started = self._now() - train_seconds - compile_seconds

    @property
    def train_seconds(self) -> float:
        """All seconds of the epoch so far that were not spent on compiling."""
        return self._now() - self._started - self.compile_seconds

    @property
    def seconds(self) -> tuple[float, float]:
        """The seconds of training and those of compiling, at one moment."""
        return self.train_seconds, self.compile_seconds

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Book what happens inside as compiling."""
        synchronize(self._device)
        begun = self._now()
        try:
            yield
            synchronize(self._device)
        finally:
            self.compile_seconds += self._now() - begun
