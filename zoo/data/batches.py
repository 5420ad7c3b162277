"""A data set on the device as uint8, and the batches made of it there.

No loader, no worker processes: the whole set is one tensor, and cropping, flipping and fetching a
batch are one gather. All that is random about an epoch is drawn before its first batch, from
(seed, epoch) alone, so any batch of any epoch can be made again.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.data.mixing import Mixing, mixes
from zoo.data.mixing import draw as draw_mixing
from zoo.errors import DataError
from zoo.spec import Dataset, Recipe


@dataclass(frozen=True)
class Split:
    """Half of a data set: images [N, H, W, C] uint8 and labels [N] int64, on one device."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Splits:
    """What a run has of its data set: what it trains on, what it may choose by, what it is measured on."""

    train: Split
    val: Split | None  # the last images of the training set, where the recipe holds them out
    test: Split


@dataclass(frozen=True)
class Pixels:
    """The normalisation, on the device: mean and std [C] float32 on the scale 0 to 1."""

    mean: Tensor
    std: Tensor

    def normalise(self, images: Tensor) -> Tensor:
        """Images [N, H, W, C] uint8 to [N, C, H, W] float32 in channels_last, as torchvision computes it."""
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


def default_root() -> Path:
    """The folder that data sets are read from and downloaded to, where none is named."""
    return Path(os.environ.get("ZOO_DATA") or Path.home() / ".cache" / "zoo" / "data").expanduser()


def is_there(dataset: Dataset, root: Path) -> bool:
    """Whether a data set can be read without downloading it."""
    return dataset.folder is None or (root / dataset.folder).is_dir()


def read_split(dataset: Dataset, root: Path, *, train: bool, device: torch.device, part: slice = slice(None)) -> Split:
    """Read half of a data set, or the `part` of its images asked for, onto the device; raises DataError."""
    images, labels = dataset.read(root, train=train)
    channels, height, width = dataset.input_size
    expected = dataset.train_images if train else dataset.test_images
    if images.shape != (expected, height, width, channels) or labels.shape != (expected,):
        raise DataError(
            f"{dataset.name}: read images {images.shape} and labels {labels.shape}, expected "
            f"{(expected, height, width, channels)} and {(expected,)}; {root} holds another data set"
        )
    return Split(torch.from_numpy(images[part].copy()).to(device), torch.from_numpy(labels[part].copy()).to(device))


def read_splits(dataset: Dataset, recipe: Recipe, root: Path, *, device: torch.device, train_images: int) -> Splits:
    """Read a data set for a recipe: the first `train_images` of those that it doesn't hold out; raises DataError."""
    last = dataset.train_images - recipe.val_images
    return Splits(
        train=read_split(dataset, root, train=True, device=device, part=slice(min(train_images, last))),
        val=read_split(dataset, root, train=True, device=device, part=slice(last, None)) if recipe.val_images else None,
        test=read_split(dataset, root, train=False, device=device),
    )


def pixels(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> Pixels:
    """Put a normalisation on the device."""
    return Pixels(torch.tensor(mean, device=device), torch.tensor(std, device=device))


def padded(split: Split, crop_padding: int) -> Split:
    """The split with a border of black pixels, [N, H + 2p, W + 2p, C], to crop from."""
    border = (0, 0, crop_padding, crop_padding, crop_padding, crop_padding)
    return Split(F.pad(split.images, border), split.labels)


def draw(size: int, recipe: Recipe, *, seed: int, epoch: int, device: torch.device) -> Draw:
    """Draw an epoch over `size` images. On the CPU, so that every device trains on the same batches."""
    numbers = random.Random(f"{seed}/{epoch}")
    generator = torch.Generator().manual_seed(numbers.getrandbits(63))
    mixing = draw_mixing(size, recipe, numbers.getrandbits(63)) if mixes(recipe) else None
    offsets = 2 * recipe.crop_padding + 1
    return Draw(
        order=torch.randperm(size, generator=generator).to(device),
        top=torch.randint(offsets, (size,), generator=generator).to(device),
        left=torch.randint(offsets, (size,), generator=generator).to(device),
        flip=(torch.rand(size, generator=generator) < recipe.hflip).to(device),
        mixing=mixing and Mixing(mixing.blend.to(device), mixing.box.to(device), mixing.hole.to(device)),
    )


def redraw(drawn: Draw, recipe: Recipe, *, seed: int, epoch: int) -> None:
    """Draw an epoch into the tensors of another one's."""
    fresh = draw(len(drawn.order), recipe, seed=seed, epoch=epoch, device=torch.device("cpu"))
    for name in ("order", "top", "left", "flip"):
        getattr(drawn, name).copy_(getattr(fresh, name))
    if drawn.mixing and fresh.mixing:
        for name in ("blend", "box", "hole"):
            getattr(drawn.mixing, name).copy_(getattr(fresh.mixing, name))


def batch(source: Split, drawn: Draw, positions: Tensor, crop_padding: int) -> tuple[Tensor, Tensor]:
    """The images at these positions [B] of an epoch, cropped out of a `padded` split and flipped.

    Returns images [B, H, W, C] uint8 and labels [B]. Position i of the epoch has the i-th of each draw.
    """
    index = drawn.order[positions]
    height, width = (source.images.shape[axis] - 2 * crop_padding for axis in (1, 2))
    down = torch.arange(height, device=index.device)
    across = torch.arange(width, device=index.device)
    rows = drawn.top[positions, None] + down
    mirrored = torch.where(drawn.flip[positions, None], width - 1 - across, across)
    columns = drawn.left[positions, None] + mirrored
    images = source.images[index[:, None, None], rows[:, :, None], columns[:, None, :]]
    return images, source.labels[index]
