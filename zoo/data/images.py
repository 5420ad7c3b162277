"""Read image files, and open the images of a folder, `folder:PATH`.

The folder has `train/` and `test/` (or `val/`, `valid/`, `validation/`, in any case), each with a folder per class, as
for torchvision's ImageFolder, or the folders of the classes alone. The dataset has the name of the folder. Hidden files
and files without the suffix of an image are left out.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final

from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from zoo import registry
from zoo.errors import DataError, ImageError, UnknownModel
from zoo.record.paths import path_of
from zoo.spec import Collection, Split

# Other formats of Pillow start programs (Ghostscript), or are not images. AVIF and HEIF depend on the installation.
FORMATS: Final = ("AVIF", "BMP", "GIF", "HEIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
PIXELS: Final = 50_000_000  # limit for a decoded image
JPEG_PIXELS: Final = 250_000_000  # limit for a JPEG, which can be decoded at half or a quarter of its size
IGNORED_FOLDER: Final = "__MACOSX"  # with the metadata of a ZIP file made by macOS


def suffixes() -> dict[str, str]:
    """The suffixes of files that can be read, with their formats: `.png` is `PNG`."""
    return {suffix: kind for suffix, kind in Image.registered_extensions().items() if kind in FORMATS}


def image_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield each path, and instead of a folder all image files under it; raises ImageError."""
    readable = suffixes()
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        try:
            yield from (file for file in _walk(path, set()) if file.suffix.lower() in readable)
        except OSError as error:
            raise ImageError(f"{error.filename or path} can't be read ({error.strerror}); make it readable") from None


def _walk(folder: Path, entered: set[tuple[int, int]]) -> Iterator[Path]:
    """Yield all files under a folder, sorted, without hidden files; raises OSError.

    Links are followed, but no folder is entered twice: `entered` collects the device and inode of each.
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
    return not path.name.startswith(".") and path.name != IGNORED_FOLDER and path.is_dir()


def read_image(path: Path) -> Image.Image:
    """Read an image file, upright by its EXIF orientation; raises ImageError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ImageError(f"{path} can't be read as an image: it is not a regular file")
        with path.open("rb") as file:
            return decode(file, str(path))
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "there is not enough memory"
        raise ImageError(f"{path} can't be read as an image: {reason}") from None


def decode(file: BinaryIO, name: str) -> Image.Image:
    """Decode an image, upright by its EXIF orientation.

    Args:
        file: The image file.
        name: The name of the image in errors.

    Returns:
        The image in the mode of the file. A JPEG of more than `PIXELS` has half or a quarter of its width and height.

    Raises:
        ImageError: The file is damaged or too large, has floating-point pixels, or has none of `FORMATS`.
        MemoryError: There is not enough memory.
    """
    refused = f"{name} can't be read as an image"
    readable = sorted(set(suffixes().values()))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limits here are stricter
            with _open(file, readable) as image:
                _require_size(image, refused)
                _require_convertible(image, refused)
                _reduce(image)
                return _upright(image)
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{refused}: expected one of the formats {', '.join(readable)}") from None
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
        return JpegImageFile(file)  # Image.open refuses it for its size, but `_reduce` makes it smaller


def _require_size(image: Image.Image, refused: str) -> None:
    if image.width * image.height > (JPEG_PIXELS if isinstance(image, JpegImageFile) else PIXELS):
        raise ImageError(
            f"{refused}: it has {image.width:,}×{image.height:,} pixels, expected up to {PIXELS:,}, "
            f"or {JPEG_PIXELS:,} as JPEG; make it smaller"
        )


def _reduce(image: Image.Image) -> None:
    """Make Pillow decode a large JPEG at half or a quarter of its width and height."""
    pixels = image.width * image.height
    if pixels > PIXELS and isinstance(image, JpegImageFile):
        factor = 2 if pixels <= 4 * PIXELS else 4
        image.draft(None, (image.width // factor, image.height // factor))


def _require_convertible(image: Image.Image, refused: str) -> None:
    """Raise ImageError, which begins with `refused`, if Pillow can't convert an image to RGB or converts it wrongly."""
    if image.mode == "LAB":
        raise ImageError(f"{refused}: Pillow can't convert LAB; save it as RGB")
    if image.mode == "F":
        raise ImageError(f"{refused}: the range of its floating-point pixels is unknown; save it with 8 or 16 bits")


def _upright(image: Image.Image) -> Image.Image:
    """Load an image, and turn it upright by its EXIF orientation; with damaged EXIF data it stays as it is."""
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:  # Pillow may raise anything for damaged EXIF data
        return image


def convert(image: Image.Image, mode: str) -> Image.Image:
    """Convert an image of any mode to `L` or `RGB`, upright by its EXIF orientation; raises ImageError."""
    _require_convertible(image, "the image can't be converted")
    _reduce(image)
    image = _upright(image)
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip instead of scaling to 8
        image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    return image.convert(mode)


# Names of the folders of training and test images, in any case, in order of preference.
TRAIN: Final = ("train", "training")
TEST: Final = ("test", "testing", "val", "valid", "validation")


def open_folder(rest: str, root: Path) -> Collection:
    """Open the images in a folder.

    Args:
        rest: The path of the folder; `~` is the home folder.
        root: The folder of datasets, which only other kinds use.

    Returns:
        The images, which are not read yet.

    Raises:
        DataError: The folder does not exist or can't be read, or it has no folders of images.
    """
    folder = path_of(rest)
    try:
        return _open_folder(folder)
    except OSError as error:
        raise DataError(f"{error.filename or folder} can't be read ({error.strerror}); make it readable") from None


def _open_folder(folder: Path) -> Collection:
    if not folder.exists():
        raise DataError(f"there is no folder {folder}; expected one with a folder of images for each class")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file; expected a folder with a folder of images for each class")
    train, test = _split_folders(folder)
    start = {_inode(path) for path in (folder, train, test or train)}
    train_files, test_files = _files_by_class(train, start), _files_by_class(test, start) if test else {}
    classes = tuple(train_files)
    if not classes:
        raise DataError(
            f"{train} has no folders of images; expected one for each class, such as {train / 'daisy' / '1.jpg'}"
        )
    if extra := test_files.keys() - train_files.keys():
        raise DataError(f"{test} has the class {min(extra)}, and {train} does not; rename or add one")
    readable = suffixes()
    train_images, test_images = (
        [
            (path, label)
            for label, name in enumerate(classes)
            for path in files.get(name, ())
            if path.suffix.lower() in readable
        ]
        for files in (train_files, test_files)
    )
    paths = chain(*train_files.values(), *test_files.values())
    others = Counter(path.suffix.lower() for path in paths if path.suffix.lower() not in readable)
    if not train_images:
        left_out = f" (left out: {listed(others.most_common())})" if others else ""
        raise DataError(
            f"there is no image in {train}{left_out}; expected files such as {train / classes[0] / '1.jpg'}, "
            f"of the formats {', '.join(sorted(set(readable.values())))}"
        )
    return Collection(
        name=_name(folder),
        title=folder.resolve().name,
        classes=classes,
        train=_split(folder, train_images),
        test=_split(folder, test_images) if test else None,
        stamp=_stamp(folder, [*train_images, *test_images]),
        other_files=tuple(others.most_common()),
    )


def listed(other_files: Iterable[tuple[str, int]]) -> str:
    """Files by suffix, as text: `.heic 2, .txt 1`."""
    return ", ".join(f"{suffix or 'no suffix'} {count:,}" for suffix, count in other_files)


def _split_folders(folder: Path) -> tuple[Path, Path | None]:
    """The folders of the training and test images; the folder itself and None if it has neither."""
    train, test = _split_folder(folder, TRAIN), _split_folder(folder, TEST)
    if train is None and test is None:
        return folder, None
    if train is None:
        assert test is not None
        raise DataError(f"{folder} has {test.name}/ but no train/; add one, or rename {test.name}/ if it is a class")
    if test is None:
        raise DataError(
            f"{folder} has {train.name}/ but no test/, val/ or valid/; add one, hold out images with folder:{train} "
            f"and test_part, such as 0.2, or rename {train.name}/ if it is a class"
        )
    return train, test


def _split_folder(folder: Path, names: Sequence[str]) -> Path | None:
    """The first folder with one of these names. One with images and without folders is a class, and is left out."""
    readable = suffixes()
    folders = {path.name.lower(): path for path in sorted(folder.iterdir()) if _is_folder(path)}
    for path in (folders[name] for name in names if name in folders):
        inside = list(path.iterdir())
        if any(map(_is_folder, inside)) or not any(file.suffix.lower() in readable for file in inside):
            return path
    return None


def _files_by_class(folder: Path, entered: set[tuple[int, int]]) -> dict[str, list[Path]]:
    """All files in the folder of each class, sorted; links to folders with the inodes `entered` are not followed."""
    folders = sorted(path for path in folder.iterdir() if _is_folder(path))
    entered = entered | {_inode(path) for path in folders}
    files: dict[str, list[Path]] = {}
    for path in folders:  # by name in NFC, as macOS and Linux encode `café` differently
        files.setdefault(unicodedata.normalize("NFC", path.name), []).extend(_walk(path, set(entered)))
    return {name: files[name] for name in sorted(files)}


def _split(folder: Path, files: Sequence[tuple[Path, int]]) -> Split:
    paths = tuple(path for path, _ in files)

    def read(index: int) -> bytes:
        return paths[index].read_bytes()

    return Split(tuple(str(path.relative_to(folder)) for path in paths), tuple(label for _, label in files), read)


def _stamp(folder: Path, files: Sequence[tuple[Path, int]]) -> str:
    """The hash of the path of the folder, and of the name, size, modification time and inode of each file."""
    sha256 = hashlib.sha256(os.fsencode(folder.resolve()))
    for path, _ in files:
        status = path.stat()
        sha256.update(
            os.fsencode(f"\n{path.relative_to(folder)} {status.st_size} {status.st_mtime_ns} {status.st_ino}")
        )
    return sha256.hexdigest()


def _name(folder: Path) -> str:
    """The name of the folder in lower-case letters, digits and hyphens, unless a declared dataset has that name."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "images"
    try:
        registry.dataset(name)
    except UnknownModel:
        return name
    return f"{name}-images"
