"""What a model sees in a picture."""

from __future__ import annotations

import stat
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps
from torch import Tensor, nn

from zoo.errors import ImageError
from zoo.nets.precision import exact

# What Pillow decodes itself: others start programs (Ghostscript) or are no pictures.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "TGA", "ICO", "JPEG2000")
PIXELS = 50_000_000


@dataclass(frozen=True)
class Guess:
    """A class, and the probability from 0 to 1 that the model gives it."""

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What a model sees in a picture, best guess first; where the picture can't be read, why not."""

    path: Path
    guesses: tuple[Guess, ...]
    error: str | None = None


Preprocess = Callable[[Image.Image], Tensor]
Look = Callable[[Image.Image], Tensor]  # from a picture to the probability of every class [num_classes]


def predictions(look: Look, classes: Sequence[str], paths: Iterable[Path], *, top: int) -> Iterator[Prediction]:
    """What is seen in pictures, one by one, the `top` guesses; a folder means all pictures in it.

    Raises ImageError where there is no picture at all.
    """
    asked = list(paths)
    found = list(pictures(asked))
    if not found:
        raise ImageError(f"there is no picture in {', '.join(map(str, asked)) or 'nothing'}; name files or folders")
    for picture in found:
        try:
            likely = look(read_picture(picture))
        except ImageError as error:
            yield Prediction(picture, (), str(error))
            continue
        best = likely.topk(min(top, len(likely)))
        guesses = (Guess(classes[i], p) for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True))
        yield Prediction(picture, tuple(guesses))


def pictures(paths: Iterable[Path]) -> Iterator[Path]:
    """The paths themselves, and for a folder every file under it that is named as a picture, sorted."""
    suffixes = {suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS}
    for path in paths:
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.suffix.lower() in suffixes and one.is_file())
        else:
            yield path


def read_picture(path: Path) -> Image.Image:
    """Read a picture, the way up that its camera noted; raises ImageError.

    Only formats that Pillow decodes itself are opened, and only as many pixels as fit in memory.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ImageError(f"{path} can't be read as a picture: it is no regular file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the bound below is a lower one
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > PIXELS:
                    raise ImageError(
                        f"{path} can't be read as a picture: it has {image.width:,}×{image.height:,} pixels, "
                        f"expected up to {PIXELS:,}; make it smaller"
                    )
                if image.mode == "LAB":
                    raise ImageError(f"{path} can't be read as a picture: Pillow converts no LAB; save it as RGB")
                upright = ImageOps.exif_transpose(image)
                upright.load()
                return upright
    except ImageError:
        raise
    except Exception as error:  # a decoder may fail in any way on what is no picture
        reason = getattr(error, "strerror", None) or str(error).partition(f" '{path}")[0] or type(error).__name__
        raise ImageError(f"{path} can't be read as a picture: {reason}") from None


def probabilities(net: nn.Module, preprocess: Preprocess, image: Image.Image) -> Tensor:
    """The probability of every class [num_classes] for one picture, on the CPU.

    The picture goes through the net alone, so what it gets doesn't depend on what else is asked.
    """
    device = next(net.parameters()).device
    with exact():
        logits: Tensor = net(preprocess(image)[None].to(device))
    return logits[0].float().softmax(dim=0).cpu()
