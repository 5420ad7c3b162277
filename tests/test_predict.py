from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo import api
from zoo.data.images import image_files, read_image
from zoo.data.preprocessing import preprocessing
from zoo.errors import ImageError
from zoo.evaluation.predict import probabilities

from .conftest import CHECKOUT

PHOTO = CHECKOUT / "tests" / "photo.png"
PREPROCESS = preprocessing((3, 32, 32), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def test_the_probabilities_are_those_of_the_net_and_add_up_to_1() -> None:
    net, preprocess = zoo.load("resnet20_cifar10", pretrained=True), zoo.transforms("resnet20_cifar10")
    image = Image.open(PHOTO)
    predicted = probabilities(net, preprocess, image)
    with torch.inference_mode():
        assert torch.equal(predicted, net(preprocess(image)[None])[0].softmax(dim=0))
    assert predicted.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I"])
def test_an_image_of_any_mode_is_converted_to_rgb(mode: str, tmp_path: Path) -> None:
    white = {"I;16": 65_535, "I": 65_535}.get(mode)
    image = Image.new(mode, (50, 40), white) if white else Image.new("RGB", (50, 40), "white").convert(mode)
    suffix = ".tif" if mode in ("CMYK", "YCbCr", "I") else ".png"
    image.save(tmp_path / f"white{suffix}")
    tensor = PREPROCESS(read_image(tmp_path / f"white{suffix}"))
    assert tensor.shape == (3, 32, 32)
    assert tensor.numpy() == pytest.approx((1 - 0.5) / 0.25, abs=0.02)


def test_16_bit_pixels_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65_535, 32 * 32).reshape(32, 32).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    values = PREPROCESS(read_image(tmp_path / "ramp.png"))[0] * 0.25 + 0.5
    assert values.flatten().numpy() == pytest.approx(np.linspace(0, 1, 32 * 32), abs=0.005)


@pytest.mark.parametrize("content", [b"", b"no image", PHOTO.read_bytes()[:200]])
def test_a_file_that_is_not_an_image_is_one_line_that_names_it(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(ImageError, match=r"bad\.png can't be read as an image: ") as caught:
        read_image(tmp_path / "bad.png")
    assert "\n" not in str(caught.value)


def test_no_program_is_started_for_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "cat.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with pytest.raises(ImageError, match="can't be read as an image"):
        read_image(tmp_path / "cat.png")
    assert not (tmp_path / "started").exists()


def test_a_colour_space_that_pillow_cannot_convert_is_refused(tmp_path: Path) -> None:
    Image.new("LAB", (8, 8)).save(tmp_path / "lab.tiff")
    with pytest.raises(ImageError, match="Pillow can't convert LAB; save it as RGB"):
        read_image(tmp_path / "lab.tiff")


def test_an_image_of_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    Image.new("1", (10_000, 6_000)).save(tmp_path / "large.png")
    with pytest.raises(
        ImageError, match=r"it has 10,000×6,000 pixels, expected up to 50,000,000, or 250,000,000 as JPEG; make"
    ):
        read_image(tmp_path / "large.png")


def test_a_named_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="it is not a regular file"):
        read_image(tmp_path / "pipe.png")


def test_a_folder_means_every_visible_image_below_it_once(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for name in ("b.png", "a.JPG", "sub/c.webp", "notes.txt", "._b.png", ".ipynb_checkpoints/b.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "sub" / "again").symlink_to(folder)
    assert list(image_files([PHOTO, folder])) == [PHOTO, *(folder / name for name in ("a.JPG", "b.png", "sub/c.webp"))]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_jpeg_of_a_phones_size_is_decoded_at_a_part_of_it_by_predict_and_transforms(tmp_path: Path) -> None:
    with Image.open(PHOTO) as photo:
        photo.convert("L").resize((12_000, 9_000), Image.Resampling.NEAREST).save(tmp_path / "large.jpg")
    picture, transforms = read_image(tmp_path / "large.jpg"), zoo.transforms("resnet8_digits")
    assert picture.size == (6_000, 4_500)
    with Image.open(tmp_path / "large.jpg") as image:
        assert torch.equal(transforms(image), transforms(picture))


def test_an_unknown_format_is_an_error_that_lists_the_formats(tmp_path: Path) -> None:
    (tmp_path / "x.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(ImageError, match=r"expected one of the formats (AVIF, )?BMP, GIF, .*JPEG, .*PNG"):
        read_image(tmp_path / "x.heic")


def test_an_image_is_rotated_by_its_exif_orientation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise
    with Image.open(PHOTO) as photo:
        photo.convert("RGB").resize((40, 20)).save(tmp_path / "turned.png", exif=exif)
    transforms = zoo.transforms("resnet20_cifar10")
    assert read_image(tmp_path / "turned.png").size == (20, 40)
    with Image.open(tmp_path / "turned.png") as turned:
        assert torch.equal(transforms(turned), transforms(read_image(tmp_path / "turned.png")))


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_an_image_with_damaged_exif_data_is_read_as_it_is(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / f"image.{suffix}"
    Image.new("L", (40, 20), 100).save(path, exif=b"Exif\0\0\0" + exif.tobytes().removeprefix(b"Exif\0\0"))
    assert read_image(path).size == (40, 20)
    transforms = zoo.transforms("resnet8_digits")
    with Image.open(path) as image:
        assert torch.equal(transforms(image), transforms(read_image(path)))
    (prediction,) = api.predict("resnet8_digits", [path])
    assert prediction.error is None


def test_a_floating_point_image_is_refused(tmp_path: Path) -> None:
    Image.new("F", (8, 8), 0.5).save(tmp_path / "float.tif")
    (prediction,) = api.predict("resnet8_digits", [tmp_path / "float.tif"])
    assert "floating-point pixels" in str(prediction.error)
    with Image.open(tmp_path / "float.tif") as image, pytest.raises(ImageError, match="with 8 or 16 bits"):
        zoo.transforms("resnet8_digits")(image)
