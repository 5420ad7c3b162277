"""Augmentations beyond crop and flip, on the device.

**Augmenting** (random resized crop, color jitter, RandAugment) changes a batch before the step, so it is not part of
a compiled or captured step. Its random numbers stay on the CPU, where they select torchvision's functions.

**Mixing** (mixup, CutMix, cutout) is part of the step. Each image is mixed with the image at the mirrored position of
the batch, the first with the last; the order of the images is random.

The random numbers of an epoch are drawn before its first batch, so any batch can be repeated. Each image has its own
numbers, whereas torchvision and timm mix all images of a batch in the same way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.spec import Recipe

ATTEMPTS = 10  # to draw a crop that fits, as in torchvision
BINS = 30  # the highest magnitude of RandAugment
# RandAugment's operations (arXiv:1909.13719, table 6), with torchvision's names and bounds; whether a sign is drawn.
OPERATIONS: Final = (
    ("Identity", False), ("ShearX", True), ("ShearY", True), ("TranslateX", True), ("TranslateY", True),
    ("Rotate", True), ("Brightness", True), ("Color", True), ("Contrast", True), ("Sharpness", True),
    ("Posterize", False), ("Solarize", False), ("AutoContrast", False), ("Equalize", False),
)  # fmt: skip


@dataclass(frozen=True)
class Augmenting:
    """How each image of an epoch is augmented; tensors on the CPU."""

    box: Tensor | None  # [N, 4] int64: top, left, height, width of the crop, in pixels
    color: Tensor | None  # [N, 3] float32: factors of brightness, contrast and saturation
    operations: Tensor | None  # [N, rand_augment] int64: indices of OPERATIONS; -1 - index with the opposite sign

    def at(self, positions: Tensor) -> Augmenting:
        """Select the images at these positions [B] of the epoch."""
        fields = (self.box, self.color, self.operations)
        return Augmenting(*(None if field is None else field[positions] for field in fields))


def augments(recipe: Recipe) -> bool:
    """Whether a recipe augments batches before the step."""
    return bool(recipe.scale or recipe.color_jitter or recipe.rand_augment)


def draw_augmenting(size: int, recipe: Recipe, sides: tuple[int, int], seed: int) -> Augmenting:
    """Draw the augmentation of an epoch of `size` images; `sides` is their height and width."""
    generator = torch.Generator().manual_seed(seed)
    box = _boxes(size, recipe, sides, generator)
    color = 1 + recipe.color_jitter * (2 * torch.rand(size, 3, generator=generator) - 1)
    operations = torch.randint(len(OPERATIONS), (size, recipe.rand_augment), generator=generator)
    is_opposite = torch.rand(size, recipe.rand_augment, generator=generator) < 0.5
    return Augmenting(
        box if recipe.scale else None,
        color if recipe.color_jitter else None,
        torch.where(is_opposite, -1 - operations, operations) if recipe.rand_augment else None,
    )


def _boxes(size: int, recipe: Recipe, sides: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Draw crops [N, 4] like torchvision's RandomResizedCrop: the first of ten attempts that fits, else the center."""
    height, width = sides
    low, high = recipe.scale or (1.0, 1.0)
    area = height * width * (low + (high - low) * torch.rand(size, ATTEMPTS, generator=generator))
    least, most = (math.log(bound) for bound in recipe.ratio)
    ratio = torch.exp(least + (most - least) * torch.rand(size, ATTEMPTS, generator=generator))
    wide, tall = (area * ratio).sqrt().round().long(), (area / ratio).sqrt().round().long()
    fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
    first = fits.long().argmax(dim=1, keepdim=True)
    wide, tall = wide.gather(1, first)[:, 0], tall.gather(1, first)[:, 0]
    never_fits = ~fits.any(dim=1)
    side = min(height, width)
    wide, tall = torch.where(never_fits, side, wide), torch.where(never_fits, side, tall)
    down, across = torch.rand(2, size, generator=generator)
    top, left = (down * (height - tall + 1)).long(), (across * (width - wide + 1)).long()
    top = torch.where(never_fits, (height - side) // 2, top)
    left = torch.where(never_fits, (width - side) // 2, left)
    return torch.stack([top, left, tall, wide], dim=1)


def augment(images: Tensor, augmenting: Augmenting, size: tuple[int, int], recipe: Recipe) -> Tensor:
    """Augment images [B, H, W, C] uint8, on any device; returns [B, *size, C] uint8."""
    augmented = images.permute(0, 3, 1, 2)
    if augmenting.box is not None:
        crop = crop_one_by_one if images.device.type == "cpu" else crop_at_once  # the faster of the two
        augmented = crop(augmented, augmenting.box, size)
    if augmenting.color is not None:
        augmented = _jittered(augmented, augmenting.color)
    for operations in augmenting.operations.unbind(1) if augmenting.operations is not None else ():
        augmented = _operated(augmented, operations, recipe.rand_magnitude)
    return augmented.permute(0, 2, 3, 1)


def crop_one_by_one(images: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Crop boxes [B, 4] out of images [B, C, H, W] uint8 and resize them to `size`: bilinear, not antialiased."""
    shape = (len(images), images.shape[1], *size)
    crops = torch.empty(shape, dtype=torch.uint8, device=images.device, memory_format=torch.channels_last)
    for number, (top, left, height, width) in enumerate(boxes.tolist()):
        box = images[number : number + 1, :, top : top + height, left : left + width]
        crops[number] = F.interpolate(box, size, mode="bilinear")[0]
    return crops


def crop_at_once(images: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """The same for all images in one operation, which differs by at most 1 in a pixel."""
    boxes = boxes.to(images.device, non_blocking=True).float()
    grids = []
    for axis, (start, length, whole) in enumerate(((0, 2, images.shape[2]), (1, 3, images.shape[3]))):
        steps = (torch.arange(size[axis], device=images.device) + 0.5) / size[axis]
        first, extent = boxes[:, start, None], boxes[:, length, None]
        at = (steps * extent - 0.5).clamp(min=0).minimum(extent - 1) + first
        grids.append(at * (2 / max(1, whole - 1)) - 1)
    rows, columns = grids
    grid = torch.stack([columns[:, None, :].expand(-1, size[0], -1), rows[:, :, None].expand(-1, -1, size[1])], dim=-1)
    return F.grid_sample(images.float(), grid, align_corners=True).round_().clamp_(0, 255).to(torch.uint8)


def _jittered(images: Tensor, factors: Tensor) -> Tensor:
    """Multiply brightness, contrast and saturation of images [B, C, H, W] uint8 by factors [B, 3], in this order."""
    brightness, contrast, saturation = factors.to(images.device, non_blocking=True)[:, :, None, None, None].unbind(1)
    bright = (images.float() * brightness).clamp_(0, 255).floor_()  # torchvision clamps after each
    mean = _gray(bright).mean(dim=(1, 2, 3), keepdim=True)
    contrasted = torch.lerp(mean, bright, contrast).clamp_(0, 255).floor_()
    if images.shape[1] == 3:
        contrasted = torch.lerp(_gray(contrasted).expand_as(contrasted), contrasted, saturation).clamp_(0, 255)
    return contrasted.to(torch.uint8)


def _gray(images: Tensor) -> Tensor:
    """The luma [B, 1, H, W] of images [B, C, H, W], as in torchvision."""
    if images.shape[1] == 1:
        return images
    weights = torch.tensor([0.2989, 0.587, 0.114], device=images.device)
    return (images * weights[None, :, None, None]).sum(dim=1, keepdim=True)


def _operated(images: Tensor, operations: Tensor, magnitude: int) -> Tensor:
    """Apply its own operation of RandAugment [B] to each image [B, C, H, W], all images of an operation at once.

    The batch is sorted by operation and put back in order. This takes two copies to a GPU, instead of one for each
    operation.
    """
    if not len(images):  # a process may have no share of the last batch
        return images
    order = operations.argsort(stable=True)
    kinds, counts = operations[order].unique_consecutive(return_counts=True)  # type: ignore[no-untyped-call]
    groups = images[order.to(images.device, non_blocking=True)].split(counts.tolist())  # type: ignore[no-untyped-call]
    done = [_apply(operation, group, magnitude / BINS) for operation, group in zip(kinds.tolist(), groups, strict=True)]
    return torch.cat(done)[order.argsort().to(images.device, non_blocking=True)]


def _apply(operation: int, images: Tensor, strength: float) -> Tensor:
    """Apply an operation of RandAugment to images [B, C, H, W] uint8; `strength` is from 0 to 1."""
    from torchvision.transforms.v2 import functional as V

    name, has_sign = OPERATIONS[-1 - operation if operation < 0 else operation]
    sign = -1 if operation < 0 and has_sign else 1
    height, width = images.shape[2:]
    factor = 1 + sign * 0.9 * strength
    changed: Tensor
    match name:
        case "Identity":
            changed = images
        case "ShearX" | "ShearY":
            angle = math.degrees(math.atan(sign * 0.3 * strength))
            shear = [angle, 0.0] if name == "ShearX" else [0.0, angle]
            changed = V.affine(images, angle=0.0, translate=[0, 0], scale=1.0, shear=shear, center=[0, 0])
        case "TranslateX" | "TranslateY":
            side = width if name == "TranslateX" else height
            pixels = int(sign * 150 / 331 * side * strength)
            translate = [pixels, 0] if name == "TranslateX" else [0, pixels]
            changed = V.affine(images, angle=0.0, translate=translate, scale=1.0, shear=[0.0, 0.0])
        case "Rotate":
            changed = V.rotate(images, angle=sign * 30 * strength)
        case "Brightness":
            changed = V.adjust_brightness(images, factor)
        case "Color":
            changed = V.adjust_saturation(images, factor)
        case "Contrast":
            changed = V.adjust_contrast(images, factor)
        case "Sharpness":
            changed = V.adjust_sharpness(images, factor)
        case "Posterize":
            changed = V.posterize(images, bits=8 - round(4 * strength))
        case "Solarize":
            changed = V.solarize(images, threshold=255 * (1 - strength))
        case "AutoContrast":
            changed = V.autocontrast(images)
        case _:
            changed = V.equalize(images)
    return changed


@dataclass(frozen=True)
class Mixing:
    """How each image of an epoch is mixed; positions and lengths are fractions of the sides."""

    blend: Tensor  # [N] mixup: the weight of the image; 1 without mixup
    box: Tensor  # [N, 3] CutMix: center (y, x) and half a side of the box of the other image; 0 without CutMix
    hole: Tensor  # [N, 2] cutout: center (y, x) of the square

    def to(self, device: torch.device) -> Mixing:
        """Copy the tensors to a device."""
        return Mixing(self.blend.to(device), self.box.to(device), self.hole.to(device))

    def at(self, positions: Tensor) -> Mixing:
        """Select the images at these positions [B] of the epoch."""
        return Mixing(self.blend[positions], self.box[positions], self.hole[positions])


def mixes(recipe: Recipe) -> bool:
    """Whether a recipe has mixup, CutMix or cutout."""
    return bool(recipe.mixup or recipe.cutmix or recipe.cutout)


def draw_mixing(size: int, recipe: Recipe, seed: int) -> Mixing:
    """Draw the mixing of an epoch of `size` images, on the CPU.

    Mixup (arXiv:1710.09412) blends with λ from Beta(mixup, mixup). CutMix (arXiv:1905.04899) covers 1 − λ of the area,
    with λ from Beta(cutmix, cutmix). If a recipe has both, `mixup_switch_prob` is the probability of CutMix.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    mixed = generator.random(size) < recipe.mixup_prob
    switch = recipe.mixup_switch_prob if recipe.mixup and recipe.cutmix else float(recipe.cutmix > 0)
    cut = generator.random(size) < switch
    blend = generator.beta(recipe.mixup or 1.0, recipe.mixup or 1.0, size)
    kept = generator.beta(recipe.cutmix or 1.0, recipe.cutmix or 1.0, size)
    centres, holes = generator.random((size, 2)), generator.random((size, 2))
    blended, covered = mixed & ~cut & (recipe.mixup > 0), mixed & cut & (recipe.cutmix > 0)
    half = np.where(covered, np.sqrt(1 - kept) / 2, 0.0)
    return Mixing(
        blend=torch.from_numpy(np.where(blended, blend, 1.0)).float(),
        box=torch.from_numpy(np.concatenate([centres, half[:, None]], axis=1)).float(),
        hole=torch.from_numpy(holes).float(),
    )


def mix(images: Tensor, mixing: Mixing, cutout: int) -> tuple[Tensor, Tensor]:
    """Mix the images of a batch.

    Args:
        images: Normalized images [B, C, H, W] float32.
        mixing: How these images are mixed.
        cutout: Side of the square that is set to 0, the mean, in pixels (arXiv:1708.04552); 0 for none.

    Returns:
        The mixed images, and the weight [B] of each image's own label. The label of the image that is mixed in has the
        rest of the weight.
    """
    height, width = images.shape[2:]
    rows = ((torch.arange(height, device=images.device) + 0.5) / height)[None, :, None]
    columns = ((torch.arange(width, device=images.device) + 0.5) / width)[None, None, :]
    y, x, half = mixing.box.T[..., None, None]
    covered = ((rows - y).abs() < half) & ((columns - x).abs() < half)  # [B, H, W]
    blend = mixing.blend[:, None, None, None]
    other = images.flip(0)
    mixed = torch.where(covered[:, None], other, images * blend + other * (1 - blend))
    weight = mixing.blend * (1 - covered.float().mean(dim=(1, 2)))
    if cutout:
        y, x = mixing.hole.T[..., None, None]
        hole = ((rows - y).abs() < cutout / 2 / height) & ((columns - x).abs() < cutout / 2 / width)
        mixed = mixed.masked_fill(hole[:, None], 0.0)
    return mixed, weight
