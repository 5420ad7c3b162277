"""Survey images: split them into training and test images, and report sizes, copies and unreadable files.

Every image is read once. Its hash, size and brightness, or the reason why it can't be read, are cached under the stamp
of the collection, so a second survey of the same images reads none.

Without a test set, the hash of an image decides whether it is held out: an image stays in its split when others are
added, and copies of an image are in the same split.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from zoo.data.collection import DatasetRequest, open_collection
from zoo.data.images import convert, decode, listed
from zoo.decoding import LINE
from zoo.errors import DataError, ImageError
from zoo.record.paths import cache
from zoo.record.replace import write_file
from zoo.record.types import MOST_CLASSES
from zoo.spec import FEW, NAME, Collection, Pictures, Split

Item = TypeVar("Item")
Result = TypeVar("Result")

Tell = Callable[[str, int, int], None]  # receives progress: the task, the number of images done, the number of all

FLAT = 0.01  # below this standard deviation of the brightness, on the scale 0 to 1, images show next to nothing


@dataclass(frozen=True)
class SurveyedImage:
    """An image of a collection, as it was read."""

    split: str  # train or test
    index: int  # in that split of the collection
    name: str
    label: int
    sha256: str  # of the file; empty if the operating system failed to read it
    size: tuple[int, int]  # width, height
    mode: str  # Pillow's: RGB, L, P, …
    brightness: tuple[float, float]  # mean and mean square of the gray pixels, on the scale 0 to 1
    error: str  # why the image can't be read; empty if it can


def _read_all(collection: Collection, tell: Tell) -> list[SurveyedImage]:
    """Read the training and test images, or an earlier survey in the cache; raises DataError if it can't be written.

    Nothing is cached if the operating system failed to read an image: that can be fixed without changing the image.
    """
    path = cache() / "images" / "surveys" / f"{hashlib.sha256(collection.stamp.encode()).hexdigest()}.json"
    splits = {"train": collection.train} | ({"test": collection.test} if collection.test else {})
    items = [(name, split, index) for name, split in splits.items() for index in range(len(split))]
    if (cached := _read_cached(path, items)) is not None:
        return cached
    images: list[SurveyedImage] = []
    for image in in_parallel(lambda item: _read(*item), items):
        images.append(image)
        tell("reading images", len(images), len(items))
    if all(image.sha256 for image in images):
        try:
            write_file(path, json.dumps([dataclasses.asdict(image) for image in images]).encode())
        except OSError as error:
            raise cache_failed(path, error) from None
    return images


def in_parallel(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Apply `work` to each item in a thread per processor; yields the results in order.

    Threads are enough, as Pillow releases the GIL while it decodes and resizes.
    """
    at_once = 256  # bounds the number of results in memory
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(items), at_once):
            yield from pool.map(work, items[start : start + at_once])


def cache_failed(path: Path, error: OSError) -> DataError:
    """The error for a file of the cache that can't be written."""
    return DataError(f"{path} can't be written ({error.strerror}); make room, or set ZOO_CACHE to another folder")


def _read(split_name: str, split: Split, index: int) -> SurveyedImage:
    name, content = split.names[index], b""
    label = split.labels[index]
    image = SurveyedImage(split_name, index, name, label, "", size=(0, 0), mode="", brightness=(0.0, 0.0), error="")
    try:
        content = split.read(index)
        decoded = decode(io.BytesIO(content), name)
        counts = convert(decoded, "L").histogram()
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "there is not enough memory"
        return dataclasses.replace(image, error=f"{name} can't be read: {reason}")
    except ImageError as error:
        return dataclasses.replace(image, sha256=hashlib.sha256(content).hexdigest(), error=str(error))
    mean, square = (sum(n * (level / 255) ** power for level, n in enumerate(counts)) for power in (1, 2))
    pixels = sum(counts)
    return dataclasses.replace(
        image,
        sha256=hashlib.sha256(content).hexdigest(),
        size=decoded.size,
        mode=decoded.mode,
        brightness=(round(mean / pixels, 6), round(square / pixels, 6)),
    )


def _read_cached(path: Path, items: Sequence[tuple[str, Split, int]]) -> list[SurveyedImage] | None:
    """The images of an earlier survey; None if there is none, or its file is damaged or of another version."""
    try:
        images = msgspec.convert(json.loads(path.read_bytes()), list[SurveyedImage])
    except (OSError, ValueError):  # also UnicodeDecodeError and msgspec.ValidationError
        return None
    expected = [(name, index, split.names[index], split.labels[index]) for name, split, index in items]
    cached = [(image.split, image.index, image.name, image.label) for image in images]
    return images if cached == expected and all(image.sha256 for image in images) else None


@dataclass(frozen=True)
class Survey:
    """The images of a collection, read and split, but not yet resized."""

    collection: Collection
    summary: Pictures
    train: tuple[SurveyedImage, ...]
    test: tuple[SurveyedImage, ...]
    unreadable: tuple[SurveyedImage, ...]

    @property
    def channels(self) -> int:
        """1 if every image is grayscale, else 3."""
        modes = {image.mode for image in (*self.train, *self.test)}
        return 1 if all(mode in ("1", "L") or mode.startswith("I") for mode in modes) else 3

    @property
    def copies(self) -> list[tuple[SurveyedImage, SurveyedImage]]:
        """Pairs of a training image and a test image with the same bytes."""
        train = {image.sha256: image for image in self.train}
        return [(train[image.sha256], image) for image in self.test if image.sha256 in train]

    def counts(self) -> list[tuple[str, int, int]]:
        """Each class with its number of training images and of test images."""
        train, test = (Counter(image.label for image in split) for split in (self.train, self.test))
        return [(name, train[label], test[label]) for label, name in enumerate(self.collection.classes)]

    @property
    def few(self) -> list[str]:
        """The classes with too few test images for a meaningful accuracy."""
        return [name for name, _, test in self.counts() if test < FEW]

    def remarks(self) -> list[str]:
        """Warnings about the images as a whole, one line each."""
        lines = []
        if self.collection.other_files:
            count = sum(number for _, number in self.collection.other_files)
            files = "1 file" if count == 1 else f"{count:,} files"
            lines.append(f"left out {files} without the suffix of an image ({listed(self.collection.other_files)})")
        if self.train and (deviation := self._deviation()) < FLAT:
            lines.append(
                f"all images look nearly the same: the standard deviation of their brightness is {deviation:.4f}, "
                "on the scale 0 to 1; check how they were saved"
            )
        return lines

    def _deviation(self) -> float:
        """The standard deviation of the training images' brightness; each image counts the same."""
        mean, square = (sum(image.brightness[power] for image in self.train) / len(self.train) for power in (0, 1))
        return math.sqrt(max(0.0, square - mean**2))


def survey(request: DatasetRequest, root: Path, tell: Tell) -> Survey:
    """Read the images at an address and split them, even if no model can be trained on them.

    Args:
        request: The address, and how the images are split.
        root: The folder of datasets.
        tell: Receives the progress.

    Raises:
        DataError: There are no images, or the names or the split can't be used.
        PluginError: The plugin of the address fails.
    """
    collection = open_collection(request.address, root)
    _require_names(collection, request.address)
    _require_split(collection, request)
    images = _read_all(collection, tell)
    # The order of the hashes is as good as a random order; recipes hold out the last training images.
    readable = sorted((image for image in images if not image.error), key=lambda p: (p.sha256, p.label, p.name))
    unreadable = tuple(image for image in images if image.error)
    test = tuple(image for image in readable if _is_test(image, request.test_part))
    train = tuple(image for image in readable if not _is_test(image, request.test_part))
    test_counts = Counter(image.label for image in test)
    summary = Pictures(
        address=_public(request.address, collection),
        title=collection.title,
        sha256=_sha256(collection.classes, train, test),
        train_images=len(train),
        test_images=len(test),
        fewest=min(test_counts[label] for label in range(len(collection.classes))),
        skipped=len(unreadable) if request.skip_bad else 0,
        test_part=request.test_part,
        license=collection.license,
        homepage=collection.homepage,
        hub_id=collection.hub_id,
    )
    return Survey(collection, summary, train, test, unreadable)


def require_usable(survey: Survey, request: DatasetRequest) -> None:
    """Raise DataError if no model can be trained on the images."""
    if survey.unreadable and not request.skip_bad:
        count, first = len(survey.unreadable), survey.unreadable[0].error
        others = f" (and {count - 1:,} more)" if count > 1 else ""
        raise DataError(f"{request.address}: {first}{others}; replace the image, or set skip_bad to leave it out")
    if not survey.train and not survey.test:
        raise DataError(f"{request.address} has no image that can be read; expected some of each class")
    if len(survey.collection.classes) < 2:
        raise DataError(
            f"{request.address} has only the class {survey.collection.classes[0]}; expected at least two classes"
        )
    for split, column in (("training", 1), ("test", 2)):
        missing = [row[0] for row in survey.counts() if not row[column]]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            remedy = "add some, or remove the class"
            if request.test_part is not None:
                remedy = f"add some, remove the class, or set another test_part than {request.test_part:g}"
            raise DataError(f"{request.address}: there is no {split} image of the class {missing[0]}{more}; {remedy}")


def _require_split(collection: Collection, request: DatasetRequest) -> None:
    if collection.test is not None and request.test_part is not None:
        raise DataError(f"{request.address} has a test set already; leave out test_part")
    if collection.test is None and request.test_part is None:
        raise DataError(
            f"{request.address} has no test set; move the images to train/ and test/, or set test_part to "
            "hold out a fraction of them, such as 0.2"
        )
    if request.test_part is not None and not 0 < request.test_part < 1:
        raise DataError(f"test_part should be between 0 and 1, not {request.test_part}")


def _require_names(collection: Collection, address: str) -> None:
    if not NAME.fullmatch(collection.name):
        raise DataError(f"{address}: the name {collection.name!r} should have only a-z, 0-9, '.', '_' and '-'")
    if not collection.classes:
        raise DataError(f"{address} has no classes; expected at least two")
    if len(collection.classes) > MOST_CLASSES:
        raise DataError(f"{address} has {len(collection.classes):,} classes, expected up to {MOST_CLASSES:,}")
    for name in (collection.title, *collection.classes):
        if re.search("[\ud800-\udfff]", name):  # how Python decodes bytes of a path that are not UTF-8
            raise DataError(f"{address[:200]!r}: the name {name[:40]!r} is not UTF-8; rename its folder")
    for name in collection.classes:
        if len(name) > 2_000 or not re.match(LINE, name):
            raise DataError(
                f"{address}: the name of the class {name[:40]!r} should be one line of up to 2,000 characters; "
                "rename its folder"
            )


def _is_test(image: SurveyedImage, part: float | None) -> bool:
    """Whether an image is a test image: by its split, or by its hash if `part` of the images is held out."""
    return image.split == "test" if part is None else int(image.sha256[:16], 16) < part * 2**64


def _sha256(classes: Sequence[str], train: Sequence[SurveyedImage], test: Sequence[SurveyedImage]) -> str:
    """The hash of the classes, and of the images with their labels, in order."""
    sha256 = hashlib.sha256("\n".join(classes).encode("utf-8", "surrogateescape"))
    for split, images in (("train", train), ("test", test)):
        for image in images:
            sha256.update(f"\n{split} {image.label} {image.sha256}".encode())
    return sha256.hexdigest()


def _public(address: str, collection: Collection) -> str:
    """The address without a path on this machine: the title replaces a path."""
    if collection.hub_id:
        return address
    kind, _, rest = address.partition(":")
    return f"{kind}:{collection.title}" if "/" in rest or "\\" in rest or rest in (".", "..", "~") else address
