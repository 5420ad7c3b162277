"""A data set read onto the device: uint8 images and labels, as one tensor each."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo import registry
from zoo.errors import DataError, ZooError
from zoo.spec import Dataset, Recipe

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


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
    images, labels = _read(dataset, root, train=train)
    return Split(torch.from_numpy(images[part].copy()).to(device), torch.from_numpy(labels[part].copy()).to(device))


def _read(dataset: Dataset, root: Path, *, train: bool) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """What the data set's reader gives, if that is what the data set's facts say; raises DataError."""
    reader = f"data set {dataset.name}: its reader, of {registry.whose(dataset.read)},"
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found = dataset.read(root, train=train)
    except ZooError:
        raise
    except (Exception, SystemExit) as error:  # a plugin may fail in any way
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(f"{reader} fails on {root} ({reason}); mend it, or put there what it reads") from error
    try:
        images, labels = found
        kinds, shapes = (str(images.dtype), str(labels.dtype)), (images.shape, labels.shape)
    except (TypeError, ValueError, AttributeError):
        raise DataError(f"{reader} should give two arrays, images and labels; mend it") from None
    channels, height, width = dataset.input_size
    expected = dataset.train_images if train else dataset.test_images
    if kinds != ("uint8", "int64"):
        raise DataError(
            f"{reader} gives images as {kinds[0]} and labels as {kinds[1]}, expected uint8, 0 to 255, and int64; "
            "mend it"
        )
    if shapes != ((expected, height, width, channels), (expected,)):
        elsewhere = f", or is another data set in {root}?" if dataset.folder else ""
        count = "train_images" if train else "test_images"
        raise DataError(
            f"{reader} gives images {shapes[0]} and labels {shapes[1]}, expected {(expected, height, width, channels)} "
            f"and {(expected,)} by its input_size and {count}; mend whichever is wrong{elsewhere}"
        )
    lowest, highest, last = int(labels.min()), int(labels.max()), len(dataset.classes) - 1
    if lowest < 0 or highest > last:
        raise DataError(f"{reader} gives labels from {lowest} to {highest}, its classes are 0 to {last}; mend it")
    return images, labels


def read_splits(dataset: Dataset, recipe: Recipe, root: Path, *, device: torch.device, train_images: int) -> Splits:
    """Read a data set for a recipe: the first `train_images` of those that it doesn't hold out; raises DataError."""
    last = dataset.train_images - recipe.val_images
    return Splits(
        train=read_split(dataset, root, train=True, device=device, part=slice(min(train_images, last))),
        val=read_split(dataset, root, train=True, device=device, part=slice(last, None)) if recipe.val_images else None,
        test=read_split(dataset, root, train=False, device=device),
    )
