"""From an address to a data set: images opened, surveyed, and brought to one size, once, in files of the cache.

    pictures/SHA256/train-3x64x64+9.npy    images [N, H, W, C]; 9 pixels a side more than 64, to be cropped
    pictures/SHA256/train-labels.npy       [N] int64
    pictures/SHA256/train-3x64x64+9.json   mean and std

SHA256 is that of all images (`zoo.spec.Pictures`), so what lies there is never another data set's, and a folder that
has changed is prepared anew. Whoever has no more use for it removes the folder.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from zoo.data.collection import DatasetRequest, open_collection
from zoo.data.images import decode
from zoo.data.survey import Seen, Survey, Tell, in_parallel, require_usable, survey
from zoo.errors import DataError, DataWarning, ImageError
from zoo.record.paths import cache
from zoo.record.replace import file_written_aside
from zoo.record.types import Record, Trained
from zoo.spec import FEW, Dataset, InputSize, Pictures, Recipe, Resizing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torchvision.transforms import v2

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
            raise DataError(
                f"{path} is not there or damaged; name the address of the pictures again as dataset"
            ) from None

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


CHUNK = 256  # images that are counted at a time


def prepare(found: Survey, size: int, margin: int, tell: Tell) -> Dataset:
    """Bring all pictures to `size` pixels a side, those to train on to `margin` more; what is there is taken.

    Raises DataError where a picture is not the one any more that was looked at, or there is no room.
    """
    input_size = (found.channels, size, size)
    prepared = Prepared(place(found.pictures.sha256), input_size, margin)
    _halve(found, prepared, found.train, tell, train=True)
    _halve(found, prepared, found.test, tell, train=False)
    mean, std = _normalisation(prepared)
    return dataset(found.pictures, found.collection.name, found.collection.classes, prepared, (mean, std))


def _halve(found: Survey, prepared: Prepared, seen: Sequence[Seen], tell: Tell, *, train: bool) -> None:
    """Write a half, if it is not there."""
    import numpy as np

    from zoo.data.preprocessing import to_pixels

    target, channels = prepared.images(train=train), prepared.input_size[0]
    if target.is_file() and prepared.labels(train=train).is_file():
        return
    side = prepared.input_size[1] + (prepared.margin if train else 0)
    shape, what = (len(seen), side, side, channels), "preparing train" if train else "preparing test"
    pixels = to_pixels((channels, side, side), CENTER)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with file_written_aside(prepared.labels(train=train)) as file:
            np.save(file, np.array([one.label for one in seen], dtype=np.int64))
        with file_written_aside(target) as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for done, content in enumerate(in_parallel(lambda one: _pixels(found, one, pixels), list(seen)), 1):
                file.write(content)
                tell(what, done, len(seen))
    except OSError as error:
        raise DataError(f"{target} can't be written ({error.strerror}); make room, or name another ZOO_CACHE") from None


def _pixels(found: Survey, one: Seen, pixels: v2.Compose) -> bytes:
    """A picture's pixels, [H, W, C] uint8."""
    half = found.collection.test if one.half == "test" else found.collection.train
    assert half is not None
    try:
        content = half.read(one.index)
        if hashlib.sha256(content).hexdigest() != one.sha256:
            raise DataError(f"{one.name} is another picture than a moment ago; let nobody write there, and try again")
        image = pixels(decode(content, one.name))
    except OSError as error:
        raise DataError(f"{one.name} can't be read ({error.strerror or error}); let it be read") from None
    except ImageError as error:
        raise DataError(f"{error}; leave it out of the data set") from None
    made: bytes = image.permute(1, 2, 0).contiguous().numpy().tobytes()
    return made


def _normalisation(prepared: Prepared) -> Normalisation:
    """Mean and std of the training images, from 0 to 1, a number a channel; kept beside them."""
    import numpy as np

    kept = prepared.images(train=True).with_suffix(".json")
    try:
        facts = json.loads(kept.read_text())
        return tuple(facts["mean"]), tuple(facts["std"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    images, _ = prepared(Path(), train=True)
    channels = prepared.input_size[0]
    counts = np.zeros((channels, 256), dtype=np.int64)
    for start in range(0, len(images), CHUNK):
        values = images[start : start + CHUNK].reshape(-1, channels)
        for channel in range(channels):
            counts[channel] += np.bincount(values[:, channel], minlength=256)
    levels, total = np.arange(256) / 255, counts[0].sum()
    mean = (counts * levels).sum(1) / total
    std = np.sqrt(np.maximum((counts * levels**2).sum(1) / total - mean**2, 0))
    # Of pictures of one colour nothing is left to be divided by.
    rounded = [[round(float(one), 4) for one in values] for values in (mean, np.maximum(std, 1e-3))]
    kept.write_text(json.dumps({"mean": rounded[0], "std": rounded[1]}))
    return tuple(rounded[0]), tuple(rounded[1])


LARGEST = 256  # pixels a side that pictures are left at where all of them have it
USUAL = 64  # pixels a side where nobody says any and pictures differ


def survey_address(asked: DatasetRequest, root: Path, tell: Tell) -> Survey:
    """What is at an address, whether it can be trained on or not; raises DataError, PluginError."""
    return survey(open_collection(asked.address, root), asked, tell)


def open_dataset(asked: DatasetRequest, recipe: Recipe, root: Path, tell: Tell, *, size: int | None = None) -> Dataset:
    """The data set at an address for a recipe, its pictures brought to that one's size.

    That is the recipe's `img_size`, else `size`, that of the weights to start from, else the pictures' own where all
    are squares of one size up to 256, else 64. Raises DataError for what can't be trained on, PluginError.
    """
    found = survey_address(asked, root, tell)
    require_usable(found, asked)
    if few := found.few:
        more = f" and {len(few) - 1} more" if len(few) > 1 else ""
        warnings.warn(
            DataWarning(
                f"{asked.address} has fewer than {FEW} test pictures of {few[0]}{more}: "
                "what is measured on so few says little"
            ),
            stacklevel=2,
        )
    side = recipe.img_size or size or _own_size(found) or USUAL
    return prepare(found, side, margin(recipe, side), tell)


def prepare_again(asked: DatasetRequest, config: Record, root: Path, tell: Tell) -> None:
    """Prepare the pictures that a model was trained on, of which its folder has only the hash, from where they are.

    Raises DataError where others are there.
    """
    if not isinstance(config, Trained) or config.pictures is None:
        raise DataError(f"{config.name} was trained on the data set {config.dataset}; leave out {asked.address}")
    wanted = config.pictures
    part = asked.test_part if asked.test_part is not None else wanted.test_part
    asked = DatasetRequest(asked.address, part, skip_bad=asked.skip_bad or wanted.skipped > 0)
    found = survey_address(asked, root, tell)
    if found.pictures.sha256 != wanted.sha256:
        raise DataError(
            f"{asked.address} has other pictures than {config.name} was trained on: their SHA-256 is "
            f"{found.pictures.sha256[:12]}…, expected {wanted.sha256[:12]}…; name the folder as it was then"
        )
    side = config.input_size[1]
    prepare(found, side, margin(config.job.recipe, side), tell)


def _own_size(found: Survey) -> int | None:
    size = found.common_size
    return size[0] if size is not None and size[0] == size[1] <= LARGEST else None
