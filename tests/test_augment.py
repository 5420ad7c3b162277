"""Augmentation of whole batches equals torchvision's augmentation of each image."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as V

from zoo.data.augmentation import OPERATIONS, Augmenting, augment, crop_at_once, crop_one_by_one, draw_augmenting
from zoo.spec import Recipe

SIDES = (37, 41)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(0, 256, (40, *SIDES, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def boxes(count: int, sides: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float]) -> Tensor:
    """Random crops [count, 4]: top, left, height, width."""
    drawn = draw_augmenting(count, Recipe(epochs=1, scale=scale, ratio=ratio), sides, 5).box
    assert drawn is not None
    return drawn


def largest_difference(actual: Tensor, expected: Tensor) -> int:
    return int((actual.int() - expected.int()).abs().max())


def test_a_random_resized_crop_equals_torchvision(images: Tensor) -> None:
    recipe = Recipe(epochs=1, scale=(0.08, 1.0))
    augmenting = draw_augmenting(len(images), recipe, SIDES, 5)
    assert augmenting.box is not None
    augmented = augment(images, augmenting, (32, 24), recipe)
    for image, box, crop in zip(images, augmenting.box.tolist(), augmented, strict=True):
        expected = V.resized_crop(image.permute(2, 0, 1), *box, [32, 24], antialias=False)
        assert largest_difference(crop.permute(2, 0, 1), expected) <= 1


def test_cropping_on_a_gpu_equals_cropping_on_a_cpu(images: Tensor) -> None:
    crops = boxes(len(images), SIDES, (0.08, 1.0), (3 / 4, 4 / 3))
    pixels = images.permute(0, 3, 1, 2)
    on_cpu, on_gpu = (crop(pixels, crops, (32, 24)) for crop in (crop_one_by_one, crop_at_once))
    assert largest_difference(on_cpu, on_gpu) <= 1


def test_crops_fit_and_have_the_requested_area_and_ratio() -> None:
    top, left, height, width = boxes(2_000, (100, 100), (0.2, 0.5), (0.5, 2.0)).unbind(1)
    area, ratio = height * width / 10_000, width / height
    assert 0.19 < area.min() < area.max() < 0.51
    assert 0.48 < ratio.min() < ratio.max() < 2.1
    assert bool(((top >= 0) & (left >= 0) & (top + height <= 100) & (left + width <= 100)).all())
    assert len(set(top.tolist())) > 30


def test_a_crop_that_never_fits_becomes_a_center_crop() -> None:
    assert boxes(5, (20, 30), (1.0, 1.0), (3.0, 3.0)).tolist() == [[0, 5, 20, 20]] * 5


def test_color_jitter_equals_torchvision(images: Tensor) -> None:
    recipe = Recipe(epochs=1, color_jitter=0.4)
    augmenting = draw_augmenting(len(images), recipe, SIDES, 5)
    assert augmenting.color is not None
    augmented = augment(images, augmenting, SIDES, recipe)
    for image, (brightness, contrast, saturation), jittered in zip(
        images, augmenting.color.tolist(), augmented, strict=True
    ):
        bright = V.adjust_brightness(image.permute(2, 0, 1), brightness)
        expected = V.adjust_saturation(V.adjust_contrast(bright, contrast), saturation)
        assert largest_difference(jittered.permute(2, 0, 1), expected) <= 2  # torchvision rounds after every step


@pytest.mark.parametrize("index", range(len(OPERATIONS)), ids=[name for name, _ in OPERATIONS])
@pytest.mark.parametrize("is_opposite", [False, True])
def test_each_randaugment_operation_equals_torchvision(images: Tensor, index: int, is_opposite: bool) -> None:
    recipe, reference = Recipe(epochs=1, rand_augment=1, rand_magnitude=11), v2.RandAugment(magnitude=11)
    name, has_sign = OPERATIONS[index]
    operations = torch.full((len(images), 1), -1 - index if is_opposite else index)
    augmented = augment(images, Augmenting(None, None, operations), SIDES, recipe)
    magnitudes, signed = reference._AUGMENTATION_SPACE[name]
    assert signed == has_sign
    bins = magnitudes(31, *SIDES)
    magnitude = 0.0 if bins is None else float(bins[11]) * (-1 if signed and is_opposite else 1)
    expected = reference._apply_image_or_video_transform(
        images.permute(0, 3, 1, 2), name, magnitude, interpolation=reference.interpolation, fill=reference._fill
    )
    assert largest_difference(augmented.permute(0, 3, 1, 2), expected) <= 1


def test_every_image_has_its_own_random_numbers_and_a_seed_repeats_them(images: Tensor) -> None:
    recipe = Recipe(epochs=1, rand_augment=2, scale=(0.3, 1.0), color_jitter=0.2)
    first, again, other = (draw_augmenting(len(images), recipe, SIDES, seed) for seed in (3, 3, 4))
    assert first.operations is not None
    assert again.operations is not None
    assert other.operations is not None
    assert torch.equal(first.operations, again.operations)
    assert not torch.equal(first.operations, other.operations)
    assert len(set(first.operations.flatten().tolist())) > 14
    half = torch.arange(0, len(images), 2)
    whole = augment(images, first, (32, 32), recipe)
    assert torch.equal(augment(images[half], first.at(half), (32, 32), recipe), whole[half])


class CopiesToTheDevice(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts copies from the CPU to the meta device, which stands for a GPU."""

    count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        devices = {tensor.device.type for tensor in tree_leaves((args, out)) if isinstance(tensor, Tensor)}
        self.count += len(devices) > 1
        return out


def test_each_operation_of_randaugment_copies_twice_to_the_device() -> None:
    recipe = Recipe(epochs=1, rand_augment=3)
    augmenting = draw_augmenting(64, recipe, (32, 32), 0)
    images = torch.zeros((64, 32, 32, 3), dtype=torch.uint8, device="meta")
    with CopiesToTheDevice() as copies:  # type: ignore[no-untyped-call]
        augment(images, augmenting, (32, 32), recipe)
    assert copies.count == 3 * 2


def test_an_empty_batch_is_augmented() -> None:
    recipe = Recipe(epochs=1, rand_augment=2)
    augmenting = draw_augmenting(4, recipe, (32, 32), 0).at(torch.arange(0))
    assert len(augment(torch.zeros((0, 32, 32, 3), dtype=torch.uint8), augmenting, (32, 32), recipe)) == 0
