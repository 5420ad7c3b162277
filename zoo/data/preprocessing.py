"""The preprocessing of images, exactly as in the evaluation of a model."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from zoo.data.images import PIXELS, convert
from zoo.errors import ImageError
from zoo.spec import PLAIN, Resizing


@dataclass(frozen=True)
class ToMode:
    """Convert a PIL image of any mode, upright by its EXIF orientation; tensors pass unchanged."""

    mode: str

    def __call__(self, image: object) -> object:
        """Convert the image; raises ImageError."""
        return convert(image, self.mode) if isinstance(image, Image.Image) else image


@dataclass(frozen=True)
class Resized:
    """Resize an image to a PIL image of one size, as timm's evaluation does.

    It uses Pillow, like timm: torch rounds differently, and lacks some interpolations.
    """

    size: tuple[int, int]  # height and width
    resizing: Resizing
    border: tuple[int, ...]  # a value a channel, from 0 to 255

    def __call__(self, image: Image.Image | torch.Tensor) -> Image.Image:
        """Resize it, and cut it down to the size, or put a border around it; raises ImageError for a sliver."""
        picture: Image.Image = F.to_pil_image(image) if isinstance(image, torch.Tensor) else image
        width, height = self._larger(picture.height, picture.width)
        if width * height > PIXELS:
            raise ImageError(
                f"an image of {picture.width:,}×{picture.height:,} pixels can't be cut down to {self.size[1]}×"
                f"{self.size[0]}: it is too narrow; give one that is more of a square"
            )
        resized = picture.resize((width, height), self._interpolation)
        if self.resizing.crop_mode == "border":
            return self._with_border(resized)
        cut: Image.Image = F.center_crop(resized, list(self.size))
        return cut

    @property
    def _interpolation(self) -> Image.Resampling:
        return Image.Resampling[self.resizing.interpolation.upper()]

    def _larger(self, height: int, width: int) -> tuple[int, int]:
        """What an image of that height and width is resized to, before it is cut: width and height."""
        target = tuple(math.floor(side / self.resizing.crop_pct) for side in self.size)
        mode = self.resizing.crop_mode
        if mode == "squash":
            return target[1], target[0]
        if mode == "center" and target[0] == target[1]:  # torchvision's rule for the longer side, which rounds down
            short, long = sorted((height, width))
            longer = int(target[0] * long / short)
            return (target[0], longer) if width <= height else (longer, target[0])
        ratios = (height / target[0], width / target[1])
        ratio = max(ratios) if mode == "border" else min(ratios)
        return max(1, round(width / ratio)), max(1, round(height / ratio))

    def _with_border(self, image: Image.Image) -> Image.Image:
        """Cut in the middle where it is too large, bordered where it is too small."""
        height, width = self.size
        colour = self.border if len(self.border) > 1 else self.border[0]
        canvas = Image.new(image.mode, (width, height), colour)
        canvas.paste(image, (_before(image.width, width), _before(image.height, height)))
        return canvas


def _before(side: int, wanted: int) -> int:
    """Where an image's side begins on one of another length, in the middle; below 0 where it is cut."""
    return (wanted - side) // 2 if side < wanted else -round((side - wanted) / 2)


def preprocessing(
    input_size: tuple[int, int, int], mean: tuple[float, ...], std: tuple[float, ...], resizing: Resizing = PLAIN
) -> v2.Compose:
    """Return a transform from an image of any size and mode to a normalized tensor of `input_size` [C, H, W], float32.

    With the default resizing, an image of this size is not resampled.
    """
    to_float = v2.ToDtype(torch.float32, scale=True)
    pixels = to_pixels(input_size, resizing, mean)
    return v2.Compose([*pixels.transforms, to_float, v2.Normalize(list(mean), list(std))])


def to_pixels(
    input_size: tuple[int, int, int], resizing: Resizing = PLAIN, mean: tuple[float, ...] = (0.0, 0.0, 0.0)
) -> v2.Compose:
    """Return a transform from an image of any size and mode to a tensor of `input_size` [C, H, W], uint8.

    `mean`, from 0 to 1, is the color of a border.
    """
    channels, height, width = input_size
    mode = ToMode("L" if channels == 1 else "RGB")
    if resizing.is_plain:
        return v2.Compose([mode, v2.ToImage(), v2.Resize((height, width), antialias=True)])
    border = tuple(round(255 * value) for value in mean[:channels])
    return v2.Compose([mode, Resized((height, width), resizing, border), v2.ToImage()])
