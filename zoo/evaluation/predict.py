"""What a model sees in a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from PIL import Image, ImageOps
from torch import Tensor, nn

from zoo.errors import ImageError
from zoo.nets.precision import exact


def pictures(paths: Iterable[Path]) -> Iterator[Path]:
    """The paths themselves, and for a folder every file under it that is named as a picture, sorted."""
    for path in paths:
        if path.is_dir():
            suffixes = Image.registered_extensions()
            yield from sorted(one for one in path.rglob("*") if one.suffix.lower() in suffixes and one.is_file())
        else:
            yield path


def read_picture(path: Path) -> Image.Image:
    """Read a picture, the way up that its camera noted; raises ImageError."""
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            upright.load()
            return upright
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition(f" '{path}")[0] or type(error).__name__
        raise ImageError(f"{path} can't be read as a picture: {reason}") from None


def probabilities(net: nn.Module, preprocess: Callable[[Image.Image], Tensor], image: Image.Image) -> Tensor:
    """The probability of every class [num_classes] for one picture, on the CPU.

    The picture goes through the net alone, so what it gets doesn't depend on what else is asked.
    """
    device = next(net.parameters()).device
    with exact():
        logits: Tensor = net(preprocess(image)[None].to(device))
    return logits[0].float().softmax(dim=0).cpu()
