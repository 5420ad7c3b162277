"""Preprocessing of images equals that of timm's evaluation."""

from __future__ import annotations

from itertools import product
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform

import zoo
from zoo.data.preprocessing import preprocessing, to_pixels
from zoo.plugin import Resizing

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Interpolation = Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"]
Mode = Literal["squash", "center", "border"]
MODES: tuple[Mode, ...] = ("squash", "center", "border")
COMMON: tuple[Interpolation, ...] = ("bilinear", "bicubic")
ALL = (Resizing(*arguments) for arguments in product((0.875, 1.0), COMMON, MODES))
RESIZINGS = [resizing for resizing in ALL if not resizing.is_plain]  # plain resizing uses torch's resampling


def photograph(width: int, height: int) -> Image.Image:
    """An image with gradients, an edge and noise."""
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    hill = (down > 0.6 + 0.2 * np.sin(5 * across))[..., None] * np.array([20, 90, -60])
    sky = np.stack([90 + 80 * down, 120 + 60 * across, 220 - 90 * down], axis=-1)
    grain = np.random.default_rng(width * height).normal(0, 12, (height, width, 3))
    return Image.fromarray((sky + hill + grain).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("size", [(640, 427), (224, 224), (97, 61)])
@pytest.mark.parametrize("resizing", RESIZINGS, ids=str)
def test_an_image_is_preprocessed_as_in_timm(size: tuple[int, int], resizing: Resizing) -> None:
    require_timms_result((3, 224, 224), size, resizing)


@pytest.mark.parametrize("interpolation", ["nearest", "box", "hamming", "lanczos"])
def test_every_interpolation_of_timm_is_supported(interpolation: Interpolation) -> None:
    require_timms_result((3, 64, 64), (201, 150), Resizing(0.9, interpolation, "center"))


@pytest.mark.parametrize("crop_mode", ["squash", "center", "border"])
@pytest.mark.parametrize("size", [(201, 150), (50, 333), (64, 48)])
def test_the_input_of_a_net_may_be_a_rectangle(crop_mode: Mode, size: tuple[int, int]) -> None:
    require_timms_result((3, 48, 81), size, Resizing(0.9, "bicubic", crop_mode))


def test_an_extremely_narrow_image_is_refused() -> None:
    preprocess = preprocessing((3, 224, 224), MEAN, STD, Resizing(0.875, "bicubic", "center"))
    with pytest.raises(zoo.ZooError, match="too narrow"):
        preprocess(Image.new("RGB", (1_000_000, 1)))


def test_a_tensor_is_preprocessed_like_the_image() -> None:
    preprocess, picture = preprocessing((3, 32, 32), MEAN, STD, Resizing(0.9, "lanczos", "center")), photograph(90, 60)
    tensor = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    assert torch.equal(preprocess(tensor), preprocess(picture))


def require_timms_result(input_size: tuple[int, int, int], size: tuple[int, int], resizing: Resizing) -> None:
    """Require the same pixels, and the same normalized values up to the rounding of a division."""
    picture = photograph(*size)
    pixels, normalised = (
        create_transform(
            input_size=input_size,
            mean=MEAN,
            std=STD,
            crop_pct=resizing.crop_pct,
            interpolation=resizing.interpolation,
            crop_mode=resizing.crop_mode,
            normalize=is_normalised,
        )(picture)
        for is_normalised in (False, True)
    )
    assert torch.equal(to_pixels(input_size, resizing, MEAN)(picture), pixels)
    assert torch.allclose(preprocessing(input_size, MEAN, STD, resizing)(picture), normalised, rtol=0, atol=1e-6)
