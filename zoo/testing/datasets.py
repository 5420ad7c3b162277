"""The check of a dataset: the images that it reads against its declaration."""

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
CLOSE = 0.005  # tolerance of mean and std, for pixels from 0 to 1


def check_dataset(dataset: Dataset, root: Path) -> None:
    """Read the training set and the test set of a dataset, and compare them with its declaration.

    Checks that

    - types, shapes, counts and labels are as declared, and both sets have images of every class;
    - the training set is the same when it is read again;
    - at most 1% of the test images are in the training set;
    - `mean` and `std` are those of the training set;
    - the dataset is then reported as complete, so that nothing is downloaded again.

    Args:
        dataset: The dataset.
        root: The data folder; the dataset is downloaded there if it can be.

    Raises:
        AssertionError: A check failed.

    Examples:
        >>> from pathlib import Path
        >>> from zoo.plugin import DIGITS
        >>> from zoo.testing import check_dataset
        >>> check_dataset(DIGITS, Path("data"))
    """
    train, test = _read(dataset, root, train=True), _read(dataset, root, train=False)
    for name, split in (("training", train), ("test", test)):
        missing = set(range(len(dataset.classes))) - set(split.labels.tolist())
        classes = ", ".join(dataset.classes[label] for label in sorted(missing)[:3])
        require(not missing, f"{dataset.name}: the {name} set has no image of {classes}")
    again = _read(dataset, root, train=True)
    same = torch.equal(train.images, again.images) and torch.equal(train.labels, again.labels)
    require(same, f"{dataset.name}: the training set differs when it is read again")
    shared = _hashes(train) & _hashes(test)
    require(
        len(shared) <= len(test) // 100,
        f"{dataset.name}: {len(shared)} of {len(test)} test images are in the training set too",
    )
    _check_normalisation(dataset, train)
    require(
        sources.is_there(dataset, root),
        f"{dataset.name}: it was read, but its folder or is_whole says that it is missing",
    )


def _read(dataset: Dataset, root: Path, *, train: bool) -> Split:
    try:
        return sources.read_split(dataset, root, train=train, device=CPU)
    except ZooError as error:
        raise AssertionError(str(error)) from error


def _hashes(split: Split) -> set[int]:
    return {hash(image.tobytes()) for image in split.images.numpy()}


def _check_normalisation(dataset: Dataset, train: Split) -> None:
    for name, measured in zip(("mean", "std"), normalisation_of(train.images.numpy()), strict=True):
        declared = getattr(dataset, name)
        is_close = all(abs(a - b) <= CLOSE for a, b in zip(measured, declared, strict=True))
        require(is_close, f"{dataset.name}: {name} is {declared}, expected {measured}, that of the training set")
