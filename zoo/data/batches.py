"""A dataset on the device as uint8, and the batches made of it there.

There is no loader and no worker process: the dataset is one tensor, and one gather crops, flips and
fetches a batch. All random numbers of an epoch are drawn before its first batch from (seed, epoch),
so any batch of any epoch can be repeated.

Where a dataset does not fit on the device, or whole batches are changed before the step (`zoo.data.augmentation`),
images are copied into one buffer of a batch's size. The buffer never moves, so that a compiled or captured step stays
as it is. A thread reads them ahead from a file that is mapped into memory: the process's own memory does not grow with
the dataset.
"""

from __future__ import annotations

import random
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from zoo.data.augmentation import Augmenting, Mixing, augment, augments, draw_augmenting, draw_mixing, mixes
from zoo.data.sources import Split
from zoo.spec import Recipe


@dataclass(frozen=True)
class Pixels:
    """The normalisation, on the device: mean and std [C] float32 on the scale 0 to 1."""

    mean: Tensor
    std: Tensor

    def normalise(self, images: Tensor) -> Tensor:
        """Images [N, H, W, C] uint8 to [N, C, H, W] float32 in channels_last, as torchvision computes it."""
        if _is_asked_of_processor(images):  # whole rows at once: a processor's vectors are longer than three channels
            rows = images.flatten(2).to(torch.float32).mul_(1 / 255)
            width = images.shape[2]
            scaled = rows.sub_(self.mean.repeat(width)).div_(self.std.repeat(width)).view_as(images)
        else:
            scaled = images.to(torch.float32).mul_(1 / 255).sub_(self.mean).div_(self.std)
        return scaled.permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Draw:
    """The random numbers of an epoch: order [N], crop offsets [N] (pixels), flips [N] (bool), mixing."""

    order: Tensor
    top: Tensor
    left: Tensor
    flip: Tensor
    mixing: Mixing | None  # where the recipe mixes
    augmenting: Augmenting | None = None  # where it changes whole batches before the step; stays on the processor

    def to(self, device: torch.device) -> Draw:
        """The same on a device."""
        mixing = self.mixing and self.mixing.to(device)
        return Draw(self.order.to(device), self.top.to(device), self.left.to(device), self.flip.to(device), mixing)


def pixels(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> Pixels:
    """Put a normalisation on the device."""
    mean_values, std_values = (torch.tensor(values, dtype=torch.float32, device=device) for values in (mean, std))
    return Pixels(mean_values, std_values)


def draw(size: int, recipe: Recipe, *, seed: int, epoch: int, sides: tuple[int, int] = (0, 0)) -> Draw:
    """Draw an epoch over `size` images. On the CPU, so that every device trains on the same batches.

    `sides` are the height and width of the images that a random resized crop is made of.
    """
    numbers = random.Random(f"{seed}/{epoch}")
    generator = torch.Generator().manual_seed(numbers.getrandbits(63))
    mixing = draw_mixing(size, recipe, numbers.getrandbits(63)) if mixes(recipe) else None
    augmenting = None
    if augments(recipe):
        augmenting = draw_augmenting(size, recipe, sides, random.Random(f"{seed}/{epoch}/augment").getrandbits(63))
    offsets = 2 * recipe.crop_padding + 1
    return Draw(
        order=torch.randperm(size, generator=generator),
        top=torch.randint(offsets, (size,), generator=generator),
        left=torch.randint(offsets, (size,), generator=generator),
        flip=torch.rand(size, generator=generator) < recipe.hflip,
        mixing=mixing,
        augmenting=augmenting,
    )


def redraw(drawn: Draw, fresh: Draw) -> None:
    """Copy the random numbers of an epoch into the tensors of another one, also across devices."""
    for name in ("order", "top", "left", "flip"):
        getattr(drawn, name).copy_(getattr(fresh, name))
    if drawn.mixing and fresh.mixing:
        for name in ("blend", "box", "hole"):
            getattr(drawn.mixing, name).copy_(getattr(fresh.mixing, name))


@dataclass(frozen=True)
class Batches:
    """The batches of a training from a split with a border, which is on the device.

    `drawn` is read in place: the random numbers of a new epoch are copied into it.
    """

    source: Split
    drawn: Draw
    pixels: Pixels
    crop_padding: int

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The images at these positions [B] of the epoch, normalised [B, C, H, W] float32, and labels [B]."""
        images, labels = batch(self.source, self.drawn, positions, self.crop_padding)
        return self.pixels.normalise(images), labels

    def mixing(self, positions: Tensor) -> Mixing | None:
        """How those images are mixed, where they are."""
        return self.drawn.mixing and self.drawn.mixing.at(positions)

    def begin(self, drawn: Draw) -> None:
        """Nothing: what is drawn for an epoch is read where it lies."""

    def bring(self, start: int, end: int) -> None:
        """Nothing: all images are there."""


class CroppedEpoch:
    """The same, with all images of an epoch cropped and flipped at its beginning, into memory that never moves.

    On a GPU a step is bound by the number of its kernels, and has fewer of them this way.
    """

    def __init__(self, batches: Batches) -> None:
        source, padding = batches.source, 2 * batches.crop_padding
        count, height, width, channels = source.images.shape
        self._batches, self._all = batches, torch.arange(count, device=source.images.device)
        self._images = source.images.new_empty((count, height - padding, width - padding, channels))
        self._labels = torch.empty_like(source.labels)

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The images at these positions [B] of the epoch, normalised [B, C, H, W] float32, and labels [B]."""
        return self._batches.pixels.normalise(self._images[positions]), self._labels[positions]

    def mixing(self, positions: Tensor) -> Mixing | None:
        """How those images are mixed, where they are."""
        return self._batches.mixing(positions)

    def begin(self, drawn: Draw) -> None:
        """Crop all images as it is drawn on the device."""
        batches = self._batches
        images, labels = batch(batches.source, batches.drawn, self._all, batches.crop_padding)
        self._images.copy_(images)
        self._labels.copy_(labels)

    def bring(self, start: int, end: int) -> None:
        """Nothing: all images are there."""


def batch(source: Split, drawn: Draw, positions: Tensor, crop_padding: int) -> tuple[Tensor, Tensor]:
    """The images at these positions [B] of an epoch, cropped out of a split with a border and flipped.

    Returns images [B, H, W, C] uint8 and labels [B]. Position i of the epoch has the i-th of each draw.
    """
    index = drawn.order[positions]
    return cut(source.images, index, drawn, positions, crop_padding), source.labels[index]


def cut(images: Tensor, index: Tensor, drawn: Draw, positions: Tensor, crop_padding: int) -> Tensor:
    """The images at these indices [B], cropped and flipped as it is drawn for these positions [B] of the epoch."""
    height, width = (images.shape[axis] - 2 * crop_padding for axis in (1, 2))
    if _is_asked_of_processor(images) and images.is_contiguous():
        return _cut_by_rows(images, index, drawn, positions, (height, width))
    down = torch.arange(height, device=index.device)
    across = torch.arange(width, device=index.device)
    rows = drawn.top[positions, None] + down
    mirrored = torch.where(drawn.flip[positions, None], width - 1 - across, across)
    columns = drawn.left[positions, None] + mirrored
    return images[index[:, None, None], rows[:, :, None], columns[:, None, :]]


def _cut_by_rows(images: Tensor, index: Tensor, drawn: Draw, positions: Tensor, sides: tuple[int, int]) -> Tensor:
    """Crop by copying whole rows of bytes, which is several times as fast on a CPU as single pixels."""
    (height, width), (_, _, wide, channels) = sides, images.shape
    row, pitch = width * channels, wide * channels
    first = (index * images.shape[1] + drawn.top[positions]) * pitch + drawn.left[positions] * channels
    starts = first[:, None] + torch.arange(height) * pitch
    # Every run of bytes of a row's length that begins anywhere in the images.
    runs = images.view(-1).as_strided((images.numel() - row + 1, row), (1, 1))
    cropped = runs.index_select(0, starts.flatten()).view(len(index), height, width, channels)
    mirrored = drawn.flip[positions].nonzero()[:, 0]
    cropped[mirrored] = cropped[mirrored].flip(2)
    return cropped


def _is_asked_of_processor(images: Tensor) -> bool:
    """Whether the CPU computes it eagerly; compiled code is fused and is faster with single pixels."""
    return images.device.type == "cpu" and not torch.compiler.is_compiling()


AHEAD = 3  # batches that are read before they are asked for
CROPPED_AT_ONCE = 2**30  # bytes of a GPU's images up to which an epoch is cropped at its beginning; takes as many again


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
        images = cut(self._batches.source.images, positions % self._size, drawn, positions, self._recipe.crop_padding)
        return self._batches.pixels.normalise(images), labels[drawn.order[positions]]

    def mixing(self, positions: Tensor) -> Mixing | None:
        """How those images are mixed, where they are."""
        return self._batches.mixing(positions)

    def begin(self, drawn: Draw) -> None:
        """Discard the batches that were read ahead for another epoch."""
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
        images = coming.result().to(self._device, non_blocking=self._device.type == "cuda")
        if self._drawn.augmenting is not None:
            how = self._drawn.augmenting.at(positions)
            images = augment(images, how, self._split.sides, self._recipe)
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
    if not split.is_mapped and not augments(recipe):
        if split.margin < 2 * padding:
            raise ValueError(f"the images need a border of {padding} pixels to be cropped from, as read_splits adds it")
        batches = Batches(split, drawn, pixels, padding)
        at_once = split.images.nbytes <= CROPPED_AT_ONCE and not _is_asked_of_processor(split.images)
        return CroppedEpoch(batches) if at_once else batches
    shape = (min(recipe.batch_size, len(split)), height + 2 * padding, width + 2 * padding, split.images.shape[3])
    buffer = Split(torch.zeros(shape, dtype=torch.uint8, device=split.labels.device), split.labels)
    return Brought(split, recipe, Batches(buffer, drawn, pixels, padding), rank=rank, world=world)
