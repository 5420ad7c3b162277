"""Mixup, CutMix and cutout, on the device and for each image of a batch on its own.

torchvision and timm mix a whole batch one way, with numbers drawn on the way. Here they are drawn
before the epoch from (seed, epoch), like all that is random, so that any batch can be made again and
a captured step can read them; and each image has its own.

Every image is mixed with the one opposite it in the batch (the first with the last), whose place is
as random as its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.spec import Recipe


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


def draw(size: int, recipe: Recipe, seed: int) -> Mixing:
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
    """Mix normalised images [B, C, H, W] float32; returns them and each one's part [B] in its own label.

    The other part is that of the label opposite. Cutout (arXiv:1708.04552) sets a square of `cutout`
    pixels to the mean, which is 0.
    """
    height, width = images.shape[2:]
    rows = ((torch.arange(height, device=images.device) + 0.5) / height)[None, :, None]
    columns = ((torch.arange(width, device=images.device) + 0.5) / width)[None, None, :]
    y, x, half = (one[:, None, None] for one in mixing.box.unbind(1))
    covered = ((rows - y).abs() < half) & ((columns - x).abs() < half)  # [B, H, W]
    blend = mixing.blend[:, None, None, None]
    other = images.flip(0)
    mixed = torch.where(covered[:, None], other, images * blend + other * (1 - blend))
    part = mixing.blend * (1 - covered.float().mean(dim=(1, 2)))
    if cutout:
        y, x = (one[:, None, None] for one in mixing.hole.unbind(1))
        hole = ((rows - y).abs() < cutout / 2 / height) & ((columns - x).abs() < cutout / 2 / width)
        mixed = mixed.masked_fill(hole[:, None], 0.0)
    return mixed, part
