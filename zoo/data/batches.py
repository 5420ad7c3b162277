"""A dataset on the device as uint8, and the batches that are made from it there.

There is no data loader and no worker process: the dataset is one tensor, and one gather crops, flips and fetches a
batch. The random numbers of an epoch are drawn before its first batch from (seed, epoch), so any batch of any epoch can
be repeated.

If the dataset doesn't fit on the device, or the recipe augments whole batches (`zoo.data.augmentation`), each batch is
copied into a buffer instead. The buffer keeps its address, so that a compiled or captured step stays valid. A thread
reads the next batches from a memory-mapped file, so the memory of the process doesn't grow with the dataset.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zoo.data.augmentation import Augmenting, Mixing, augment, augments, draw_augmenting, draw_mixing, mixes
from zoo.data.sources import Split
from zoo.spec import Recipe

READ_AHEAD = 3  # batches that are read from a file in advance
CROPPED_AT_ONCE = 2**30  # bytes of images up to which a GPU crops a whole epoch in advance; it takes as many again


@dataclass(frozen=True)
class Pixels:
    """The normalization, on the device: mean and std [C] float32, on the scale 0 to 1."""

    mean: Tensor
    std: Tensor

    def normalise(self, images: Tensor) -> Tensor:
        """Normalize images [N, H, W, C] uint8 to [N, C, H, W] float32 in channels_last, as torchvision does."""
        if _runs_eagerly_on_cpu(images):  # whole rows, as a CPU's vectors are longer than three channels
            rows = images.flatten(2).to(torch.float32).mul_(1 / 255)
            width = images.shape[2]
            scaled = rows.sub_(self.mean.repeat(width)).div_(self.std.repeat(width)).view_as(images)
        else:
            scaled = images.to(torch.float32).mul_(1 / 255).sub_(self.mean).div_(self.std)
        return scaled.permute(0, 3, 1, 2)


def pixels(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> Pixels:
    """Copy a normalization to a device."""
    mean_values, std_values = (torch.tensor(values, dtype=torch.float32, device=device) for values in (mean, std))
    return Pixels(mean_values, std_values)


@dataclass(frozen=True)
class Draw:
    """The random numbers of an epoch: order [N], crop offsets [N] (pixels), flips [N] (bool), mixing, augmenting."""

    order: Tensor
    top: Tensor
    left: Tensor
    flip: Tensor
    mixing: Mixing | None  # None if the recipe doesn't mix
    augmenting: Augmenting | None = None  # None if the recipe doesn't augment batches; always on the CPU

    def to(self, device: torch.device) -> Draw:
        """Copy all but `augmenting` to a device."""
        mixing = self.mixing and self.mixing.to(device)
        return Draw(self.order.to(device), self.top.to(device), self.left.to(device), self.flip.to(device), mixing)


def draw(size: int, recipe: Recipe, *, seed: int, epoch: int, sides: tuple[int, int] = (0, 0)) -> Draw:
    """Draw the random numbers of an epoch, on the CPU, so that every device trains on the same batches.

    Args:
        size: Number of images.
        recipe: The recipe.
        seed: The seed of the training.
        epoch: The epoch, counted from 1.
        sides: Height and width of the images; only random resized crops need them.
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
    """Copy the random numbers of another epoch into the tensors of `drawn`, also across devices."""
    for name in ("order", "top", "left", "flip"):
        getattr(drawn, name).copy_(getattr(fresh, name))
    if drawn.mixing and fresh.mixing:
        for name in ("blend", "box", "hole"):
            getattr(drawn.mixing, name).copy_(getattr(fresh.mixing, name))


class Feed(ABC):
    """The batches of a training.

    At each epoch, copy its random numbers into `drawn` (`redraw`) and call `begin`. For each batch call `load`, then
    `at` and `mixing`, which may be compiled or captured as part of the step.
    """

    drawn: Draw  # of the epoch, on the device

    @abstractmethod
    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The images at these positions [B] of the epoch, normalized [B, C, H, W] float32, and labels [B]."""

    def mixing(self, positions: Tensor) -> Mixing | None:
        """How the images at these positions [B] are mixed; None if the recipe doesn't mix."""
        return self.drawn.mixing and self.drawn.mixing.at(positions)

    def begin(self, drawn: Draw) -> None:  # noqa: B027
        """Begin an epoch, with its random numbers on the CPU."""

    def load(self, start: int, end: int) -> None:  # noqa: B027
        """Load the images from `start` to `end` of the epoch, the batch of a step, if they are not on the device."""


class Batches(Feed):
    """Batches that are cropped and flipped from a split on the device, with a border of `crop_padding` pixels."""

    def __init__(self, source: Split, drawn: Draw, pixels: Pixels, crop_padding: int) -> None:
        self.source, self.drawn, self.pixels, self.crop_padding = source, drawn, pixels, crop_padding

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """See `Feed.at`."""
        images, labels = batch(self.source, self.drawn, positions, self.crop_padding)
        return self.pixels.normalise(images), labels


class CroppedEpoch(Feed):
    """The same batches, with all images cropped and flipped at the beginning of the epoch.

    On a GPU the number of kernels limits the speed of a step; this way a step has fewer.
    """

    def __init__(self, batches: Batches) -> None:
        source, padding = batches.source, 2 * batches.crop_padding
        count, height, width, channels = source.images.shape
        self.drawn, self._batches = batches.drawn, batches
        self._all = torch.arange(count, device=source.images.device)
        self._images = source.images.new_empty((count, height - padding, width - padding, channels))
        self._labels = torch.empty_like(source.labels)

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """See `Feed.at`."""
        return self._batches.pixels.normalise(self._images[positions]), self._labels[positions]

    def begin(self, drawn: Draw) -> None:
        """Crop and flip all images."""
        images, labels = batch(self._batches.source, self.drawn, self._all, self._batches.crop_padding)
        self._images.copy_(images)  # in place, as a captured step reads from this address
        self._labels.copy_(labels)


def batch(source: Split, drawn: Draw, positions: Tensor, crop_padding: int) -> tuple[Tensor, Tensor]:
    """Crop and flip images from a split with a border.

    Args:
        source: The images and labels.
        drawn: The random numbers of the epoch.
        positions: Positions [B] in the epoch.
        crop_padding: Pixels of border around each image.

    Returns:
        Images [B, H, W, C] uint8 and labels [B].
    """
    index = drawn.order[positions]
    return _cropped(source.images, index, drawn, positions, crop_padding), source.labels[index]


def _cropped(images: Tensor, index: Tensor, drawn: Draw, positions: Tensor, crop_padding: int) -> Tensor:
    """The images at these indices [B], cropped and flipped as drawn for these positions [B] of the epoch."""
    height, width = (images.shape[axis] - 2 * crop_padding for axis in (1, 2))
    if _runs_eagerly_on_cpu(images) and images.is_contiguous():
        return _cropped_by_rows(images, index, drawn, positions, (height, width))
    down = torch.arange(height, device=index.device)
    across = torch.arange(width, device=index.device)
    rows = drawn.top[positions, None] + down
    mirrored = torch.where(drawn.flip[positions, None], width - 1 - across, across)
    columns = drawn.left[positions, None] + mirrored
    return images[index[:, None, None], rows[:, :, None], columns[:, None, :]]


def _cropped_by_rows(images: Tensor, index: Tensor, drawn: Draw, positions: Tensor, sides: tuple[int, int]) -> Tensor:
    """The same by copying whole rows of bytes, which is several times as fast on a CPU as copying pixels."""
    (height, width), (_, _, wide, channels) = sides, images.shape
    row, pitch = width * channels, wide * channels
    first = (index * images.shape[1] + drawn.top[positions]) * pitch + drawn.left[positions] * channels
    starts = first[:, None] + torch.arange(height) * pitch
    # A view of every run of bytes in the images that is as long as a row.
    runs = images.view(-1).as_strided((images.numel() - row + 1, row), (1, 1))
    cropped = runs.index_select(0, starts.flatten()).view(len(index), height, width, channels)
    mirrored = drawn.flip[positions].nonzero()[:, 0]
    cropped[mirrored] = cropped[mirrored].flip(2)
    return cropped


def _runs_eagerly_on_cpu(images: Tensor) -> bool:
    """Whether a CPU computes it without compiling; compiled code is fused, and faster with single pixels."""
    return images.device.type == "cpu" and not torch.compiler.is_compiling()


class BufferedBatches(Feed):
    """Batches that are copied one at a time into a buffer on the device, with a border of zeros to be cropped from."""

    def __init__(self, split: Split, drawn: Draw, pixels: Pixels, recipe: Recipe, *, rank: int, world: int) -> None:
        self.drawn = drawn
        self._split, self._pixels, self._recipe = split, pixels, recipe
        self._rank, self._world, self._size = rank, world, recipe.batch_size
        self._device = split.labels.device
        padding, (height, width) = recipe.crop_padding, split.sides
        shape = (min(self._size, len(split)), height + 2 * padding, width + 2 * padding, split.images.shape[3])
        self._buffer = torch.zeros(shape, dtype=torch.uint8, device=self._device)
        self._inside = self._buffer[:, padding : padding + height, padding : padding + width]
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="zoo-feed")
        self._ahead: deque[tuple[int, int, Future[Tensor]]] = deque()

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """See `Feed.at`."""
        images = _cropped(self._buffer, positions % self._size, self.drawn, positions, self._recipe.crop_padding)
        return self._pixels.normalise(images), self._split.labels[self.drawn.order[positions]]

    def begin(self, drawn: Draw) -> None:
        """Discard the batches that were read ahead for another epoch."""
        while self._ahead:
            self._ahead.pop()[2].cancel()
        self._fresh = drawn

    def load(self, start: int, end: int) -> None:
        """Wait for the batch, start to read the next ones, and copy it into the buffer."""
        if not self._ahead or self._ahead[0][:2] != (start, end):
            self.begin(self._fresh)
            self._ahead.append(self._read(start, end))
        _, _, coming = self._ahead.popleft()
        self._read_ahead(self._ahead[-1][1] if self._ahead else end)
        images = coming.result().to(self._device, non_blocking=self._device.type == "cuda")
        if self._fresh.augmenting is not None:
            augmenting = self._fresh.augmenting.at(self._share(start, end))
            images = augment(images, augmenting, self._split.sides, self._recipe)
        self._inside[self._rank : end - start : self._world].copy_(images)

    def _share(self, start: int, end: int) -> Tensor:
        """The positions of a batch that this process trains on."""
        return torch.arange(start + self._rank, end, self._world)

    def _read_ahead(self, start: int) -> None:
        while len(self._ahead) < READ_AHEAD and start < len(self._split):
            end = min(start + self._size, len(self._split))
            self._ahead.append(self._read(start, end))
            start = end

    def _read(self, start: int, end: int) -> tuple[int, int, Future[Tensor]]:
        index = self._fresh.order[self._share(start, end)]
        return start, end, self._pool.submit(self._gathered, index)

    def _gathered(self, index: Tensor) -> Tensor:
        """Images [B, H, W, C]; pinned for a GPU, which can copy them while it computes."""
        images = self._split.images
        if images.device.type != "cpu":
            return images.index_select(0, index.to(images.device))
        read = torch.empty((len(index), *images.shape[1:]), dtype=torch.uint8, pin_memory=self._device.type == "cuda")
        # NumPy reads in this thread. torch would use its own threads, and a step on the CPU would wait for them.
        np.take(images.numpy(), index.numpy(), axis=0, out=read.numpy(), mode="clip")
        return read


def feed(split: Split, drawn: Draw, pixels: Pixels, recipe: Recipe, *, rank: int, world: int) -> Feed:
    """The batches of a training on a split.

    Args:
        split: The images. On the device they have the border that `sources.read_splits` adds.
        drawn: The random numbers of the first epoch, on the device of the labels.
        pixels: The normalization.
        recipe: The recipe.
        rank: The number of this process, from 0.
        world: The number of processes.

    Raises:
        ValueError: The images have no border.
    """
    padding = recipe.crop_padding
    if split.is_mapped or augments(recipe):
        return BufferedBatches(split, drawn, pixels, recipe, rank=rank, world=world)
    if split.margin < 2 * padding:
        raise ValueError(f"the images need a border of {padding} pixels for random crops; use read_splits")
    batches = Batches(split, drawn, pixels, padding)
    at_once = split.images.nbytes <= CROPPED_AT_ONCE and not _runs_eagerly_on_cpu(split.images)
    return CroppedEpoch(batches) if at_once else batches
