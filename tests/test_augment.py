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

from zoo.data import augmentation
from zoo.spec import Recipe

SIDES = (37, 41)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(0, 256, (40, *SIDES, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def largest_difference(actual: Tensor, expected: Tensor) -> int:
    return int((actual.int() - expected.int()).abs().max())


def test_a_random_resized_crop_equals_torchvision(images: Tensor) -> None:
    recipe = Recipe(epochs=1, scale=(0.08, 1.0))
    how = augmentation.draw_augmenting(len(images), recipe, SIDES, 5)
    assert how.box is not None
    augmented = augmentation.augment(images, how, (32, 24), recipe)
    for image, box, crop in zip(images, how.box.tolist(), augmented, strict=True):
        expected = V.resized_crop(image.permute(2, 0, 1), *box, [32, 24], antialias=False)
        assert largest_difference(crop.permute(2, 0, 1), expected) <= 1


def test_cropping_on_a_gpu_equals_cropping_on_a_cpu(images: Tensor) -> None:
    boxes = augmentation.draw_augmenting(len(images), Recipe(epochs=1, scale=(0.08, 1.0)), SIDES, 5).box
    assert boxes is not None
    pixels = images.permute(0, 3, 1, 2)
    on_cpu, on_gpu = (crop(pixels, boxes, (32, 24)) for crop in (augmentation.one_by_one, augmentation.at_once))
    assert largest_difference(on_cpu, on_gpu) <= 1


def test_crops_have_the_requested_area_and_ratio_and_fit() -> None:
    recipe = Recipe(epochs=1, scale=(0.2, 0.5), ratio=(0.5, 2.0))
    boxes = augmentation.draw_augmenting(2_000, recipe, (100, 100), 1).box
    assert boxes is not None
    top, left, height, width = boxes.unbind(1)
    area, ratio = height * width / 10_000, width / height
    assert area.min() > 0.19
    assert area.max() < 0.51
    assert ratio.min() > 0.48
    assert ratio.max() < 2.1
    assert bool(((top >= 0) & (left >= 0) & (top + height <= 100) & (left + width <= 100)).all())
    assert len(set(top.tolist())) > 30


def test_a_crop_that_never_fits_becomes_a_center_crop() -> None:
    boxes = augmentation.draw_augmenting(5, Recipe(epochs=1, scale=(1.0, 1.0), ratio=(3.0, 3.0)), (20, 30), 1).box
    assert boxes is not None
    assert boxes.tolist() == [[0, 5, 20, 20]] * 5


def test_color_jitter_equals_torchvision(images: Tensor) -> None:
    recipe = Recipe(epochs=1, color_jitter=0.4)
    how = augmentation.draw_augmenting(len(images), recipe, SIDES, 5)
    assert how.colour is not None
    augmented = augmentation.augment(images, how, SIDES, recipe)
    for image, (brightness, contrast, saturation), jittered in zip(images, how.colour.tolist(), augmented, strict=True):
        bright = V.adjust_brightness(image.permute(2, 0, 1), brightness)
        expected = V.adjust_saturation(V.adjust_contrast(bright, contrast), saturation)
        assert largest_difference(jittered.permute(2, 0, 1), expected) <= 2  # torchvision rounds after every step


@pytest.mark.parametrize("change", range(len(augmentation.CHANGES)), ids=[name for name, _ in augmentation.CHANGES])
@pytest.mark.parametrize("mirrored", [False, True])
def test_each_randaugment_operation_equals_torchvision(images: Tensor, change: int, mirrored: bool) -> None:
    recipe, reference = Recipe(epochs=1, rand_augment=1, rand_magnitude=11), v2.RandAugment(magnitude=11)
    name, has_sign = augmentation.CHANGES[change]
    changes = torch.full((len(images), 1), -1 - change if mirrored else change)
    augmented = augmentation.augment(images, augmentation.Augmenting(None, None, changes), SIDES, recipe)
    magnitudes, signed = reference._AUGMENTATION_SPACE[name]
    assert signed == has_sign
    bins = magnitudes(31, *SIDES)
    magnitude = 0.0 if bins is None else float(bins[11]) * (-1 if signed and mirrored else 1)
    expected = reference._apply_image_or_video_transform(
        images.permute(0, 3, 1, 2), name, magnitude, interpolation=reference.interpolation, fill=reference._fill
    )
    assert largest_difference(augmented.permute(0, 3, 1, 2), expected) <= 1


def test_every_image_has_its_own_draws_and_a_seed_repeats_them(images: Tensor) -> None:
    recipe = Recipe(epochs=1, rand_augment=2, scale=(0.3, 1.0), color_jitter=0.2)
    first, again, other = (augmentation.draw_augmenting(len(images), recipe, SIDES, seed) for seed in (3, 3, 4))
    assert first.changes is not None
    assert again.changes is not None
    assert other.changes is not None
    assert torch.equal(first.changes, again.changes)
    assert not torch.equal(first.changes, other.changes)
    assert len(set(first.changes.flatten().tolist())) > 14
    half = torch.arange(0, len(images), 2)
    whole = augmentation.augment(images, first, (32, 32), recipe)
    assert torch.equal(augmentation.augment(images[half], first.at(half), (32, 32), recipe), whole[half])


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


def test_a_round_of_randaugment_copies_twice_to_the_device() -> None:
    recipe = Recipe(epochs=1, rand_augment=3)
    how = augmentation.draw_augmenting(64, recipe, (32, 32), 0)
    images = torch.zeros((64, 32, 32, 3), dtype=torch.uint8, device="meta")
    with CopiesToTheDevice() as copies:  # type: ignore[no-untyped-call]
        augmentation.augment(images, how, (32, 32), recipe)
    assert copies.count == 3 * 2


def test_an_empty_batch_is_augmented() -> None:
    recipe = Recipe(epochs=1, rand_augment=2)
    how = augmentation.draw_augmenting(4, recipe, (32, 32), 0).at(torch.arange(0))
    assert len(augmentation.augment(torch.zeros((0, 32, 32, 3), dtype=torch.uint8), how, (32, 32), recipe)) == 0
