"""The preprocessing of images of any size, the same as in the evaluation of a model."""

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
    """Convert a PIL image of any mode to `mode`, upright by its EXIF orientation; leave tensors as they are."""

    mode: str

    def __call__(self, image: object) -> object:
        """Convert the image; raises ImageError."""
        return convert(image, self.mode) if isinstance(image, Image.Image) else image


@dataclass(frozen=True)
class Resized:
    """Resize images as timm's evaluation does.

    It uses Pillow, like timm, because torch rounds differently and lacks some interpolations.
    """

    size: tuple[int, int]  # height and width
    resizing: Resizing
    border: tuple[int, ...]  # color of the padding, a value per channel, from 0 to 255

    def __call__(self, image: Image.Image | torch.Tensor) -> Image.Image:
        """Resize, then crop or pad to `size`; raises ImageError if the image is too narrow."""
        pil: Image.Image = F.to_pil_image(image) if isinstance(image, torch.Tensor) else image
        width, height = self._size_before_crop(pil.height, pil.width)
        if width * height > PIXELS:
            raise ImageError(
                f"an image of {pil.width:,}×{pil.height:,} pixels is too narrow to be resized to {self.size[1]}×"
                f"{self.size[0]}; crop it to be closer to a square"
            )
        resized = pil.resize((width, height), Image.Resampling[self.resizing.interpolation.upper()])
        if self.resizing.crop_mode == "border":
            return self._padded(resized)
        cropped: Image.Image = F.center_crop(resized, list(self.size))
        return cropped

    def _size_before_crop(self, height: int, width: int) -> tuple[int, int]:
        """Width and height that an image of this height and width is resized to."""
        target = tuple(math.floor(side / self.resizing.crop_pct) for side in self.size)
        mode = self.resizing.crop_mode
        if mode == "squash":
            return target[1], target[0]
        if mode == "center" and target[0] == target[1]:  # as in torchvision, which rounds the longer side down
            short, long = sorted((height, width))
            longer = int(target[0] * long / short)
            return (target[0], longer) if width <= height else (longer, target[0])
        ratios = (height / target[0], width / target[1])
        ratio = max(ratios) if mode == "border" else min(ratios)
        return max(1, round(width / ratio)), max(1, round(height / ratio))

    def _padded(self, image: Image.Image) -> Image.Image:
        """The image in the center of `size`: cropped in a dimension that is too large, padded in one too small."""
        height, width = self.size
        colour = self.border if len(self.border) > 1 else self.border[0]
        canvas = Image.new(image.mode, (width, height), colour)
        canvas.paste(image, (_offset(image.width, width), _offset(image.height, height)))
        return canvas


def _offset(side: int, target: int) -> int:
    """The offset that centers a side of an image on a side of another length; negative if it is cropped."""
    return (target - side) // 2 if side < target else -round((side - target) / 2)


def preprocessing(
    input_size: tuple[int, int, int], mean: tuple[float, ...], std: tuple[float, ...], resizing: Resizing = PLAIN
) -> v2.Compose:
    """Make the transform from an image of any size and mode to the input of a net, as in its evaluation.

    Args:
        input_size: Channels, height and width of the input.
        mean: Mean of each channel, on the scale 0 to 1.
        std: Standard deviation of each channel.
        resizing: The resizing. The default leaves an image of this size as it is.

    Returns:
        A transform to a normalized tensor [C, H, W], float32.
    """
    to_float = v2.ToDtype(torch.float32, scale=True)
    pixels = to_pixels(input_size, resizing, mean)
    return v2.Compose([*pixels.transforms, to_float, v2.Normalize(list(mean), list(std))])


def to_pixels(
    input_size: tuple[int, int, int], resizing: Resizing = PLAIN, mean: tuple[float, ...] = (0.0, 0.0, 0.0)
) -> v2.Compose:
    """Make the same transform without the normalization, to a tensor [C, H, W], uint8.

    `mean`, on the scale 0 to 1, is the color of the padding.
    """
    channels, height, width = input_size
    mode = ToMode("L" if channels == 1 else "RGB")
    if resizing.is_plain:
        return v2.Compose([mode, v2.ToImage(), v2.Resize((height, width), antialias=True)])
    border = tuple(round(255 * value) for value in mean[:channels])
    return v2.Compose([mode, Resized((height, width), resizing, border), v2.ToImage()])
