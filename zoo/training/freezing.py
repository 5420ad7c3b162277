"""Training a net's head alone: which part that is, how the rest stands still, and what is computed once for all epochs.

A head that learns alone sees the same features of an image in every epoch, if the image is the same. Then they are
computed once, and kept on the device; the head learns from them as it would have learned in its net.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.data.augmentation import Mixing, mixes
from zoo.data.batches import Draw, Pixels
from zoo.data.sources import Split, parts
from zoo.errors import TrainingError
from zoo.spec import Recipe
from zoo.training import distributed


def head(net: nn.Module) -> nn.Module:
    """What makes logits of features, as the net names it for timm; raises TrainingError where it names nothing."""
    classifier = getattr(net, "get_classifier", lambda: None)()
    if not isinstance(classifier, nn.Module) or not any(True for _ in classifier.parameters()):
        raise TrainingError(
            f"{type(net).__name__} names no head that could learn alone: its get_classifier() is missing or gives no "
            "layer with weights; leave freeze_epochs at 0"
        )
    return classifier


def learn_alone(part: nn.Module, parameters: Iterable[nn.Parameter]) -> None:
    """Let those of these parameters that are in `part` have gradients, and no others."""
    own = set(part.parameters())
    for parameter in parameters:
        parameter.requires_grad_(parameter in own)


def stand_still(recipe: Recipe) -> bool:
    """Whether the head's features of an image are the same in every epoch of a recipe."""
    augments = (recipe.crop_padding, recipe.hflip, recipe.scale, recipe.color_jitter, recipe.rand_augment)
    return recipe.freeze_epochs == recipe.epochs and not any(augments) and not mixes(recipe)


@dataclass(frozen=True)
class Features:
    """All batches of a training, as a head sees them: features [N, F] and labels [N] by image, in the order drawn."""

    features: Tensor
    labels: Tensor
    drawn: Draw

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The features [B, F] of the images at these positions [B] of the epoch, and their labels [B]."""
        index = self.drawn.order[positions]
        return self.features[index], self.labels[index]

    def mixing(self, positions: Tensor) -> Mixing | None:
        """None: features are not mixed."""
        return None

    def begin(self, drawn: Draw) -> None:
        """Nothing: what is drawn for an epoch is read where it lies."""

    def bring(self, start: int, end: int) -> None:
        """Nothing: all features are there."""


@torch.no_grad()
def features(net: nn.Module, split: Split, drawn: Draw, pixels: Pixels, *, amp: bool) -> Features | None:
    """The features of every image, computed by a net in evaluation mode that stands still but for its head.

    None where the net can't give them, by timm's `forward_features` and `forward_head`, or where its head makes
    other logits of them than the net does.
    """
    if not (hasattr(net, "forward_features") and hasattr(net, "forward_head")):
        return None
    device = split.labels.device
    net.eval()
    found: list[Tensor] = []
    for images in parts(split.images):
        seen = pixels.normalise(images.to(device))
        with torch.autocast(device.type, torch.bfloat16, enabled=amp, cache_enabled=False):
            found.append(net.forward_head(net.forward_features(seen), pre_logits=True))  # type: ignore[operator]
            if len(found) == 1:
                agrees = torch.allclose(head(net)(found[0]), net(seen), rtol=1e-3, atol=1e-3)
                if not distributed.everywhere(agrees):
                    return None
    return Features(torch.cat(found), split.labels, drawn)
