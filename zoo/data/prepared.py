"""From an address to a dataset: open images, survey them, and bring them to one size, once, in files of the cache.

    images/SHA256/train-3x64x64+9.npy    images [N, H, W, C]; 9 pixels a side larger than 64, to be cropped
    images/SHA256/train-labels.npy       [N] int64
    images/SHA256/train-3x64x64+9.json   checksum of the two files above, mean and standard deviation of the images

SHA256 is the hash of all images (`zoo.spec.Pictures`), so a folder that has changed is prepared anew, and so is a file
that is cut off or damaged: its checksum is computed whenever it is used, at over 2 GB/s. The folders can be removed.
"""

from __future__ import annotations

import hashlib
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from zoo.data.collection import DatasetRequest, open_collection
from zoo.data.images import decode
from zoo.data.survey import Seen, Survey, Tell, cache_failed, in_parallel, require_usable, survey
from zoo.errors import DataError, DataWarning, ImageError
from zoo.record.paths import cache
from zoo.record.replace import file_written_aside, write_file
from zoo.record.types import Record, Trained
from zoo.spec import FEW, Dataset, InputSize, Pictures, Recipe, Resizing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torchvision.transforms import v2

# The shorter side becomes the model's, and the middle is cut out: nothing is squashed.
CENTER: Final = Resizing(crop_mode="center")

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std of each channel, on the scale 0 to 1


class Contents(msgspec.Struct, frozen=True):
    """The contents of a prepared half."""

    crc32: int  # of the file of images and then that of labels
    mean: tuple[float, ...]  # of each channel, on the scale 0 to 1
    std: tuple[float, ...]


@dataclass(frozen=True)
class Prepared:
    """The files of a prepared dataset, and the reader of it: images mapped into memory, and labels."""

    sha256: str  # of all images
    input_size: InputSize
    margin: int = 0  # pixels a side by which training images are larger
    is_checked: bool = False  # whether the checksums were compared already

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        return cache() / "images" / self.sha256

    def __call__(self, root: Path, *, train: bool) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Return images [N, H, W, C] uint8 and labels [N]; raises DataError if they are missing or damaged."""
        import numpy as np

        path = self.images(train=train)
        if self.is_checked or self.contents(train=train) is not None:
            try:
                return np.load(path, mmap_mode="r"), np.load(self.labels(train=train))
            except (OSError, ValueError, EOFError):
                pass
        raise DataError(f"{path} is not there or damaged; name the address of the images as dataset")

    def is_whole(self, root: Path) -> bool:
        """Whether the files of the test half are there, damaged or not."""
        try:
            return self.images(train=False).is_file() and self.labels(train=False).is_file()
        except OSError:
            return False

    def images(self, *, train: bool) -> Path:
        """The file of a half's images."""
        channels, height, width = self.input_size
        margin = f"+{self.margin}" if train and self.margin else ""
        return self.folder / f"{_half(train=train)}-{channels}x{height}x{width}{margin}.npy"

    def labels(self, *, train: bool) -> Path:
        """The file of a half's labels."""
        return self.folder / f"{_half(train=train)}-labels.npy"

    def contents(self, *, train: bool) -> Contents | None:
        """The contents of a half; None if it is missing or damaged."""
        try:
            content = self.images(train=train).with_suffix(".json").read_bytes()
            contents = msgspec.json.decode(content, type=Contents)
            return contents if contents.crc32 == self.crc32(train=train) else None
        except (OSError, ValueError):
            return None

    def crc32(self, *, train: bool) -> int:
        """The checksum of a half's files; raises OSError."""
        crc32 = 0
        for path in (self.images(train=train), self.labels(train=train)):
            with path.open("rb") as file:
                while block := file.read(2**22):
                    crc32 = zlib.crc32(block, crc32)
        return crc32


def margin(recipe: Recipe, size: int) -> int:
    """The pixels a side by which images are prepared larger for random crops: a seventh, as 256 is to 224."""
    return round(size / 7) if recipe.scale else 0


def prepared_dataset(
    pictures: Pictures,
    name: str,
    classes: tuple[str, ...],
    prepared: Prepared,
    normalisation: Normalisation,
) -> Dataset:
    """Describe the dataset of prepared images, of which the files may be missing.

    Args:
        images: The summary of the images.
        name: The name of the dataset.
        classes: The names of the classes.
        prepared: The files.
        normalisation: Mean and standard deviation of each channel.
    """
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
        hub_id=pictures.hub_id,
        pictures=pictures,
        margin=prepared.margin,
        resizing=CENTER,
    )


def _half(*, train: bool) -> str:
    return "train" if train else "test"


CHUNK = 256  # images that are counted at a time


def prepare(survey: Survey, size: int, margin: int, tell: Tell) -> Dataset:
    """Bring all images to `size` pixels a side; a half that is prepared already is left as it is.

    Args:
        survey: The images.
        size: Height and width.
        margin: By how many pixels a side the training images are larger.
        tell: Is told the progress.

    Raises:
        DataError: An image has changed since the survey, or the cache can't be written.
    """
    input_size = (survey.channels, size, size)
    prepared = Prepared(survey.pictures.sha256, input_size, margin)
    train = _prepare_half(survey, prepared, survey.train, tell, train=True)
    _prepare_half(survey, prepared, survey.test, tell, train=False)
    collection = survey.collection
    checked = replace(prepared, is_checked=True)
    return prepared_dataset(survey.pictures, collection.name, collection.classes, checked, (train.mean, train.std))


def _prepare_half(survey: Survey, prepared: Prepared, pictures: Sequence[Seen], tell: Tell, *, train: bool) -> Contents:
    """Write the files of a half, unless they are there and sound."""
    import numpy as np

    from zoo.data.preprocessing import to_pixels

    if (contents := prepared.contents(train=train)) is not None:
        return contents
    target, channels = prepared.images(train=train), prepared.input_size[0]
    side = prepared.input_size[1] + (prepared.margin if train else 0)
    shape = (len(pictures), side, side, channels)
    pixels = to_pixels((channels, side, side), CENTER)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with file_written_aside(prepared.labels(train=train)) as file:
            np.save(file, np.array([picture.label for picture in pictures], dtype=np.int64))
        with file_written_aside(target) as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for done, content in enumerate(in_parallel(lambda item: _pixels(survey, item, pixels), pictures), 1):
                file.write(content)
                tell(f"preparing {_half(train=train)}", done, len(pictures))
        mean, std = normalisation_of(np.load(target, mmap_mode="r"))
        contents = Contents(prepared.crc32(train=train), mean, std)
        write_file(target.with_suffix(".json"), msgspec.json.encode(contents))
        return contents
    except OSError as error:
        raise cache_failed(target, error) from None


def _pixels(survey: Survey, seen: Seen, pixels: v2.Compose) -> bytes:
    """The pixels of an image, [H, W, C] uint8."""
    half = survey.collection.test if seen.half == "test" else survey.collection.train
    assert half is not None
    try:
        content = half.read(seen.index)
        if hashlib.sha256(content).hexdigest() != seen.sha256:
            raise DataError(f"{seen.name} has changed since it was looked at; try again when nobody writes there")
        image = pixels(decode(content, seen.name))
    except OSError as error:
        raise DataError(f"{seen.name} can't be read ({error.strerror or error}); make it readable") from None
    except ImageError as error:
        raise DataError(f"{error}; leave it out of the dataset") from None
    content_of_image: bytes = image.permute(1, 2, 0).contiguous().numpy().tobytes()
    return content_of_image


def normalisation_of(images: npt.NDArray[np.uint8]) -> Normalisation:
    """Mean and standard deviation of each channel of images [N, H, W, C], to four digits; never below 0.001."""
    import numpy as np

    channels = images.shape[3]
    counts = np.zeros((channels, 256), dtype=np.int64)
    for start in range(0, len(images), CHUNK):
        values = images[start : start + CHUNK].reshape(-1, channels)
        for channel in range(channels):
            counts[channel] += np.bincount(values[:, channel], minlength=256)
    levels, total = np.arange(256) / 255, counts[0].sum()
    mean = (counts * levels).sum(1) / total
    std = np.sqrt(np.maximum((counts * levels**2).sum(1) / total - mean**2, 0))
    std = np.maximum(std, 1e-3)  # a divisor also for images of a single colour
    return tuple(round(float(value), 4) for value in mean), tuple(round(float(value), 4) for value in std)


LARGEST = 256  # pixels a side up to which images keep their own size, if all have the same
USUAL = 64  # pixels a side of images of different sizes, if nobody names a size


def survey_address(request: DatasetRequest, root: Path, tell: Tell) -> Survey:
    """Survey the images at an address, also such as can't be trained on; raises DataError, PluginError."""
    return survey(open_collection(request.address, root), request, tell)


def open_dataset(
    request: DatasetRequest, recipe: Recipe, root: Path, tell: Tell, *, size: int | None = None
) -> Dataset:
    """Prepare the images at an address for a recipe, and warn of what `Survey.remarks` has.

    Args:
        request: The address, and how the images are split.
        recipe: Its `img_size` is the size of the images, if it has one.
        root: The folder of datasets.
        tell: Is told the progress.
        size: The size of a recipe without `img_size`: that of the weights to start from. Without it the size is the
            images' own if all are squares of one size up to 256, else 64.

    Raises:
        DataError: No model can be trained on the images.
        PluginError: The plugin of the address can't be used.
    """
    surveyed = survey_address(request, root, tell)
    require_usable(surveyed, request)
    remarks = surveyed.remarks()
    if few := surveyed.few:
        more = f" and {len(few) - 1} more" if len(few) > 1 else ""
        remarks.append(f"fewer than {FEW} test images of {few[0]}{more}: their accuracy says little")
    for remark in remarks:
        warnings.warn(DataWarning(f"{request.address}: {remark}"), stacklevel=2)
    side = recipe.img_size or size or _own_size(surveyed) or USUAL
    return prepare(surveyed, side, margin(recipe, side), tell)


def prepare_again(request: DatasetRequest, config: Record, root: Path, tell: Tell) -> None:
    """Prepare the images that a model was trained on from an address; its record has only their hash.

    Raises DataError if the address has other images.
    """
    if not isinstance(config, Trained) or config.pictures is None:
        raise DataError(f"{config.name} was trained on the dataset {config.dataset}; leave out {request.address}")
    wanted = config.pictures
    part = request.test_part if request.test_part is not None else wanted.test_part
    request = DatasetRequest(request.address, part, skip_bad=request.skip_bad or wanted.skipped > 0)
    surveyed = survey_address(request, root, tell)
    if surveyed.pictures.sha256 != wanted.sha256:
        raise DataError(
            f"{request.address} has other images than {config.name} was trained on: their SHA-256 is "
            f"{surveyed.pictures.sha256[:12]}…, expected {wanted.sha256[:12]}…; name the folder as it was then"
        )
    side = config.input_size[1]
    prepare(surveyed, side, margin(config.job.recipe, side), tell)


def _own_size(surveyed: Survey) -> int | None:
    size = surveyed.common_size
    return size[0] if size is not None and size[0] == size[1] <= LARGEST else None
