"""Image files: reading one the way up that its camera noted, and finding them in a folder.

`folder:PATH` is a folder of images, a folder for each class, as torchvision's ImageFolder has it: `train/` and one of
`test/`, `val/` and `valid/` with the classes' folders in them, or the classes' folders alone. The name of the data set
is the folder's. Hidden files, and files that are not named as images, are left out.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import warnings
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageOps, UnidentifiedImageError

from zoo import registry
from zoo.errors import DataError, ImageError, UnknownModel
from zoo.record.paths import path_of
from zoo.spec import Collection, Half

# What Pillow decodes itself: others start programs (Ghostscript) or are no pictures.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "TGA", "ICO", "JPEG2000")
PIXELS = 50_000_000


def suffixes() -> set[str]:
    """The endings of files that are named as pictures: `.png`."""
    return {suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS}


def image_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The paths themselves, and for a folder every image file under it, as a data set's; raises ImageError."""
    endings = suffixes()
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        try:
            yield from _walked(path, endings)
        except OSError as error:
            raise ImageError(f"{error.filename or path} can't be read ({error.strerror}); let it be read") from None


def _walked(folder: Path, endings: Container[str], above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """All files under a folder that are named as images, but hidden ones, sorted; raises OSError.

    Links are followed, but not to a folder that is being walked already.
    """
    facts = folder.stat()
    if (here := (facts.st_dev, facts.st_ino)) in above:
        return
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    yield from (path for path in inside if path.suffix.lower() in endings and path.is_file())
    for path in inside:
        if path.is_dir():
            yield from _walked(path, endings, above | {here})


def read_image(path: Path) -> Image.Image:
    """Read a picture, the way up that its camera noted; raises ImageError.

    Only formats that Pillow decodes itself are opened, and only as many pixels as fit in memory.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ImageError(f"{path} can't be read as a picture: it is no regular file")
        with path.open("rb") as file:
            return _upright(file, str(path))
    except OSError as error:
        raise ImageError(f"{path} can't be read as a picture: {error.strerror or error}") from None


def decode(content: bytes, name: str) -> Image.Image:
    """The same of a file's bytes; `name` is what an error calls it."""
    return _upright(io.BytesIO(content), name)


def _upright(file: BinaryIO, name: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the bound below is a lower one
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > PIXELS:
                    raise ImageError(
                        f"{name} can't be read as a picture: it has {image.width:,}×{image.height:,} pixels, "
                        f"expected up to {PIXELS:,}; make it smaller"
                    )
                if image.mode == "LAB":
                    raise ImageError(f"{name} can't be read as a picture: Pillow converts no LAB; save it as RGB")
                if image.mode == "F":
                    raise ImageError(
                        f"{name} can't be read as a picture: its pixels are floating point, of no known range; "
                        "save it with 8 or 16 bits a pixel"
                    )
                upright = ImageOps.exif_transpose(image)
                upright.load()
                return upright
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{name} can't be read as a picture: cannot identify image file") from None
    except Exception as error:  # a decoder may fail in any way on what is no picture
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ImageError(f"{name} can't be read as a picture: {reason}") from None


TRAIN = "train"
TESTS = ("test", "val", "valid")  # the first one that is there


def open_folder(rest: str, root: Path) -> Collection:
    """The pictures in a folder, `~` at its beginning as the home folder; `root` is not asked. Raises DataError."""
    folder = path_of(rest)
    try:
        return _opened(folder)
    except OSError as error:
        raise DataError(f"{error.filename or folder} can't be read ({error.strerror}); let it be read") from None


def _opened(folder: Path) -> Collection:
    if not folder.exists():
        raise DataError(f"there is no folder {folder}; name one that has a folder of pictures for each class")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file; name the folder that the folders of the classes are in")
    train, test = _halves(folder)
    classes = _folders(train)
    if not classes:
        raise DataError(
            f"{train} has no folders of pictures; give each class a folder, as in {train / 'daisy' / 'one.jpg'}"
        )
    if test is not None and (others := set(_folders(test)) - set(classes)):
        raise DataError(f"{test} has a class that {train} has not: {min(others)}; name them alike")
    first, second = _files(train, classes), _files(test, classes) if test else None
    if not first:
        raise DataError(f"there is no picture in {train}; expected files such as {train / classes[0] / 'one.jpg'}")
    return Collection(
        name=_name(folder),
        title=folder.resolve().name,
        classes=tuple(classes),
        train=_half(folder, first),
        test=None if second is None else _half(folder, second),
        stamp=_stamp(folder, [*first, *(second or [])]),
    )


def _halves(folder: Path) -> tuple[Path, Path | None]:
    """The folders of the training and of the test pictures; where there are none apart, the folder itself."""
    inside = _folders(folder)
    if TRAIN not in inside:
        return folder, None
    tests = [name for name in TESTS if name in inside]
    if not tests:
        raise DataError(
            f"{folder} has {TRAIN}/ and no test/, val/ or valid/ beside it; add one, "
            f"or take a part of {TRAIN}/ with folder:{folder / TRAIN} and a test part of 0.2"
        )
    return folder / TRAIN, folder / tests[0]


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".") and path.is_dir())


def _files(folder: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    """The files that are named as pictures, with their classes, in ImageFolder's order: by class, then by name."""
    endings, places = suffixes(), ((folder / name, label) for label, name in enumerate(classes))
    return [(path, label) for place, label in places if place.is_dir() for path in _walked(place, endings)]


def _half(folder: Path, files: Sequence[tuple[Path, int]]) -> Half:
    paths = tuple(path for path, _ in files)

    def read(index: int) -> bytes:
        return paths[index].read_bytes()

    return Half(tuple(str(path.relative_to(folder)) for path in paths), tuple(label for _, label in files), read)


def _stamp(folder: Path, files: Sequence[tuple[Path, int]]) -> str:
    """Of where it is, and of each file's name, size and time: no other content goes unnoticed that is written now."""
    sha256 = hashlib.sha256(os.fsencode(folder.resolve()))
    for path, _ in files:
        facts = path.stat()
        sha256.update(os.fsencode(f"\n{path.relative_to(folder)} {facts.st_size} {facts.st_mtime_ns} {facts.st_ino}"))
    return sha256.hexdigest()


def _name(folder: Path) -> str:
    """The data set's name: the folder's, in letters that a name may have, and not that of a declared data set."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "pictures"
    try:
        registry.dataset(name)
    except UnknownModel:
        return name
    return f"{name}-pictures"
