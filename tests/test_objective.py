from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.nn import functional as F

from zoo.data import batches
from zoo.errors import Interrupted, RecipeError
from zoo.spec import Recipe
from zoo.training.learner import Learner
from zoo.training.loop import train
from zoo.training.objective import Loss, balanced, decoupled, distilled
from zoo.training.reporting import Reporting

from .test_train import RECIPE, StopAfter, begin_digits, job

Array = npt.NDArray[np.float64]

LOGITS = torch.tensor([[2.0, -1.0, 0.5, 0.0], [0.1, 0.2, 3.0, -2.0], [1.0, 1.0, 1.0, 1.0]])
TAUGHT = torch.tensor([[3.0, 0.0, -0.5, 1.0], [-1.0, 0.4, 2.0, 0.0], [0.0, 2.0, -1.0, 0.5]])
LABELS = torch.tensor([0, 2, 3])


# -- distillation ----------------------------------------------------------------------------------


def probabilities(logits: Array) -> Array:
    powers: Array = np.exp(logits)
    return np.asarray(powers / powers.sum())


def as_the_paper_says(
    logits: Array, taught: Array, target: int, temperature: float, alpha: float, beta: float
) -> float:
    """Section 3.1 and equation 7: b = [p_t, 1 − p_t], p̂_i = p_i / (1 − p_t) for i ≠ t, α KL(b) + β KL(p̂)."""
    student, teacher = (probabilities(row / temperature) for row in (logits, taught))
    binary = [np.array([p[target], 1 - p[target]]) for p in (student, teacher)]
    rest = [np.delete(p, target) / (1 - p[target]) for p in (student, teacher)]
    tckd = (binary[1] * np.log(binary[1] / binary[0])).sum()
    nckd = (rest[1] * np.log(rest[1] / rest[0])).sum()
    return float((alpha * tckd + beta * nckd) * temperature**2)


@pytest.mark.parametrize(("temperature", "alpha", "beta"), [(4.0, 1.0, 8.0), (1.0, 1.0, 0.0), (2.0, 0.0, 1.0)])
def test_decoupled_distillation_matches_its_paper(temperature: float, alpha: float, beta: float) -> None:
    losses = decoupled(LOGITS, TAUGHT, LABELS, temperature, (alpha, beta))
    logits, taught = LOGITS.double().numpy(), TAUGHT.double().numpy()
    expected = [
        as_the_paper_says(logits[i], taught[i], int(LABELS[i]), temperature, alpha, beta) for i in range(len(LABELS))
    ]
    assert losses.tolist() == pytest.approx(expected, rel=1e-5)


def test_decoupled_distillation_is_finite_for_extreme_logits() -> None:
    sure = torch.tensor([[200.0, 0.0, -200.0]], requires_grad=True)
    loss = decoupled(sure, sure.detach().flip(1), torch.tensor([0]), 1.0, (1.0, 8.0)).sum()
    (gradient,) = torch.autograd.grad(loss, sure)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_decoupled_distillation_adds_to_the_whole_loss_of_the_labels() -> None:
    recipe = Recipe(epochs=1, distill=0.5, distill_type="dkd", dkd_alpha=2.0, dkd_beta=3.0)
    loss = Loss(recipe)(LOGITS, LABELS, None, TAUGHT)
    taught = decoupled(LOGITS, TAUGHT, LABELS, recipe.temperature, (2.0, 3.0))
    torch.testing.assert_close(loss, F.cross_entropy(LOGITS, LABELS, reduction="none") + 0.5 * taught)


@pytest.mark.parametrize("mixed", ["mixup", "cutmix"])
def test_decoupled_distillation_is_refused_with_mixed_labels(mixed: str) -> None:
    with pytest.raises(RecipeError, match="distill_type should be kd with mixup or cutmix, not 'dkd'"):
        Recipe(epochs=1, distill_type="dkd").changed({mixed: "0.2"})


@pytest.mark.parametrize("kind", ["kd", "dkd"])
def test_the_warm_up_scales_the_weight_of_the_teacher(kind: str) -> None:
    recipe = Recipe(epochs=1, distill=0.8).changed({"distill_type": kind})
    quarter = Loss(recipe, distill_scale=torch.tensor(0.25))(LOGITS, LABELS, None, TAUGHT)
    expected = Loss(recipe.replace(distill=0.2))(LOGITS, LABELS, None, TAUGHT)
    torch.testing.assert_close(quarter, expected)


class Noting(nn.Module):
    """A teacher that records the warm-up factor at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).requires_grad_(False)
        self.learner: Learner | None = None
        self.noted: list[float] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert self.learner is not None
        assert self.learner._loss.distill_scale is not None
        self.noted.append(self.learner._loss.distill_scale.item())
        logits: torch.Tensor = self.net(images)
        return logits


@pytest.mark.usefixtures("report_every_step")
@pytest.mark.parametrize("stopped_after", [3, 9])
def test_the_warm_up_of_the_teacher_grows_every_step_and_survives_a_resume(tmp_path: Path, stopped_after: int) -> None:
    training_job, steps = job(RECIPE.changed({"distill_warmup_epochs": "2"})), 7
    teacher = Noting()
    stopped = begin_digits(
        training_job, tmp_path, teacher=teacher, reporting=Reporting(report=StopAfter(stopped_after))
    )
    teacher.learner = stopped.learner
    with pytest.raises(Interrupted):
        train(stopped)
    resumed = begin_digits(training_job, tmp_path, teacher=teacher, resume=True)
    teacher.learner = resumed.learner
    train(resumed)
    assert teacher.noted == pytest.approx([step / (2 * steps) for step in range(2 * steps)] + [1.0] * steps)


def test_label_smoothing_matches_torch() -> None:
    loss = Loss(Recipe(epochs=1, smoothing=0.2))(LOGITS, LABELS, None, None)
    torch.testing.assert_close(loss, F.cross_entropy(LOGITS, LABELS, reduction="none", label_smoothing=0.2))


# -- class weights ---------------------------------------------------------------------------------


def test_balanced_class_weights_match_scikit_learn_and_average_1_over_the_images() -> None:
    labels = torch.tensor([0] * 6 + [1] * 3 + [3])
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels.numpy())
    weights = balanced(labels)
    assert weights[[0, 1, 3]].tolist() == pytest.approx(expected.tolist())
    assert weights[labels].mean().item() == pytest.approx(1.0)


def test_the_loss_of_an_image_is_multiplied_by_its_class_weight() -> None:
    weights = torch.tensor([0.5, 1.0, 2.0, 4.0])
    recipe = Recipe(epochs=1, smoothing=0.1)
    weighted, plain = (Loss(recipe, class_weights)(LOGITS, LABELS, None, None) for class_weights in (weights, None))
    assert weighted.tolist() == pytest.approx([0.5 * plain[0].item(), 2 * plain[1].item(), 4 * plain[2].item()])


def test_a_mixed_image_is_weighted_by_both_its_classes() -> None:
    weights, part = torch.tensor([0.5, 1.0, 2.0, 4.0]), torch.tensor([0.75, 1.0, 0.25])
    losses = Loss(Recipe(epochs=1), weights)(LOGITS, LABELS, part, None)
    surprise = -F.log_softmax(LOGITS, dim=1)
    expected = [
        0.75 * 0.5 * surprise[0, 0] + 0.25 * 4 * surprise[0, 3],
        2 * surprise[1, 2],
        0.25 * 4 * surprise[2, 3] + 0.75 * 0.5 * surprise[2, 0],
    ]
    assert losses.tolist() == pytest.approx([loss.item() for loss in expected])


def test_the_distillation_loss_is_not_weighted_by_class() -> None:
    recipe, weights = Recipe(epochs=1, distill=1.0), torch.tensor([0.5, 1.0, 2.0, 4.0])
    losses = Loss(recipe, weights)(LOGITS, LABELS, None, TAUGHT)
    torch.testing.assert_close(losses, distilled(LOGITS, TAUGHT, recipe.temperature))


def test_class_weights_are_computed_from_the_training_images(tmp_path: Path) -> None:
    balanced_job = job(RECIPE.changed({"class_weight": "balanced"}))
    training = begin_digits(balanced_job, tmp_path)
    training.learner.begin(1)
    training.learner.step(0)
    untrained = begin_digits(balanced_job, tmp_path)
    untrained.learner.net.train()
    split = untrained.splits.train
    images, labels = batches.batch(split, untrained.learner._drawn, torch.arange(64), RECIPE.crop_padding)
    logits = untrained.learner.net(untrained.pixels.normalise(images))
    counts = np.bincount(split.labels.numpy())
    weights = torch.tensor([len(split.labels) / (10 * counts[label]) for label in labels.tolist()])
    expected = (F.cross_entropy(logits, labels, reduction="none") * weights).sum()
    assert training.learner.totals[0].item() == pytest.approx(expected.item(), rel=1e-5)
