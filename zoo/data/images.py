"""Read image files, and find them in a folder.

`folder:PATH` is a folder of images as torchvision's ImageFolder expects it: `train/` and `test/` (or `val/`, `valid/`,
`validation/`, in capitals or not) with a folder for each class, or the folders of the classes alone. The name of the
dataset is the folder's. Hidden files and files that no reader of images is registered for are left out.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from zoo import registry
from zoo.errors import DataError, ImageError, UnknownModel
from zoo.record.paths import path_of
from zoo.spec import Collection, Half

# Pillow's other formats start programs (Ghostscript) or are no images. AVIF and HEIF are read if this Pillow can.
FORMATS: Final = ("AVIF", "BMP", "GIF", "HEIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
PIXELS: Final = 50_000_000  # of a decoded image
JPEG_PIXELS: Final = 250_000_000  # of a JPEG file, which can be decoded at a half or a quarter of its sides
IGNORED_FOLDERS: Final = ("__MACOSX",)  # besides hidden ones


def endings() -> dict[str, str]:
    """The endings of the files that can be read, with their formats: `.png` is `PNG`."""
    return {ending: kind for ending, kind in Image.registered_extensions().items() if kind in FORMATS}


def image_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The paths themselves, and for a folder every image file under it, as in a dataset; raises ImageError."""
    readable = endings()
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        try:
            yield from (file for file in _walk(path, set()) if file.suffix.lower() in readable)
        except OSError as error:
            raise ImageError(f"{error.filename or path} can't be read ({error.strerror}); make it readable") from None


def _walk(folder: Path, entered: set[tuple[int, int]]) -> Iterator[Path]:
    """All files under a folder, sorted, without hidden ones. Links are followed; no folder is entered twice.

    Args:
        folder: Where to begin.
        entered: Device and inode of the folders that must not be entered; those that are entered are added.

    Raises:
        OSError: A folder can't be read.
    """
    entered.add(_inode(folder))
    visible = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    yield from (path for path in visible if path.is_file())
    for path in visible:
        if _is_folder(path) and _inode(path) not in entered:
            yield from _walk(path, entered)


def _inode(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _is_folder(path: Path) -> bool:
    return not path.name.startswith(".") and path.name not in IGNORED_FOLDERS and path.is_dir()


def read_image(path: Path) -> Image.Image:
    """Read an image file, upright by its EXIF orientation; raises ImageError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ImageError(f"{path} can't be read as an image: it is no regular file")
        with path.open("rb") as file:
            return _decode(file, str(path))
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "there is not enough memory"
        raise ImageError(f"{path} can't be read as an image: {reason}") from None


def decode(content: bytes, name: str) -> Image.Image:
    """Decode the bytes of an image file, upright by its EXIF orientation.

    Args:
        content: The bytes of the file.
        name: How an error names the image.

    Returns:
        The image in the file's own mode; a JPEG of more than `PIXELS` at a half or a quarter of its sides.

    Raises:
        ImageError: It is damaged, too large, of floating-point pixels, or of none of `FORMATS`.
        MemoryError: There is not enough memory.
    """
    return _decode(io.BytesIO(content), name)


def _decode(file: BinaryIO, name: str) -> Image.Image:
    refused = f"{name} can't be read as an image"
    readable = sorted(set(endings().values()))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # PIXELS is a lower bound
            with _open(file, readable) as image:
                _require_size(image, refused)
                require_convertible(image, refused)
                _reduce(image)
                upright = ImageOps.exif_transpose(image)
                upright.load()
                return upright
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise ImageError(
            f"{refused}: it has none of the formats {', '.join(readable)}; save it as one of them"
        ) from None
    except Exception as error:  # a decoder may fail in any way
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ImageError(f"{refused}: {reason}") from None


def _open(file: BinaryIO, formats: list[str]) -> Image.Image:
    try:
        return Image.open(file, formats=formats)
    except Image.DecompressionBombError:
        file.seek(0)
        if file.read(3) != b"\xff\xd8\xff":
            raise
        file.seek(0)
        return JpegImageFile(file)  # Image.open refuses it for its size; `_reduce` has another bound


def _require_size(image: Image.Image, refused: str) -> None:
    if image.width * image.height > (JPEG_PIXELS if isinstance(image, JpegImageFile) else PIXELS):
        raise ImageError(
            f"{refused}: it has {image.width:,}×{image.height:,} pixels, expected up to {PIXELS:,}, "
            f"or {JPEG_PIXELS:,} as JPEG; make it smaller"
        )


def _reduce(image: Image.Image) -> None:
    """Have a large JPEG decoded at a half or a quarter of its sides, if it is not decoded yet."""
    pixels = image.width * image.height
    if pixels > PIXELS and isinstance(image, JpegImageFile):
        factor = 2 if pixels <= 4 * PIXELS else 4
        image.draft(None, (image.width // factor, image.height // factor))


def require_convertible(image: Image.Image, refused: str) -> None:
    """Refuse an image that Pillow can't convert to RGB or converts wrongly; raises ImageError.

    Args:
        image: The image.
        refused: The beginning of the error: "x.tif can't be read as an image".
    """
    if image.mode == "LAB":
        raise ImageError(f"{refused}: Pillow converts no LAB; save it as RGB")
    if image.mode == "F":
        raise ImageError(
            f"{refused}: its pixels are floating point, of no known range; save it with 8 or 16 bits a pixel"
        )


def convert(image: Image.Image, mode: str) -> Image.Image:
    """Convert an image of any mode to `L` or `RGB`, as `decode` reads it; raises ImageError."""
    require_convertible(image, "an image can't be converted")
    _reduce(image)
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip and not scale to 8
        image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    return image.convert(mode)


# The names of the folders of the two halves, in any case; of several the first.
TRAIN: Final = ("train", "training")
TEST: Final = ("test", "testing", "val", "valid", "validation")


def open_folder(rest: str, root: Path) -> Collection:
    """Open the images in a folder.

    Args:
        rest: The path of the folder; `~` is the home folder.
        root: The folder of datasets, which is not used.

    Returns:
        The images, none of them read yet.

    Raises:
        DataError: There is no such folder, or it has no folders with images.
    """
    folder = path_of(rest)
    try:
        return _open_folder(folder)
    except OSError as error:
        raise DataError(f"{error.filename or folder} can't be read ({error.strerror}); make it readable") from None


def _open_folder(folder: Path) -> Collection:
    if not folder.exists():
        raise DataError(f"there is no folder {folder}; name one that has a folder of images for each class")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file; name the folder that the folders of the classes are in")
    train, test = _halves(folder)
    train_folders, test_folders = _class_folders(train), _class_folders(test) if test else {}
    classes = tuple(train_folders)
    if not classes:
        raise DataError(
            f"{train} has no folders of images; give each class a folder, as in {train / 'daisy' / 'one.jpg'}"
        )
    if extra := test_folders.keys() - train_folders.keys():
        raise DataError(f"{test} has a class that {train} has not: {min(extra)}; name them alike")
    start = {_inode(path) for path in (folder, train, test or train)}
    files = [_labelled(folders, classes, start) for folders in (train_folders, test_folders)]
    readable = endings()
    train_files, test_files = ([pair for pair in half if pair[0].suffix.lower() in readable] for half in files)
    others = Counter(path.suffix.lower() for half in files for path, _ in half if path.suffix.lower() not in readable)
    if not train_files:
        left_out = f" ({listed(others.most_common())} left out)" if others else ""
        raise DataError(
            f"there is no image in {train}{left_out}; expected files such as {train / classes[0] / 'one.jpg'}, "
            f"of the formats {', '.join(sorted(set(readable.values())))}"
        )
    return Collection(
        name=_name(folder),
        title=folder.resolve().name,
        classes=classes,
        train=_half(folder, train_files),
        test=_half(folder, test_files) if test else None,
        stamp=_stamp(folder, [*train_files, *test_files]),
        other_files=tuple(others.most_common()),
    )


def listed(other_files: Iterable[tuple[str, int]]) -> str:
    """Files by their endings, in words: `.heic 2, .txt 1`."""
    return ", ".join(f"{ending or 'no ending'} {count:,}" for ending, count in other_files)


def _halves(folder: Path) -> tuple[Path, Path | None]:
    """The folders of the training and of the test images; the folder itself and None if it has no such folders."""
    train, test = _half_folder(folder, TRAIN), _half_folder(folder, TEST)
    if train is None and test is None:
        return folder, None
    if train is None:
        assert test is not None
        raise DataError(
            f"{folder} has {test.name}/ and no train/ beside it; add one, or rename {test.name}/ if it is a class"
        )
    if test is None:
        raise DataError(
            f"{folder} has {train.name}/ and no test/, val/ or valid/ beside it; add one, take a part of {train.name}/ "
            f"with folder:{train} and a test part of 0.2, or rename {train.name}/ if it is a class"
        )
    return train, test


def _half_folder(folder: Path, names: Sequence[str]) -> Path | None:
    """The folder of a half. A folder of that name with images and without folders in it is a class."""
    readable = endings()
    folders = {path.name.lower(): path for path in sorted(folder.iterdir()) if _is_folder(path)}
    for path in (folders[name] for name in names if name in folders):
        inside = list(path.iterdir())
        if any(map(_is_folder, inside)) or not any(file.suffix.lower() in readable for file in inside):
            return path
    return None


def _class_folders(folder: Path) -> dict[str, list[Path]]:
    """The folders of each class, by its name in NFC: macOS writes `café` with other characters than Linux."""
    folders: dict[str, list[Path]] = {}
    for path in folder.iterdir():
        if _is_folder(path):
            folders.setdefault(unicodedata.normalize("NFC", path.name), []).append(path)
    return {name: sorted(folders[name]) for name in sorted(folders)}


def _labelled(
    folders: Mapping[str, Sequence[Path]], classes: Sequence[str], entered: set[tuple[int, int]]
) -> list[tuple[Path, int]]:
    """All files in the folders of the classes, each with its label, by class and then by name."""
    class_inodes = {_inode(path) for paths in folders.values() for path in paths}
    return [
        (file, label)
        for label, name in enumerate(classes)
        for path in folders.get(name, ())
        for file in _walk(path, entered | class_inodes)
    ]


def _half(folder: Path, files: Sequence[tuple[Path, int]]) -> Half:
    paths = tuple(path for path, _ in files)

    def read(index: int) -> bytes:
        return paths[index].read_bytes()

    return Half(tuple(str(path.relative_to(folder)) for path in paths), tuple(label for _, label in files), read)


def _stamp(folder: Path, files: Sequence[tuple[Path, int]]) -> str:
    """A hash of the folder's path, and of the name, size, time and inode of each file."""
    sha256 = hashlib.sha256(os.fsencode(folder.resolve()))
    for path, _ in files:
        status = path.stat()
        sha256.update(
            os.fsencode(f"\n{path.relative_to(folder)} {status.st_size} {status.st_mtime_ns} {status.st_ino}")
        )
    return sha256.hexdigest()


def _name(folder: Path) -> str:
    """The name of the dataset: the folder's, in the letters of names, and not the name of a declared dataset."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "images"
    try:
        registry.dataset(name)
    except UnknownModel:
        return name
    return f"{name}-images"
