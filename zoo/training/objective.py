"""What a training minimises, for each image of a batch: cross entropy, of mixed labels, beside a teacher's logits.

What is minimised is the mean over images, whatever an image's own loss is weighted with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.data.augmentation import mix
from zoo.data.batches import Feed
from zoo.spec import Recipe

# The images at these positions [B] of an epoch, to their losses and to whether they are recognised, each [B].
Objective = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Judged:
    """How logits [B, C] are judged: by labels [B]; of a mixed image, by two labels in their parts.

    `class_weights` [classes] weighs an image's cross entropy by its label; a mixed one's by each of its labels.
    `teaching` is how much of its weight the teacher has by now, 0 to 1: a number on the device, so that a step
    that is compiled or captured reads it anew. None for all of it.
    """

    recipe: Recipe
    class_weights: Tensor | None = None
    teaching: Tensor | None = None

    def __call__(self, logits: Tensor, labels: Tensor, part: Tensor | None, taught: Tensor | None) -> Tensor:
        """The loss [B]; `part` [B] is each one's own part of a mixed label, `taught` [B, C] the teacher's logits."""
        loss = self._cross_entropy(logits, labels)
        if part is not None:
            loss = part * loss + (1 - part) * self._cross_entropy(logits, labels.flip(0))
        if taught is None:
            return loss
        recipe = self.recipe
        weight = recipe.distill if self.teaching is None else recipe.distill * self.teaching
        if recipe.distill_type == "dkd":
            parts = (recipe.dkd_alpha, recipe.dkd_beta)
            return loss + weight * decoupled(logits, taught, labels, recipe.temperature, parts)
        return (1 - weight) * loss + weight * distilled(logits, taught, recipe.temperature)

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        loss = F.cross_entropy(logits, labels, label_smoothing=self.recipe.smoothing, reduction="none")
        return loss if self.class_weights is None else loss * self.class_weights[labels]


def balanced(labels: Tensor) -> Tensor:
    """What each class weighs so that all weigh the same: images / (classes · images of it), as scikit-learn has it.

    Of labels [N] to [up to the highest label + 1] float32 on their device. Classes that no label names count for
    nothing, so the mean over the images is 1.
    """
    counts = torch.bincount(labels.cpu())
    weights = len(labels) / (counts.count_nonzero() * counts.clamp(min=1))
    return weights.float().to(labels.device)


def distilled(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """Hinton et al. (arXiv:1503.02531), section 2: KL divergence at a temperature T, times T²; [B]."""
    return _divergence(*(F.log_softmax(one.float() / temperature, dim=1) for one in (logits, taught))) * temperature**2


def decoupled(
    logits: Tensor, taught: Tensor, labels: Tensor, temperature: float, weights: tuple[float, float]
) -> Tensor:
    """Zhao et al. (arXiv:2203.08679), equation 7, at a temperature T, times T²; [B].

    Hinton's divergence in two parts, each with a weight of its own: that of the label's class against all
    others together, and that of the others among themselves.
    """
    student, teacher = (_parted(one.float() / temperature, labels) for one in (logits, taught))
    target, others = _divergence(student[0], teacher[0]), _divergence(student[1], teacher[1])
    return (weights[0] * target + weights[1] * others) * temperature**2


def _parted(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the label's class and of all others together [B, 2], and of the others alone [B, C − 1]."""
    places = torch.arange(logits.shape[1] - 1, device=logits.device).expand(len(logits), -1)
    others = logits.gather(1, places + (places >= labels[:, None]))  # all columns but the label's
    target = logits.gather(1, labels[:, None])
    against = torch.cat([target, others.logsumexp(dim=1, keepdim=True)], dim=1)
    return F.log_softmax(against, dim=1), F.log_softmax(others, dim=1)


def _divergence(student: Tensor, wanted: Tensor) -> Tensor:
    """KL divergence of log-probabilities [B, C]; [B]."""
    return F.kl_div(student, wanted, log_target=True, reduction="none").sum(dim=1)


def objective(
    net: nn.Module,
    batches: Feed,
    recipe: Recipe,
    *,
    amp: bool,
    teacher: nn.Module | None,
    class_weights: Tensor | None = None,
    teaching: Tensor | None = None,
) -> Objective:
    """The whole way from positions to losses: the batch made, normalised and mixed, the net, the judgement.

    One function, so that compiling can fuse all of it. A mixed image counts as recognised where it is
    taken for the class that it has more of. Where `net` is a head, its images are features.
    """
    judged = Judged(recipe, class_weights, teaching)

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
