"""Datasets in memory: uint8 images and labels, a tensor each, on the device where they fit."""

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

AT_ONCE = 500  # images that are copied at a time, or a batch of an evaluation


@dataclass(frozen=True)
class Split:
    """Half of a dataset: images [N, H, W, C] uint8 and labels [N] int64, on one device where they fit."""

    images: Tensor
    labels: Tensor
    is_mapped: bool = False  # the images are a file, mapped into memory on the processor, and not on the device
    margin: int = 0  # pixels that the images are larger by than what a net sees, to be cropped

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of what a net sees."""
        return self.images.shape[1] - self.margin, self.images.shape[2] - self.margin

    def __len__(self) -> int:
        return len(self.labels)

    def uncropped(self) -> Split:
        """The images without augmentation: the middle of each, without its margin."""
        (height, width), before = self.sides, self.margin // 2
        images = self.images[:, before : before + height, before : before + width]
        return Split(images, self.labels, is_mapped=self.is_mapped)


def parts(images: Tensor) -> tuple[Tensor, ...]:
    """Images [N, H, W, C] in the batches of an evaluation: 500, or fewer if they are larger than 64².

    The batches depend on nothing else, so that a result can be repeated to the last digit.
    """
    height, width = images.shape[1:3]
    return torch.split(images, max(1, min(AT_ONCE, AT_ONCE * 64**2 // (height * width))))


@dataclass(frozen=True)
class Splits:
    """The images that a run trains on, those that it may choose by, and those that it is evaluated on."""

    train: Split
    val: Split | None  # the last images of the training set, where the recipe holds them out
    test: Split


def is_there(dataset: Dataset, root: Path) -> bool:
    """Whether a dataset can be read without downloading it."""
    if dataset.folder is not None and not (root / dataset.folder).is_dir():
        return False
    return dataset.is_whole is None or dataset.is_whole(root)


def read_split(
    dataset: Dataset,
    root: Path,
    *,
    train: bool,
    device: torch.device,
    part: slice = slice(None),
    border: int = 0,
) -> Split:
    """Read half of a dataset.

    Args:
        dataset: The dataset.
        root: The folder of datasets.
        train: The training half, else the test half.
        device: Where the images go, unless they do not fit there: then they stay a file that is mapped into memory.
        part: Which of the images.
        border: Black pixels around each image on the device, to be cropped from.

    Raises:
        DataError: The data is missing, or the reader gives something else than the dataset declares.
    """
    import numpy as np

    margin = dataset.margin if train else 0
    images, labels = _read(dataset, root, train=train)
    wanted, classes = images[part], torch.from_numpy(labels[part].copy()).to(device)
    count, height, width, channels = wanted.shape
    shape = (count, height + 2 * border, width + 2 * border, channels)
    if isinstance(images, np.memmap) and math.prod(shape) > allowed(device):
        return Split(_mapped(wanted), classes, is_mapped=True, margin=margin)
    return Split(_held(wanted, shape, border, device), classes, margin=margin + 2 * border)


def allowed(device: torch.device) -> int:
    """The bytes of images that may be held on a device: ZOO_DATA_MEMORY, else a third of its free memory.

    On the CPU at most a third of what this process may still allocate. Raises DataError.
    """
    if limit := os.environ.get("ZOO_DATA_MEMORY"):
        if not limit.isdecimal():
            raise DataError(f"ZOO_DATA_MEMORY should be a number of bytes, not {limit!r}")
        return int(limit)
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) // 3
    return min(_available(), _left()) // 3


def _available() -> int:
    """The bytes of free memory."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return sys.maxsize
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), sys.maxsize)


def _left() -> int:
    """The bytes that this process may still allocate."""
    try:
        import resource

        status = Path("/proc/self/status").read_text().splitlines()
    except (ImportError, OSError):
        return sys.maxsize
    limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
    used = next((1024 * int(line.split()[1]) for line in status if line.startswith("VmData:")), 0)
    return sys.maxsize if limit == resource.RLIM_INFINITY else max(0, limit - used)


def _held(images: npt.NDArray[np.uint8], shape: tuple[int, ...], border: int, device: torch.device) -> Tensor:
    """The images on the device, with their border; copied a part at a time, so that memory holds them once."""
    held = torch.zeros(shape, dtype=torch.uint8, device=device)
    inside = held[:, border : shape[1] - border, border : shape[2] - border]
    for start in range(0, len(images), AT_ONCE):
        inside[start : start + AT_ONCE] = torch.from_numpy(images[start : start + AT_ONCE].copy()).to(device)
    return held


def _mapped(images: npt.NDArray[np.uint8]) -> Tensor:
    """Return the mapped file as a tensor; it must not be written to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(images)


def _read(dataset: Dataset, root: Path, *, train: bool) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The images and labels of the reader of a dataset; raises DataError if they are not as it declares."""
    reader = f"dataset {dataset.name}: its reader, of {registry.origin(dataset.read)},"
    try:
        arrays = dataset.read(root, train=train)
    except ZooError:
        raise
    except (Exception, SystemExit) as error:  # a plugin may fail in any way
        reason = f"({' '.join(f'{type(error).__name__}: {error}'.split())}){plugins.location(error)}"
        raise DataError(f"{reader} fails on {root} {reason}; mend it, or put there what it reads") from error
    try:
        images, labels = arrays
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
    margin = dataset.margin if train else 0
    height, width = height + margin, width + margin
    if shapes != ((expected, height, width, channels), (expected,)):
        or_another = f", or is another dataset in {root}?" if dataset.folder else ""
        count = "train_images" if train else "test_images"
        raise DataError(
            f"{reader} gives images {shapes[0]} and labels {shapes[1]}, expected {(expected, height, width, channels)} "
            f"and {(expected,)} by its input_size and {count}; mend whichever is wrong{or_another}"
        )
    lowest, highest, last = int(labels.min()), int(labels.max()), len(dataset.classes) - 1
    if lowest < 0 or highest > last:
        raise DataError(f"{reader} gives labels from {lowest} to {highest}, its classes are 0 to {last}; mend it")
    return images, labels


def read_splits(
    dataset: Dataset,
    recipe: Recipe,
    root: Path,
    *,
    device: torch.device,
    train_images: int,
    test_images: int | None = None,
) -> Splits:
    """Read a dataset for a recipe: the first `train_images` of those that it doesn't hold out; raises DataError.

    Of the test set all images, or the first `test_images`.
    """
    last = dataset.train_images - recipe.val_images
    border = 0 if augments(recipe) else recipe.crop_padding  # what is changed in batches gets its border there
    return Splits(
        train=read_split(dataset, root, train=True, device=device, part=slice(min(train_images, last)), border=border),
        val=(
            read_split(dataset, root, train=True, device=device, part=slice(last, None)).uncropped()
            if recipe.val_images
            else None
        ),
        test=read_split(dataset, root, train=False, device=device, part=slice(test_images)),
    )
