"""Folders of small images for tests of training on images. Each class has its own color."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"daisy": (220, 220, 60), "rose": (200, 40, 60), "violet": (90, 60, 200)}


def draw(folder: Path, count: int, *, seed: int = 0, size: tuple[int, int] = (16, 16), grey: bool = False) -> None:
    """Write `count` noisy PNG files per class into a folder per class; `size` is width and height."""
    numbers = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            noise = numbers.integers(-60, 60, (size[1], size[0], 3))
            picture = Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8))
            (picture.convert("L") if grey else picture).save(folder / name / f"{seed}-{number:03}.png")


def flowers(folder: Path, *, train: int = 12, test: int = 4, size: tuple[int, int] = (16, 16)) -> Path:
    """Write a training and a test set; returns the folder."""
    draw(folder / "train", train, seed=1, size=size)
    draw(folder / "test", test, seed=2, size=size)
    return folder
