"""Files that are pictures: which are, and reading one the way up that its camera noted."""

from __future__ import annotations

import io
import stat
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageOps, UnidentifiedImageError

from zoo.errors import ImageError

# What Pillow decodes itself: others start programs (Ghostscript) or are no pictures.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "TGA", "ICO", "JPEG2000")
PIXELS = 50_000_000


def suffixes() -> set[str]:
    """The endings of files that are named as pictures: `.png`."""
    return {suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS}


def pictures(paths: Iterable[Path]) -> Iterator[Path]:
    """The paths themselves, and for a folder every file under it that is named as a picture, sorted."""
    endings = suffixes()
    for path in paths:
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.suffix.lower() in endings and one.is_file())
        else:
            yield path


def read_picture(path: Path) -> Image.Image:
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
