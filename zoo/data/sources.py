"""A data set read onto the device: uint8 images and labels, as one tensor each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

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


def default_root() -> Path:
    """The folder that data sets are read from and downloaded to, where none is named."""
    return Path(os.environ.get("ZOO_DATA") or Path.home() / ".cache" / "zoo" / "data").expanduser()


def is_there(dataset: Dataset, root: Path) -> bool:
    """Whether a data set can be read without downloading it."""
    if dataset.folder is None:
        return True
    return (root / dataset.folder).is_dir() and (dataset.is_whole is None or dataset.is_whole(root))


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
