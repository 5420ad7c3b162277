"""A data set whose pictures were brought to one size before: its facts, and the files that it is read from.

    pictures/SHA256/train-3x64x64+9.npy    images [N, H, W, C]; 9 pixels a side more than 64, to be cropped
    pictures/SHA256/train-labels.npy       [N] int64
    pictures/SHA256/train-3x64x64+9.json   mean and std

SHA256 is that of all pictures (`zoo.spec.Pictures`), so what lies there is never another data set's, and a folder that
has changed is prepared anew. Whoever has no more use for it removes the folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from zoo.errors import DataError
from zoo.record.paths import cache
from zoo.spec import Dataset, InputSize, Pictures, Recipe, Resizing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# The shorter side becomes the model's, and the middle is cut out: nothing is squashed.
CENTER: Final = Resizing(crop_mode="center")

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std, from 0 to 1, a number a channel


@dataclass(frozen=True)
class Prepared:
    """Reads what was prepared: images as a file mapped into memory, and labels."""

    folder: Path
    input_size: InputSize
    margin: int = 0  # of the training half

    def __call__(self, root: Path, *, train: bool) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Return images [N, H, W, C] uint8 and labels [N]; raises DataError where they are not here."""
        import numpy as np

        path = self.images(train=train)
        try:
            return np.load(path, mmap_mode="r"), np.load(self.labels(train=train))
        except (OSError, ValueError):
            raise DataError(f"{path} is not there or damaged; name the pictures again with --dataset") from None

    def is_whole(self, root: Path) -> bool:
        """Whether the test half is here."""
        return self.images(train=False).is_file() and self.labels(train=False).is_file()

    def images(self, *, train: bool) -> Path:
        """The file of a half's images."""
        channels, height, width = self.input_size
        margin = f"+{self.margin}" if train and self.margin else ""
        return self.folder / f"{_half(train=train)}-{channels}x{height}x{width}{margin}.npy"

    def labels(self, *, train: bool) -> Path:
        """The file of a half's labels."""
        return self.folder / f"{_half(train=train)}-labels.npy"


def place(sha256: str) -> Path:
    """Where pictures of that hash are prepared."""
    return cache() / "pictures" / sha256


def margin(recipe: Recipe, size: int) -> int:
    """How many pixels a side a recipe crops from more than it trains on: a seventh, as 256 is to 224."""
    return round(size / 7) if recipe.scale else 0


def dataset(
    pictures: Pictures,
    name: str,
    classes: tuple[str, ...],
    prepared: Prepared,
    normalisation: Normalisation,
) -> Dataset:
    """The data set that was prepared, as facts; its images may be here or not."""
    return Dataset(
        name=name,
        title=pictures.title,
        classes=classes,
        input_size=prepared.input_size,
        mean=normalisation[0],
        std=normalisation[1],
        train_images=pictures.train_images,
        test_images=pictures.test_images,
        is_whole=prepared.is_whole,
        read=prepared,
        license=pictures.license,
        homepage=pictures.homepage,
        pictures=pictures,
        margin=prepared.margin,
        resizing=CENTER,
    )


def recalled(
    pictures: Pictures,
    name: str,
    classes: tuple[str, ...],
    input_size: InputSize,
    normalisation: Normalisation,
    margin: int,
) -> Dataset:
    """The data set that a model was trained on, as its folder has it; its images where this machine prepared them."""
    return dataset(pictures, name, classes, Prepared(place(pictures.sha256), input_size, margin), normalisation)


def _half(*, train: bool) -> str:
    return "train" if train else "test"
