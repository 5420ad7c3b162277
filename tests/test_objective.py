from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.nn import functional as F

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


# -- a teacher's logits, in two parts ---------------------------------------------------------------


def probabilities(logits: Array) -> Array:
    powers: Array = np.exp(logits)
    return np.asarray(powers / powers.sum())


def as_the_paper_says(
    logits: Array, taught: Array, target: int, temperature: float, alpha: float, beta: float
) -> float:
    """Section 3.1 and equation 7: b = [p_t, 1 − p_t], p̂_i = p_i / (1 − p_t) for i ≠ t, α KL(b) + β KL(p̂)."""
    student, teacher = (probabilities(one / temperature) for one in (logits, taught))
    binary = [np.array([one[target], 1 - one[target]]) for one in (student, teacher)]
    others = [np.delete(one, target) / (1 - one[target]) for one in (student, teacher)]
    tckd = (binary[1] * np.log(binary[1] / binary[0])).sum()
    nckd = (others[1] * np.log(others[1] / others[0])).sum()
    return float((alpha * tckd + beta * nckd) * temperature**2)


@pytest.mark.parametrize(("temperature", "alpha", "beta"), [(4.0, 1.0, 8.0), (1.0, 1.0, 0.0), (2.0, 0.0, 1.0)])
def test_decoupled_distillation_is_what_its_paper_computes(temperature: float, alpha: float, beta: float) -> None:
    found = decoupled(LOGITS, TAUGHT, LABELS, temperature, (alpha, beta))
    logits, taught = LOGITS.double().numpy(), TAUGHT.double().numpy()
    expected = [
        as_the_paper_says(logits[i], taught[i], int(LABELS[i]), temperature, alpha, beta) for i in range(len(LABELS))
    ]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


def test_decoupled_distillation_is_finite_where_teacher_and_student_are_sure() -> None:
    sure = torch.tensor([[200.0, 0.0, -200.0]], requires_grad=True)
    loss = decoupled(sure, sure.detach().flip(1), torch.tensor([0]), 1.0, (1.0, 8.0)).sum()
    (gradient,) = torch.autograd.grad(loss, sure)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_decoupled_distillation_leaves_the_labels_their_whole_weight() -> None:
    recipe = Recipe(epochs=1, distill=0.5, distill_type="dkd", dkd_alpha=2.0, dkd_beta=3.0)
    loss = Loss(recipe)(LOGITS, LABELS, None, TAUGHT)
    taught = decoupled(LOGITS, TAUGHT, LABELS, recipe.temperature, (2.0, 3.0))
    torch.testing.assert_close(loss, F.cross_entropy(LOGITS, LABELS, reduction="none") + 0.5 * taught)


@pytest.mark.parametrize("mixed", ["mixup", "cutmix"])
def test_decoupled_distillation_has_no_target_among_mixed_labels(mixed: str) -> None:
    with pytest.raises(RecipeError, match="distill_type should be kd with mixup or cutmix, not 'dkd'"):
        Recipe(epochs=1, distill_type="dkd").changed({mixed: "0.2"})


@pytest.mark.parametrize("kind", ["kd", "dkd"])
def test_a_teacher_in_its_warm_up_has_a_part_of_its_weight(kind: str) -> None:
    recipe = Recipe(epochs=1, distill=0.8).changed({"distill_type": kind})
    quarter = Loss(recipe, distill_scale=torch.tensor(0.25))(LOGITS, LABELS, None, TAUGHT)
    expected = Loss(recipe.replace(distill=0.2))(LOGITS, LABELS, None, TAUGHT)
    torch.testing.assert_close(quarter, expected)


class Noting(nn.Module):
    """A teacher that notes how much of its weight it has whenever it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).requires_grad_(False)
        self.learner: Learner | None = None
        self.noted: list[float] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert self.learner is not None
        assert self.learner._distill_scale is not None
        self.noted.append(self.learner._distill_scale.item())
        logits: torch.Tensor = self.net(images)
        return logits


@pytest.mark.parametrize("stopped_after", [3, 9])
def test_the_teachers_part_grows_step_by_step_and_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped_after: int
) -> None:
    monkeypatch.setattr("zoo.training.loop.REPORT_SECONDS", 0.0)
    what, steps = job(RECIPE.changed({"distill_warmup_epochs": "2"})), 7
    teacher = Noting()
    stopped = begin_digits(what, tmp_path, teacher=teacher, reporting=Reporting(report=StopAfter(stopped_after)))
    teacher.learner = stopped.learner
    with pytest.raises(Interrupted):
        train(stopped)
    resumed = begin_digits(what, tmp_path, teacher=teacher, resume=True)
    teacher.learner = resumed.learner
    train(resumed)
    assert teacher.noted == pytest.approx([step / (2 * steps) for step in range(2 * steps)] + [1.0] * steps)


def test_smoothed_labels_are_torchs() -> None:
    loss = Loss(Recipe(epochs=1, smoothing=0.2))(LOGITS, LABELS, None, None)
    torch.testing.assert_close(loss, F.cross_entropy(LOGITS, LABELS, reduction="none", label_smoothing=0.2))


# -- rare classes -----------------------------------------------------------------------------------


def test_balanced_weights_are_those_of_scikit_learn_and_their_mean_over_the_images_is_1() -> None:
    labels = torch.tensor([0] * 6 + [1] * 3 + [3])
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels.numpy())
    weights = balanced(labels)
    assert weights[[0, 1, 3]].tolist() == pytest.approx(expected.tolist())
    assert weights[labels].mean().item() == pytest.approx(1.0)


def test_an_image_weighs_what_its_class_does() -> None:
    weights = torch.tensor([0.5, 1.0, 2.0, 4.0])
    recipe = Recipe(epochs=1, smoothing=0.1)
    found, plain = (Loss(recipe, one)(LOGITS, LABELS, None, None) for one in (weights, None))
    assert found.tolist() == pytest.approx([0.5 * plain[0].item(), 2 * plain[1].item(), 4 * plain[2].item()])


def test_a_mixed_image_weighs_by_each_of_its_labels_in_its_part() -> None:
    weights, part = torch.tensor([0.5, 1.0, 2.0, 4.0]), torch.tensor([0.75, 1.0, 0.25])
    found = Loss(Recipe(epochs=1), weights)(LOGITS, LABELS, part, None)
    surprise = -F.log_softmax(LOGITS, dim=1)
    expected = [
        0.75 * 0.5 * surprise[0, 0] + 0.25 * 4 * surprise[0, 3],
        2 * surprise[1, 2],
        0.25 * 4 * surprise[2, 3] + 0.75 * 0.5 * surprise[2, 0],
    ]
    assert found.tolist() == pytest.approx([one.item() for one in expected])


def test_a_teachers_part_is_not_weighted_by_class() -> None:
    recipe, weights = Recipe(epochs=1, distill=1.0), torch.tensor([0.5, 1.0, 2.0, 4.0])
    found = Loss(recipe, weights)(LOGITS, LABELS, None, TAUGHT)
    torch.testing.assert_close(found, distilled(LOGITS, TAUGHT, recipe.temperature))


def test_the_classes_are_counted_on_the_images_that_are_trained_on(tmp_path: Path) -> None:
    what = job(RECIPE.changed({"class_weight": "balanced"}))
    training = begin_digits(what, tmp_path)
    labels = training.splits.train.labels
    training.learner.begin(1)
    training.learner.step(0)
    # Before the first step the net is as it was built: its loss on the batch by hand.
    again = begin_digits(what, tmp_path)
    again.learner.net.train()
    index = again.learner._drawn.order[:64]
    images = again.splits.train.images[index]
    rows, columns = (torch.arange(8) + one[:64, None] for one in (again.learner._drawn.top, again.learner._drawn.left))
    cropped = images[torch.arange(64)[:, None, None], rows[:, :, None], columns[:, None, :]]
    logits = again.learner.net(again.pixels.normalise(cropped))
    counts = np.bincount(labels.numpy())
    weights = torch.tensor([len(labels) / (10 * counts[label]) for label in labels[index].tolist()])
    expected = (F.cross_entropy(logits, labels[index], reduction="none") * weights).sum()
    assert training.learner.totals[0].item() == pytest.approx(expected.item(), rel=1e-5)
