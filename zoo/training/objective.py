"""What a training minimises, for each image of a batch: cross entropy, of mixed labels, beside a teacher's logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.data.feed import Feed
from zoo.data.mixing import mix
from zoo.spec import Recipe

# The images at these positions [B] of an epoch, to their losses and to whether they are recognised, each [B].
Objective = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Judged:
    """How logits [B, C] are judged: by labels [B]; of a mixed image, by two labels in their parts."""

    recipe: Recipe

    def __call__(self, logits: Tensor, labels: Tensor, part: Tensor | None, taught: Tensor | None) -> Tensor:
        """The loss [B]; `part` [B] is each one's own part of a mixed label, `taught` [B, C] the teacher's logits."""
        loss = self._cross_entropy(logits, labels)
        if part is not None:
            loss = part * loss + (1 - part) * self._cross_entropy(logits, labels.flip(0))
        if taught is not None:
            weight = self.recipe.distill
            loss = (1 - weight) * loss + weight * distilled(logits, taught, self.recipe.temperature)
        return loss

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=self.recipe.smoothing, reduction="none")


def distilled(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """Hinton et al. (arXiv:1503.02531), section 2: KL divergence at a temperature T, times T²; [B]."""
    student = F.log_softmax(logits.float() / temperature, dim=1)
    wanted = F.log_softmax(taught.float() / temperature, dim=1)
    return F.kl_div(student, wanted, log_target=True, reduction="none").sum(dim=1) * temperature**2


def objective(net: nn.Module, batches: Feed, recipe: Recipe, *, amp: bool, teacher: nn.Module | None) -> Objective:
    """The whole way from positions to losses: the batch made, normalised and mixed, the net, the judgement.

    One function, so that compiling can fuse all of it. A mixed image counts as recognised where it is
    taken for the class that it has more of.
    """
    judged = Judged(recipe)

    def judge(positions: Tensor) -> tuple[Tensor, Tensor]:
        images, labels = batches.at(positions)
        mixing, part = batches.mixing(positions), None
        if mixing is not None:
            images, part = mix(images, mixing, recipe.cutout)
        # A cache of cast weights would outlive the graph that it was made in.
        with torch.autocast(images.device.type, torch.bfloat16, enabled=amp, cache_enabled=False):
            logits = net(images)
            taught = None
            if teacher is not None:
                with torch.no_grad():
                    taught = teacher(images)
            loss = judged(logits, labels, part, taught)
        wanted = labels if part is None else torch.where(part < 0.5, labels.flip(0), labels)
        return loss, logits.detach().argmax(dim=1) == wanted

    return judge
