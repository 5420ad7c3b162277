"""Where a step's images are: all on the device, or batch after batch brought to where the step reads them.

What a step computes is the same in both: it crops, flips and normalises images at positions of the epoch. Where a data
set does not fit on the device, or whole batches are changed before (`zoo.data.augment`), they are put into one buffer
of a batch's size, whose place never moves, so that a compiled or a captured step stays as it is. They are read ahead by
a thread, from a file that is mapped into memory: the process's own memory does not grow with the data set.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from zoo.data import augment, batches
from zoo.data.batches import Batches, Draw, Pixels
from zoo.data.mixing import Mixing
from zoo.data.sources import Split
from zoo.spec import Recipe

AHEAD = 3  # batches that are read before they are asked for


class Feed(Protocol):
    """The batches of a training."""

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The images at these positions [B] of the epoch, normalised [B, C, H, W] float32, and labels [B]."""

    def mixing(self, positions: Tensor) -> Mixing | None:
        """How those images are mixed, where they are."""

    def begin(self, drawn: Draw) -> None:
        """An epoch begins; what is drawn for it is given as it lies on the processor."""

    def bring(self, start: int, end: int) -> None:
        """Bring images `start` to `end` of the epoch, a step's batch, to where `at` reads them."""


class Brought:
    """Images that are brought a batch at a time into a buffer on the device."""

    def __init__(self, split: Split, recipe: Recipe, buffered: Batches, *, rank: int, world: int) -> None:
        self._split, self._recipe, self._batches = split, recipe, buffered
        self._rank, self._world = rank, world
        self._device = split.labels.device
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="zoo-feed")
        self._ahead: deque[tuple[int, int, Future[Tensor]]] = deque()
        self._size = recipe.batch_size

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The images in the buffer, cropped, flipped and normalised, and their labels."""
        drawn, labels = self._batches.drawn, self._split.labels
        images = batches.cut(
            self._batches.source.images, positions % self._size, drawn, positions, self._recipe.crop_padding
        )
        return self._batches.pixels.normalise(images), labels[drawn.order[positions]]

    def mixing(self, positions: Tensor) -> Mixing | None:
        """How those images are mixed, where they are."""
        return self._batches.mixing(positions)

    def begin(self, drawn: Draw) -> None:
        """Forget what was read ahead of another epoch."""
        while self._ahead:
            self._ahead.pop()[2].cancel()
        self._drawn = drawn

    def bring(self, start: int, end: int) -> None:
        """Wait for the batch, have the next ones read, and put it into the buffer."""
        if not self._ahead or self._ahead[0][:2] != (start, end):
            self.begin(self._drawn)
            self._ahead.append(self._read(start, end))
        _, _, coming = self._ahead.popleft()
        self._read_ahead(self._ahead[-1][1] if self._ahead else end)
        positions = self._own(start, end)
        images = coming.result().to(self._device, non_blocking=True)
        if self._drawn.augmenting is not None:
            how = self._drawn.augmenting.at(positions)
            images = augment.augment(images, how, self._split.sides, self._recipe)
        padding, (height, width) = self._batches.crop_padding, self._split.sides
        inside = self._batches.source.images[:, padding : padding + height, padding : padding + width]
        inside[self._rank : end - start : self._world].copy_(images)  # a batch begins at the buffer's beginning

    def _own(self, start: int, end: int) -> Tensor:
        """The positions of a batch that this process trains on."""
        return torch.arange(start + self._rank, end, self._world)

    def _read_ahead(self, start: int) -> None:
        while len(self._ahead) < AHEAD and start < len(self._split):
            end = min(start + self._size, len(self._split))
            self._ahead.append(self._read(start, end))
            start = end

    def _read(self, start: int, end: int) -> tuple[int, int, Future[Tensor]]:
        index = self._drawn.order[self._own(start, end)]
        return start, end, self._pool.submit(self._gathered, index)

    def _gathered(self, index: Tensor) -> Tensor:
        """Images [B, H, W, C] on the processor, in memory that a GPU copies from while it computes."""
        images = self._split.images
        if images.device.type != "cpu":
            return images.index_select(0, index.to(images.device))
        read = torch.empty((len(index), *images.shape[1:]), dtype=torch.uint8, pin_memory=self._device.type == "cuda")
        # NumPy's, by one thread: torch's has threads of its own, which a step on the processor would wait for.
        np.take(images.numpy(), index.numpy(), axis=0, out=read.numpy(), mode="clip")
        return read


def feed(split: Split, drawn: Draw, pixels: Pixels, recipe: Recipe, *, rank: int, world: int) -> Feed:
    """The batches of a training on a split, for one of so many processes; `drawn` is on the split's device.

    A split that is read from the device has the border that its images are cropped from (`sources.read_splits`).
    """
    padding, (height, width) = recipe.crop_padding, split.sides
    if not split.is_mapped and not augment.augments(recipe):
        return Batches(split, drawn, pixels, padding)
    shape = (min(recipe.batch_size, len(split)), height + 2 * padding, width + 2 * padding, split.images.shape[3])
    buffer = Split(torch.zeros(shape, dtype=torch.uint8, device=split.labels.device), split.labels)
    return Brought(split, recipe, Batches(buffer, drawn, pixels, padding), rank=rank, world=world)
