"""Augmentations beyond crop and flip, on the device.

**Augmenting** (random resized crop, color jitter, RandAugment) changes a batch before the step, so that a compiled or
captured step is not affected. Its random numbers stay on the CPU, where they select torchvision's functions.

**Mixing** (mixup, CutMix, cutout) is part of the step. Each image is mixed with the image at the mirrored position of
the batch (the first with the last); the order of the images is random.

All random numbers are drawn before an epoch from (seed, epoch), so that any batch can be repeated. Each image has its
own numbers; torchvision and timm mix all images of a batch in the same way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.spec import Recipe

ATTEMPTS = 10  # at a crop of the wanted area and ratio that fits, as torchvision has it
BINS = 30  # magnitudes of RandAugment are parts of this
# RandAugment's changes (arXiv:1909.13719, table 6), as torchvision names and bounds them; whether a sign is drawn.
CHANGES: Final = (
    ("Identity", False), ("ShearX", True), ("ShearY", True), ("TranslateX", True), ("TranslateY", True),
    ("Rotate", True), ("Brightness", True), ("Color", True), ("Contrast", True), ("Sharpness", True),
    ("Posterize", False), ("Solarize", False), ("AutoContrast", False), ("Equalize", False),
)  # fmt: skip


@dataclass(frozen=True)
class Augmenting:
    """How each image of an epoch is changed: all tensors [N, …], on the processor."""

    box: Tensor | None  # [N, 4] int64: top, left, height, width of what is cropped out, in pixels
    colour: Tensor | None  # [N, 3] float32: what brightness, contrast and saturation are multiplied by
    changes: Tensor | None  # [N, how many] int64: which of RandAugment's, one after another; below 0 in the other sense

    def at(self, positions: Tensor) -> Augmenting:
        """The part of it for a batch."""
        return Augmenting(
            *(None if drawn is None else drawn[positions] for drawn in (self.box, self.colour, self.changes)),
        )


def augments(recipe: Recipe) -> bool:
    """Whether a recipe has augmentations before the step."""
    return bool(recipe.scale or recipe.color_jitter or recipe.rand_augment)


def draw_augmenting(size: int, recipe: Recipe, sides: tuple[int, int], seed: int) -> Augmenting:
    """Draw for an epoch of `size` images of that height and width."""
    generator = torch.Generator().manual_seed(seed)
    box = _boxes(size, recipe, sides, generator)
    colour = 1 + recipe.color_jitter * (2 * torch.rand(size, 3, generator=generator) - 1)
    changes = torch.randint(len(CHANGES), (size, recipe.rand_augment), generator=generator)
    mirrored = torch.rand(size, recipe.rand_augment, generator=generator) < 0.5
    return Augmenting(
        box if recipe.scale else None,
        colour if recipe.color_jitter else None,
        torch.where(mirrored, -1 - changes, changes) if recipe.rand_augment else None,
    )


def _boxes(size: int, recipe: Recipe, sides: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Return random crops as torchvision's RandomResizedCrop draws them: the first of ten attempts that fits."""
    height, width = sides
    low, high = recipe.scale or (1.0, 1.0)
    area = height * width * (low + (high - low) * torch.rand(size, ATTEMPTS, generator=generator))
    least, most = (math.log(bound) for bound in recipe.ratio)
    ratio = torch.exp(least + (most - least) * torch.rand(size, ATTEMPTS, generator=generator))
    wide, tall = (area * ratio).sqrt().round().long(), (area / ratio).sqrt().round().long()
    fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
    first = fits.long().argmax(dim=1, keepdim=True)
    wide, tall = wide.gather(1, first)[:, 0], tall.gather(1, first)[:, 0]
    none = ~fits.any(dim=1)
    side = min(height, width)
    wide, tall = torch.where(none, side, wide), torch.where(none, side, tall)
    down, across = torch.rand(2, size, generator=generator)
    top, left = (down * (height - tall + 1)).long(), (across * (width - wide + 1)).long()
    top, left = torch.where(none, (height - side) // 2, top), torch.where(none, (width - side) // 2, left)
    return torch.stack([top, left, tall, wide], dim=1)


def augment(images: Tensor, how: Augmenting, size: tuple[int, int], recipe: Recipe) -> Tensor:
    """Change images [B, H, W, C] uint8, on any device; returns [B, *size, C] uint8."""
    changed = images.permute(0, 3, 1, 2)
    if how.box is not None:
        changed = cropped(changed, how.box, size)
    if how.colour is not None:
        changed = coloured(changed, how.colour)
    for changes in how.changes.unbind(1) if how.changes is not None else ():
        changed = _changed(changed, changes, recipe.rand_magnitude)
    return changed.permute(0, 2, 3, 1)


def cropped(images: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """The boxes [B, 4] out of images [B, C, H, W] uint8, each resized to `size`: bilinear, not antialiased.

    A CPU is fastest with single images in integers, a GPU with the whole batch.
    """
    return one_by_one(images, boxes, size) if images.device.type == "cpu" else at_once(images, boxes, size)


def one_by_one(images: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Crop and resize images one by one, with torch's function for uint8."""
    shape = (len(images), images.shape[1], *size)
    made = torch.empty(shape, dtype=torch.uint8, device=images.device, memory_format=torch.channels_last)
    for number, (top, left, height, width) in enumerate(boxes.tolist()):
        box = images[number : number + 1, :, top : top + height, left : left + width]
        made[number] = F.interpolate(box, size, mode="bilinear")[0]
    return made


def at_once(images: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Crop and resize all images in one operation."""
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


def coloured(images: Tensor, factors: Tensor) -> Tensor:
    """Images [B, C, H, W] uint8 with brightness, contrast and saturation times factors [B, 3], in that order."""
    brightness, contrast, saturation = factors.to(images.device, non_blocking=True)[:, :, None, None, None].unbind(1)
    bright = (images.float() * brightness).clamp_(0, 255).floor_()  # torchvision cuts off after each
    mean = _grey(bright).mean(dim=(1, 2, 3), keepdim=True)
    contrasted = torch.lerp(mean, bright, contrast).clamp_(0, 255).floor_()
    if images.shape[1] == 3:
        contrasted = torch.lerp(_grey(contrasted).expand_as(contrasted), contrasted, saturation).clamp_(0, 255)
    return contrasted.to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    """The luma [B, 1, H, W] of images [B, C, H, W], as torchvision has it."""
    if images.shape[1] == 1:
        return images
    weights = torch.tensor([0.2989, 0.587, 0.114], device=images.device)
    return (images * weights[None, :, None, None]).sum(dim=1, keepdim=True)


def _changed(images: Tensor, changes: Tensor, magnitude: int) -> Tensor:
    """Each image [C, H, W] through its own one of RandAugment's changes [B]: all of the same at once.

    The batch is sorted by change and put back in order, so two copies go to a GPU, and not one for each change.
    """
    if not len(images):  # one of several processes may have no share of the last batch
        return images
    order = changes.argsort(stable=True)
    kinds, counts = changes[order].unique_consecutive(return_counts=True)  # type: ignore[no-untyped-call]
    groups = images[order.to(images.device, non_blocking=True)].split(counts.tolist())  # type: ignore[no-untyped-call]
    changed = [_one(group, kind, magnitude / BINS) for group, kind in zip(groups, kinds.tolist(), strict=True)]
    return torch.cat(changed)[order.argsort().to(images.device, non_blocking=True)]


def _one(images: Tensor, change: int, part: float) -> Tensor:
    """Images [B, C, H, W] uint8 through one of RandAugment's changes, that `part` of its most."""
    from torchvision.transforms.v2 import functional as V

    name, has_sign = CHANGES[-1 - change if change < 0 else change]
    sign = -1 if change < 0 and has_sign else 1
    height, width = images.shape[2:]
    factor = 1 + sign * 0.9 * part
    changed: Tensor
    match name:
        case "Identity":
            changed = images
        case "ShearX" | "ShearY":
            angle = math.degrees(math.atan(sign * 0.3 * part))
            shear = [angle, 0.0] if name == "ShearX" else [0.0, angle]
            changed = V.affine(images, angle=0.0, translate=[0, 0], scale=1.0, shear=shear, center=[0, 0])
        case "TranslateX" | "TranslateY":
            side = width if name == "TranslateX" else height
            pixels = int(sign * 150 / 331 * side * part)
            translate = [pixels, 0] if name == "TranslateX" else [0, pixels]
            changed = V.affine(images, angle=0.0, translate=translate, scale=1.0, shear=[0.0, 0.0])
        case "Rotate":
            changed = V.rotate(images, angle=sign * 30 * part)
        case "Brightness":
            changed = V.adjust_brightness(images, factor)
        case "Color":
            changed = V.adjust_saturation(images, factor)
        case "Contrast":
            changed = V.adjust_contrast(images, factor)
        case "Sharpness":
            changed = V.adjust_sharpness(images, factor)
        case "Posterize":
            changed = V.posterize(images, bits=8 - round(4 * part))
        case "Solarize":
            changed = V.solarize(images, threshold=255 * (1 - part))
        case "AutoContrast":
            changed = V.autocontrast(images)
        case _:
            changed = V.equalize(images)
    return changed


@dataclass(frozen=True)
class Mixing:
    """How each image is mixed: all tensors [N, …], positions on the scale 0 to 1."""

    blend: Tensor  # [N] mixup: its own part of the pixels; 1 where it is not blended
    box: Tensor  # [N, 3] CutMix: centre (y, x) and half a side of what the other image covers; 0 for nothing
    hole: Tensor  # [N, 2] cutout: the centre (y, x) of what is blackened

    def to(self, device: torch.device) -> Mixing:
        """The same on a device."""
        return Mixing(self.blend.to(device), self.box.to(device), self.hole.to(device))

    def at(self, positions: Tensor) -> Mixing:
        """The part of it for a batch."""
        return Mixing(self.blend[positions], self.box[positions], self.hole[positions])


def mixes(recipe: Recipe) -> bool:
    """Whether a recipe changes images beyond crop and flip."""
    return bool(recipe.mixup or recipe.cutmix or recipe.cutout)


def draw_mixing(size: int, recipe: Recipe, seed: int) -> Mixing:
    """Draw for an epoch of `size` images, on the CPU.

    Mixup (arXiv:1710.09412) blends with λ from Beta(mixup, mixup), CutMix (arXiv:1905.04899) covers
    1 − λ of the area with λ from Beta(cutmix, cutmix); where a recipe has both, `mixup_switch_prob`
    is how often it is CutMix's turn.
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
    """Mix normalized images [B, C, H, W] float32; return them and the weights [B] of their own labels.

    The rest of the weight is that of the mirrored image's label. Cutout (arXiv:1708.04552) sets a square of `cutout`
    pixels to the mean, which is 0.
    """
    height, width = images.shape[2:]
    rows = ((torch.arange(height, device=images.device) + 0.5) / height)[None, :, None]
    columns = ((torch.arange(width, device=images.device) + 0.5) / width)[None, None, :]
    y, x, half = mixing.box.T[..., None, None]
    covered = ((rows - y).abs() < half) & ((columns - x).abs() < half)  # [B, H, W]
    blend = mixing.blend[:, None, None, None]
    other = images.flip(0)
    mixed = torch.where(covered[:, None], other, images * blend + other * (1 - blend))
    part = mixing.blend * (1 - covered.float().mean(dim=(1, 2)))
    if cutout:
        y, x = mixing.hole.T[..., None, None]
        hole = ((rows - y).abs() < cutout / 2 / height) & ((columns - x).abs() < cutout / 2 / width)
        mixed = mixed.masked_fill(hole[:, None], 0.0)
    return mixed, part
