"""The check of a dataset: what its reader gives against what it declares."""

from __future__ import annotations

from pathlib import Path

import torch

from zoo.data import sources
from zoo.data.prepared import normalisation_of
from zoo.data.sources import Split
from zoo.errors import ZooError
from zoo.spec import Dataset
from zoo.testing.require import require

CPU = torch.device("cpu")
CLOSE = 0.005  # of a mean or std, on the scale 0 to 1


def check_dataset(dataset: Dataset, root: Path) -> None:
    """Read both halves of the dataset in `root` and compare them with what it declares.

    Types, shapes, counts and labels; images of every class in both halves; the same images when they are read
    again; no test image among those that are trained on; `mean` and `std` those of the training set; nothing left
    to download afterwards. Raises AssertionError.

    Example:
        >>> from pathlib import Path
        >>> from zoo.plugin import DIGITS
        >>> from zoo.testing import check_dataset
        >>> check_dataset(DIGITS, Path("data"))
    """
    train, test = _read(dataset, root, train=True), _read(dataset, root, train=False)
    for half, split in (("training", train), ("test", test)):
        absent = set(range(len(dataset.classes))) - set(split.labels.tolist())
        names = ", ".join(dataset.classes[label] for label in sorted(absent)[:3])
        require(not absent, f"{dataset.name}: the {half} set has no image of {names}")
    again = _read(dataset, root, train=True)
    same = torch.equal(train.images, again.images) and torch.equal(train.labels, again.labels)
    require(same, f"{dataset.name}: read twice, the training set is another")
    both = _hashes(train) & _hashes(test)
    require(len(both) <= len(test) // 100, f"{dataset.name}: {len(both)} of {len(test)} test images are trained on too")
    _check_normalisation(dataset, train)
    require(
        sources.is_there(dataset, root), f"{dataset.name}: it was read, and its folder or is_whole says it isn't there"
    )


def _read(dataset: Dataset, root: Path, *, train: bool) -> Split:
    try:
        return sources.read_split(dataset, root, train=train, device=CPU)
    except ZooError as error:
        raise AssertionError(str(error)) from error


def _hashes(split: Split) -> set[int]:
    return {hash(image.tobytes()) for image in split.images.numpy()}


def _check_normalisation(dataset: Dataset, train: Split) -> None:
    for name, rounded in zip(("mean", "std"), normalisation_of(train.images.numpy()), strict=True):
        declared = getattr(dataset, name)
        close = all(abs(value - stated) <= CLOSE for value, stated in zip(rounded, declared, strict=True))
        require(
            close,
            f"{dataset.name}: {name} is {declared}, that of the training set is {rounded}; write {name}={rounded}",
        )
