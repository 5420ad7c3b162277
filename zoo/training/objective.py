"""The loss of a training: cross entropy, with mixed labels too, and distillation from a teacher.

Losses are computed for each image; the training minimizes their mean over the batch.
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

# From positions [B] in an epoch to the losses of these images, and whether they are predicted correctly, each [B].
Objective = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Loss:
    """The loss of each image of a batch.

    Attributes:
        recipe: The recipe, with label smoothing and distillation.
        class_weights: Weights of the cross entropy by label, [classes]; None for 1.
        distill_scale: The factor of the teacher's weight during its warm-up, 0 to 1, a scalar tensor on the device so
            that compiled and captured steps read its current value; None for 1.
    """

    recipe: Recipe
    class_weights: Tensor | None = None
    distill_scale: Tensor | None = None

    def __call__(self, logits: Tensor, labels: Tensor, part: Tensor | None, teacher_logits: Tensor | None) -> Tensor:
        """Compute the losses [B].

        Args:
            logits: The student's logits [B, classes].
            labels: The labels [B].
            part: The weight [B] of an image's own label in a mixed label, 0 to 1; the other label is that of the image
                at the mirrored position of the batch. None if the images are not mixed.
            teacher_logits: The teacher's logits [B, classes], if there is a teacher.
        """
        loss = self._cross_entropy(logits, labels)
        if part is not None:
            loss = part * loss + (1 - part) * self._cross_entropy(logits, labels.flip(0))
        if teacher_logits is None:
            return loss
        recipe = self.recipe
        weight = recipe.distill if self.distill_scale is None else recipe.distill * self.distill_scale
        if recipe.distill_type == "dkd":
            parts = (recipe.dkd_alpha, recipe.dkd_beta)
            return loss + weight * decoupled(logits, teacher_logits, labels, recipe.temperature, parts)
        return (1 - weight) * loss + weight * distilled(logits, teacher_logits, recipe.temperature)

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        loss = F.cross_entropy(logits, labels, label_smoothing=self.recipe.smoothing, reduction="none")
        return loss if self.class_weights is None else loss * self.class_weights[labels]


def balanced(labels: Tensor) -> Tensor:
    """Class weights as scikit-learn's "balanced": images / (classes · images of the class).

    Args:
        labels: The labels [N] of the training images.

    Returns:
        [highest label + 1] float32 on the device of the labels. Classes without images are not counted, so the mean
        weight over the images is 1.
    """
    counts = torch.bincount(labels.cpu())
    weights = len(labels) / (counts.count_nonzero() * counts.clamp(min=1))
    return weights.float().to(labels.device)


def distilled(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Distillation loss of Hinton et al. (arXiv:1503.02531), section 2.

    Args:
        logits: The student's logits [B, classes].
        teacher_logits: The teacher's logits [B, classes].
        temperature: The temperature T by which logits are divided.

    Returns:
        KL divergence times T², [B].
    """
    student, teacher = (F.log_softmax(values.float() / temperature, dim=1) for values in (logits, teacher_logits))
    return _divergence(student, teacher) * temperature**2


def decoupled(
    logits: Tensor, teacher_logits: Tensor, labels: Tensor, temperature: float, weights: tuple[float, float]
) -> Tensor:
    """Decoupled distillation loss of Zhao et al. (arXiv:2203.08679), equation 7.

    Args:
        logits: The student's logits [B, classes].
        teacher_logits: The teacher's logits [B, classes].
        labels: The labels [B].
        temperature: The temperature T by which logits are divided.
        weights: Alpha, the weight of the divergence between the label's class and all others together; and beta, that
            of the divergence among the others.

    Returns:
        The weighted sum times T², [B].
    """
    student, teacher = (_decoupled(values.float() / temperature, labels) for values in (logits, teacher_logits))
    target, others = _divergence(student[0], teacher[0]), _divergence(student[1], teacher[1])
    return (weights[0] * target + weights[1] * others) * temperature**2


def _decoupled(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the label's class and of all others together [B, 2], and of the others alone [B, C − 1]."""
    columns = torch.arange(logits.shape[1] - 1, device=logits.device).expand(len(logits), -1)
    others = logits.gather(1, columns + (columns >= labels[:, None]))  # all columns but the label's
    target = logits.gather(1, labels[:, None])
    binary = torch.cat([target, others.logsumexp(dim=1, keepdim=True)], dim=1)
    return F.log_softmax(binary, dim=1), F.log_softmax(others, dim=1)


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """KL divergence [B] of log-probabilities [B, C]."""
    return F.kl_div(student, teacher, log_target=True, reduction="none").sum(dim=1)


def objective(net: nn.Module, batches: Feed, loss_of: Loss, *, amp: bool, teacher: nn.Module | None) -> Objective:
    """Combine the batch, its mixing, the net and the loss into one function of positions, for compiling.

    Args:
        net: The net, or its head if the batches are features.
        batches: Makes the images and labels of a batch.
        loss_of: The loss.
        amp: Whether the net computes in bf16.
        teacher: The net that is distilled, if any.

    Returns:
        The objective. A mixed image is predicted correctly if the prediction is its label of greater weight.
    """

    def compute(positions: Tensor) -> tuple[Tensor, Tensor]:
        images, labels = batches.at(positions)
        mixing, part = batches.mixing(positions), None
        if mixing is not None:
            images, part = mix(images, mixing, loss_of.recipe.cutout)
        # autocast's cache of cast weights would keep tensors of a CUDA graph alive.
        with torch.autocast(images.device.type, torch.bfloat16, enabled=amp, cache_enabled=False):
            logits = net(images)
            teacher_logits = None
            if teacher is not None:
                with torch.no_grad():
                    teacher_logits = teacher(images)
            loss = loss_of(logits, labels, part, teacher_logits)
        expected = labels if part is None else torch.where(part < 0.5, labels.flip(0), labels)
        return loss, logits.detach().argmax(dim=1) == expected

    return compute
