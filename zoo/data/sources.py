"""Datasets in memory: a tensor of uint8 images and a tensor of labels, on the device if they fit."""

from __future__ import annotations

import math
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo import plugins, registry
from zoo.data.augmentation import augments
from zoo.errors import DataError, ZooError
from zoo.spec import Dataset, Recipe

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

AT_ONCE = 500  # images that are copied at a time, or in a batch of an evaluation


@dataclass(frozen=True)
class Split:
    """A part of a dataset: images [N, H, W, C] uint8 and labels [N] int64."""

    images: Tensor  # on the device of the labels; on the CPU if `is_mapped`
    labels: Tensor
    is_mapped: bool = False  # the images are a memory-mapped file
    margin: int = 0  # pixels by which the images are larger than the input of the net, for random crops

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the input of the net."""
        return self.images.shape[1] - self.margin, self.images.shape[2] - self.margin

    def __len__(self) -> int:
        return len(self.labels)

    def uncropped(self) -> Split:
        """The images without augmentation: the center of each, without its margin."""
        (height, width), before = self.sides, self.margin // 2
        images = self.images[:, before : before + height, before : before + width]
        return Split(images, self.labels, is_mapped=self.is_mapped)


def parts(images: Tensor) -> tuple[Tensor, ...]:
    """Split images [N, H, W, C] into the batches of an evaluation: 500, or fewer if they are larger than 64².

    The batch size depends on the size of the images alone, so that results are repeated bit for bit.
    """
    height, width = images.shape[1:3]
    return torch.split(images, max(1, min(AT_ONCE, AT_ONCE * 64**2 // (height * width))))


@dataclass(frozen=True)
class Splits:
    """The images of a training."""

    train: Split
    val: Split | None  # the last training images, if the recipe holds some out
    test: Split


def is_there(dataset: Dataset, root: Path) -> bool:
    """Whether a dataset can be read without downloading it."""
    if dataset.folder is not None and not (root / dataset.folder).is_dir():
        return False
    return dataset.is_whole is None or dataset.is_whole(root)


def read_splits(
    dataset: Dataset,
    recipe: Recipe,
    root: Path,
    *,
    device: torch.device,
    train_images: int,
    test_images: int | None = None,
) -> Splits:
    """Read a dataset for a training.

    Args:
        dataset: The dataset.
        recipe: Its `val_images` are held out; its `crop_padding` is added as a border to images on the device.
        root: The folder of datasets.
        device: The device for the images.
        train_images: The number of training images, the first of those that are not held out.
        test_images: The number of test images, from the first; all by default.

    Raises:
        DataError: The data is missing, or the reader returns something else than the dataset declares.
    """
    last = dataset.train_images - recipe.val_images
    border = 0 if augments(recipe) else recipe.crop_padding  # augmented batches get their border in a buffer
    return Splits(
        train=read_split(dataset, root, train=True, device=device, part=slice(min(train_images, last)), border=border),
        val=(
            read_split(dataset, root, train=True, device=device, part=slice(last, None)).uncropped()
            if recipe.val_images
            else None
        ),
        test=read_split(dataset, root, train=False, device=device, part=slice(test_images)),
    )


def read_split(
    dataset: Dataset,
    root: Path,
    *,
    train: bool,
    device: torch.device,
    part: slice = slice(None),
    border: int = 0,
) -> Split:
    """Read the training or the test images of a dataset.

    Args:
        dataset: The dataset.
        root: The folder of datasets.
        train: Whether to read the training images, else the test images.
        device: The device for the images. Images that don't fit there stay in their memory-mapped file.
        part: Which images to read.
        border: Black pixels around each image on the device, for random crops.

    Raises:
        DataError: The data is missing, or the reader returns something else than the dataset declares.
    """
    import numpy as np

    margin = dataset.margin if train else 0
    images, labels = _read(dataset, root, train=train)
    wanted, classes = images[part], torch.from_numpy(labels[part].copy()).to(device)
    count, height, width, channels = wanted.shape
    shape = (count, height + 2 * border, width + 2 * border, channels)
    if isinstance(images, np.memmap) and math.prod(shape) > _memory_limit(device):
        return Split(as_mapped_tensor(wanted), classes, is_mapped=True, margin=margin)
    on_device = torch.zeros(shape, dtype=torch.uint8, device=device)
    inside = on_device[:, border : shape[1] - border, border : shape[2] - border]
    for start in range(0, count, AT_ONCE):  # a part at a time, so that no second copy is in memory
        inside[start : start + AT_ONCE] = torch.from_numpy(wanted[start : start + AT_ONCE].copy()).to(device)
    return Split(on_device, classes, margin=margin + 2 * border)


def as_mapped_tensor(images: npt.NDArray[np.uint8]) -> Tensor:
    """A memory-mapped file as a tensor, which must not be written to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(images)


def _memory_limit(device: torch.device) -> int:
    """The bytes of images that a device may hold: ZOO_DATA_MEMORY, else a third of its free memory.

    The free memory of a CPU is at most what this process may still allocate. Raises DataError.
    """
    if limit := os.environ.get("ZOO_DATA_MEMORY"):
        if not limit.isdecimal():
            raise DataError(f"ZOO_DATA_MEMORY should be a number of bytes, not {limit!r}")
        return int(limit)
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) // 3
    free = _kilobytes("/proc/meminfo", "MemAvailable")
    limits = [sys.maxsize if free is None else 1024 * free]
    try:
        import resource
    except ImportError:  # Windows has none
        return limits[0] // 3
    allowed, used = resource.getrlimit(resource.RLIMIT_DATA)[0], _kilobytes("/proc/self/status", "VmData")
    if allowed != resource.RLIM_INFINITY and used is not None:
        limits.append(max(0, allowed - 1024 * used))
    return min(limits) // 3


def _kilobytes(path: str, field: str) -> int | None:
    """A field of a file of Linux's /proc; None if there is none."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), None)


def _read(dataset: Dataset, root: Path, *, train: bool) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Call the reader of a dataset, and compare what it returns with the declaration; raises DataError."""
    reader = f"dataset {dataset.name}: the reader of {registry.origin(dataset.read)}"
    try:
        arrays = dataset.read(root, train=train)
    except ZooError:
        raise
    except (Exception, SystemExit) as error:  # a plugin may fail in any way
        reason = f"({' '.join(f'{type(error).__name__}: {error}'.split())}){plugins.location(error)}"
        raise DataError(f"{reader} fails on {root} {reason}; check the files there") from error
    try:
        images, labels = arrays
        dtypes, shapes = (str(images.dtype), str(labels.dtype)), (images.shape, labels.shape)
    except (TypeError, ValueError, AttributeError):
        raise DataError(f"{reader} should return two arrays, images and labels") from None
    if dtypes != ("uint8", "int64"):
        raise DataError(
            f"{reader} should return images as uint8 (0 to 255) and labels as int64, not {dtypes[0]} and {dtypes[1]}"
        )
    channels, height, width = dataset.input_size
    margin = dataset.margin if train else 0
    count = dataset.train_images if train else dataset.test_images
    expected = ((count, height + margin, width + margin, channels), (count,))
    if shapes != expected:
        field = "train_images" if train else "test_images"
        or_folder = f", or the files in {root}" if dataset.folder else ""
        raise DataError(
            f"{reader} returns images {shapes[0]} and labels {shapes[1]}, expected {expected[0]} and {expected[1]} "
            f"by its input_size and {field}; correct these numbers, the reader{or_folder}"
        )
    lowest, highest, last = int(labels.min()), int(labels.max()), len(dataset.classes) - 1
    if lowest < 0 or highest > last:
        raise DataError(f"{reader} returns labels from {lowest} to {highest}, expected 0 to {last} by its classes")
    return images, labels
