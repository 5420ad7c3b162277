"""A data set on the device as uint8, and the batches made of it there.

No loader, no worker processes: the whole set is one tensor, and cropping, flipping and fetching a
batch are one gather. All that is random about an epoch is drawn before its first batch, from
(seed, epoch) alone, so any batch of any epoch can be made again.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.data import augment
from zoo.data.augment import Augmenting
from zoo.data.mixing import Mixing, mixes
from zoo.data.mixing import draw as draw_mixing
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
    """All that is random about one epoch: order [N], crop offsets [N] (pixels), flips [N] (bool), mixing."""

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
    return Pixels(torch.tensor(mean, device=device), torch.tensor(std, device=device))


def draw(size: int, recipe: Recipe, *, seed: int, epoch: int, sides: tuple[int, int] = (0, 0)) -> Draw:
    """Draw an epoch over `size` images. On the CPU, so that every device trains on the same batches.

    `sides` are the height and width of the images that a random resized crop is made of.
    """
    numbers = random.Random(f"{seed}/{epoch}")
    generator = torch.Generator().manual_seed(numbers.getrandbits(63))
    mixing = draw_mixing(size, recipe, numbers.getrandbits(63)) if mixes(recipe) else None
    augmenting = None
    if augment.augments(recipe):
        augmenting = augment.draw(size, recipe, sides, random.Random(f"{seed}/{epoch}/augment").getrandbits(63))
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
    """Copy an epoch's draw over another one's, on whichever devices they are."""
    for name in ("order", "top", "left", "flip"):
        getattr(drawn, name).copy_(getattr(fresh, name))
    if drawn.mixing and fresh.mixing:
        for name in ("blend", "box", "hole"):
            getattr(drawn.mixing, name).copy_(getattr(fresh.mixing, name))


@dataclass(frozen=True)
class Batches:
    """All batches of a training: a split with a border, how it is drawn and normalised.

    What is drawn is read where it lies: a new epoch's draw is copied into it.
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
    """The same, a row of bytes at a time and not a pixel, which is several times as fast on a processor."""
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
    """Whether a processor computes it right now; what is compiled is fused, and does better with single pixels."""
    return images.device.type == "cpu" and not torch.compiler.is_compiling()
