"""From a picture to a model's input, exactly as the model was evaluated."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torchvision.transforms import v2


@dataclass(frozen=True)
class ToMode:
    """A PIL image of any mode (palette, alpha, CMYK, 16 bits, …) to one mode; tensors pass as they are."""

    mode: str

    def __call__(self, image: object) -> object:
        """Convert it."""
        if not isinstance(image, Image.Image):
            return image
        if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip and not scale to 8
            image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
        return image.convert(self.mode)


def preprocessing(input_size: tuple[int, int, int], mean: tuple[float, ...], std: tuple[float, ...]) -> v2.Compose:
    """An image of any size and mode to a tensor of `input_size` [C, H, W], float32.

    An image that has the size already is not resampled: its pixels / 255 are normalised, no more.
    """
    to_float = v2.ToDtype(torch.float32, scale=True)
    return v2.Compose([*to_pixels(input_size).transforms, to_float, v2.Normalize(list(mean), list(std))])


def to_pixels(input_size: tuple[int, int, int]) -> v2.Compose:
    """The first half of it: an image of any size and mode to a tensor of `input_size` [C, H, W], uint8."""
    channels, height, width = input_size
    mode = ToMode("L" if channels == 1 else "RGB")
    return v2.Compose([mode, v2.ToImage(), v2.Resize((height, width), antialias=True)])
