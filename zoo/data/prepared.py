"""Prepare the images at an address: survey them and resize them once, into files of the cache.

    images/SHA256/train-3x64x64+9.npy    images [N, H, W, C] of 73 pixels a side: 64, and 9 more for random crops
    images/SHA256/train-labels.npy       labels [N] int64
    images/SHA256/train-3x64x64+9.json   checksum of the two files, mean and standard deviation of the images

SHA256 is the hash of all images (`zoo.spec.Pictures`), so images that have changed are prepared again. A damaged file
is prepared again too: its checksum is compared at every use, at over 2 GB/s. The folders can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import io
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from zoo.data.collection import DatasetRequest
from zoo.data.images import decode
from zoo.data.survey import Survey, SurveyedImage, Tell, cache_failed, in_parallel, require_usable, survey
from zoo.errors import DataError, DataWarning, ImageError
from zoo.record.paths import cache
from zoo.record.replace import file_written_aside, write_file
from zoo.record.types import Record, Trained
from zoo.spec import FEW, Dataset, InputSize, Pictures, Recipe, Resizing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torchvision.transforms import v2

CENTER: Final = Resizing(crop_mode="center")  # keeps the aspect ratio
LARGEST = 256  # pixels a side up to which images keep their own size, if all are squares of that size
USUAL = 64  # pixels a side otherwise, if neither the recipe nor the start sets a size
CHUNK = 256  # images; mean and std are computed from chunks of this size

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std of each channel, on the scale 0 to 1


class Contents(msgspec.Struct, frozen=True):
    """The JSON file of the prepared training or test images."""

    crc32: int  # of the file of images, then that of labels
    mean: tuple[float, ...]  # of each channel, on the scale 0 to 1
    std: tuple[float, ...]


@dataclass(frozen=True)
class Files:
    """The files of the prepared training or test images."""

    images: Path
    labels: Path

    def contents(self) -> Contents | None:
        """The JSON file; None if a file is missing or damaged."""
        try:
            contents = msgspec.json.decode(self.images.with_suffix(".json").read_bytes(), type=Contents)
            return contents if contents.crc32 == self.crc32() else None
        except (OSError, ValueError):
            return None

    def crc32(self) -> int:
        """Compute the checksum of the images and labels; raises OSError."""
        crc32 = 0
        for path in (self.images, self.labels):
            with path.open("rb") as file:
                while block := file.read(2**22):
                    crc32 = zlib.crc32(block, crc32)
        return crc32


@dataclass(frozen=True)
class Prepared:
    """A prepared dataset; calling it reads it, with the images memory-mapped."""

    sha256: str  # of all images, as in `Pictures`
    input_size: InputSize
    margin: int = 0  # pixels a side by which training images are larger, for random crops
    is_checked: bool = False  # whether the checksums have been compared

    def __call__(self, root: Path, *, train: bool) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Read images [N, H, W, C] uint8 and labels [N] int64; raises DataError if they are missing or damaged."""
        import numpy as np

        files = self.files(train=train)
        if self.is_checked or files.contents() is not None:
            try:
                return np.load(files.images, mmap_mode="r"), np.load(files.labels)
            except (OSError, ValueError, EOFError):
                pass
        raise DataError(f"{files.images} is missing or damaged; set dataset to the address of the images")

    def is_whole(self, root: Path) -> bool:
        """Whether the files of the test images exist, damaged or not."""
        files = self.files(train=False)
        try:
            return files.images.is_file() and files.labels.is_file()
        except OSError:
            return False

    def files(self, *, train: bool) -> Files:
        """The paths of the training or test images and labels."""
        channels, height, width = self.input_size
        margin = f"+{self.margin}" if train and self.margin else ""
        path = cache() / "images" / self.sha256 / ("train" if train else "test")
        return Files(
            path.with_name(f"{path.name}-{channels}x{height}x{width}{margin}.npy"),
            path.with_name(f"{path.name}-labels.npy"),
        )


def margin(recipe: Recipe, size: int) -> int:
    """Pixels a side by which training images are larger for random resized crops: a seventh, as 256 is to 224."""
    return round(size / 7) if recipe.scale else 0


def prepared_dataset(
    pictures: Pictures,
    name: str,
    classes: tuple[str, ...],
    prepared: Prepared,
    normalisation: Normalisation,
) -> Dataset:
    """Describe a prepared dataset. Its files may be missing.

    Args:
        pictures: The summary of the images.
        name: The name of the dataset.
        classes: The names of the classes.
        prepared: The files.
        normalisation: Mean and standard deviation of each channel, on the scale 0 to 1.
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


def prepare(survey: Survey, size: int, margin: int, tell: Tell) -> Dataset:
    """Resize all images, unless they are prepared already.

    Args:
        survey: The images.
        size: Height and width in pixels.
        margin: Pixels a side by which the training images are larger.
        tell: Receives the progress.

    Raises:
        DataError: An image has changed since the survey, or the cache can't be written.
    """
    prepared = Prepared(survey.summary.sha256, (survey.channels, size, size), margin)
    train = _write(prepared.files(train=True), survey, survey.train, size + margin, tell)
    _write(prepared.files(train=False), survey, survey.test, size, tell)
    collection = survey.collection
    checked = replace(prepared, is_checked=True)
    return prepared_dataset(survey.summary, collection.name, collection.classes, checked, (train.mean, train.std))


def _write(files: Files, survey: Survey, images: Sequence[SurveyedImage], size: int, tell: Tell) -> Contents:
    """Write the files of the training or test images, unless they are there and undamaged."""
    import numpy as np

    from zoo.data.preprocessing import to_pixels

    if (contents := files.contents()) is not None:
        return contents
    shape = (len(images), size, size, survey.channels)
    pixels = to_pixels((survey.channels, size, size), CENTER)
    try:
        files.images.parent.mkdir(parents=True, exist_ok=True)
        with file_written_aside(files.labels) as file:
            np.save(file, np.array([image.label for image in images], dtype=np.int64))
        with file_written_aside(files.images) as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for done, content in enumerate(in_parallel(lambda item: _pixels(survey, item, pixels), images), 1):
                file.write(content)
                tell("preparing images", done, len(images))
        mean, std = normalisation_of(np.load(files.images, mmap_mode="r"))
        contents = Contents(files.crc32(), mean, std)
        write_file(files.images.with_suffix(".json"), msgspec.json.encode(contents))
        return contents
    except OSError as error:
        raise cache_failed(files.images, error) from None


def _pixels(survey: Survey, image: SurveyedImage, pixels: v2.Compose) -> bytes:
    """Read and resize an image; returns the bytes of [H, W, C] uint8."""
    split = survey.collection.test if image.split == "test" else survey.collection.train
    assert split is not None
    try:
        content = split.read(image.index)
        if hashlib.sha256(content).hexdigest() != image.sha256:
            raise DataError(f"{image.name} has changed since the survey; run it again when the files no longer change")
        tensor = pixels(decode(io.BytesIO(content), image.name))
    except OSError as error:
        raise DataError(f"{image.name} can't be read ({error.strerror or error}); make it readable") from None
    except ImageError as error:
        raise DataError(f"{error}; leave it out of the dataset") from None
    resized: bytes = tensor.permute(1, 2, 0).contiguous().numpy().tobytes()
    return resized


def normalisation_of(images: npt.NDArray[np.uint8]) -> Normalisation:
    """Mean and standard deviation (at least 0.001) of each channel of images [N, H, W, C], rounded to four digits."""
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
    std = np.maximum(std, 1e-3)  # images of a single color would give a division by 0
    return tuple(round(float(value), 4) for value in mean), tuple(round(float(value), 4) for value in std)


def open_dataset(
    request: DatasetRequest, recipe: Recipe, root: Path, tell: Tell, *, size: int | None = None
) -> Dataset:
    """Prepare the images at an address for a recipe; the remarks of the survey become DataWarnings.

    Args:
        request: The address, and how the images are split.
        recipe: Its `img_size` is the height and width of the images, in pixels.
        root: The folder of datasets.
        tell: Receives the progress.
        size: The height and width if the recipe has no `img_size`. By default the images' own size if all are squares
            of one size up to 256, else 64.

    Raises:
        DataError: No model can be trained on the images, or the cache can't be written.
        PluginError: The plugin of the address fails.
    """
    surveyed = survey(request, root, tell)
    require_usable(surveyed, request)
    remarks = surveyed.remarks()
    if few := surveyed.few:
        more = f" and {len(few) - 1} more" if len(few) > 1 else ""
        remarks.append(f"fewer than {FEW} test images of class {few[0]}{more}, too few for a meaningful accuracy")
    for remark in remarks:
        warnings.warn(DataWarning(f"{request.address}: {remark}"), stacklevel=2)
    side = recipe.img_size or size or _own_size(surveyed) or USUAL
    return prepare(surveyed, side, margin(recipe, side), tell)


def prepare_again(request: DatasetRequest, config: Record, root: Path, tell: Tell) -> None:
    """Prepare the images that a model was trained on, from their address.

    Args:
        request: The address. If it has no `test_part`, that of the record is used.
        config: The record of the model.
        root: The folder of datasets.
        tell: Receives the progress.

    Raises:
        DataError: The model was not trained on images by address, or the address has other images.
        PluginError: The plugin of the address fails.
    """
    if not isinstance(config, Trained) or config.pictures is None:
        raise DataError(f"{config.name} was trained on the dataset {config.dataset}; leave out {request.address}")
    recorded = config.pictures
    part = request.test_part if request.test_part is not None else recorded.test_part
    request = DatasetRequest(request.address, part, skip_bad=request.skip_bad or recorded.skipped > 0)
    surveyed = survey(request, root, tell)
    if surveyed.summary.sha256 != recorded.sha256:
        raise DataError(
            f"{request.address} has other images than {config.name} was trained on: their SHA-256 is "
            f"{surveyed.summary.sha256[:12]}…, expected {recorded.sha256[:12]}…; give the images of that training"
        )
    side = config.input_size[1]
    prepare(surveyed, side, margin(config.job.recipe, side), tell)


def _own_size(surveyed: Survey) -> int | None:
    """The side of the images, if all are squares of one size up to LARGEST."""
    sizes = {image.size for image in (*surveyed.train, *surveyed.test)}
    width, height = sizes.pop()
    return width if not sizes and width == height <= LARGEST else None
