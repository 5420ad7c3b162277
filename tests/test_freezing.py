"""Training only the head, for the first epochs or for all (`freeze_epochs`)."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
import torch
from torch import Tensor, nn

from zoo import api
from zoo.errors import StartWarning, TrainingError
from zoo.record.job import Job
from zoo.spec import Recipe
from zoo.training import optimizer
from zoo.training.loop import Training, train

from .test_train import IMAGES, RECIPE, Run, begin_digits, job

FROZEN = RECIPE.changed({"freeze_epochs": "2"})  # of three epochs
HEAD_ONLY = RECIPE.replace(freeze_epochs=3, crop_padding=0)  # only the head changes
STEPS = 7  # per epoch


def state(training: Training) -> dict[str, Tensor]:
    with training.learner._state.counts.restored():
        return {name: tensor.clone() for name, tensor in training.learner.net.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


def run_epoch(training: Training, number: int) -> None:
    training.learner.begin(number)
    for step in range(STEPS):
        training.learner.step(step)
    training.learner.end(None)


def test_only_the_head_learns_in_the_frozen_epochs(tmp_path: Path) -> None:
    training = begin_digits(job(FROZEN), tmp_path)
    states = [state(training)]
    for epoch in (1, 2, 3):
        run_epoch(training, epoch)
        states.append(state(training))
    head = {"fc.weight", "fc.bias"}
    assert changed(states[0], states[1]) == changed(states[1], states[2]) == head
    assert changed(states[2], states[3]) == set(states[0])  # including batch norm's statistics


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs a C++ compiler")
def test_a_step_is_compiled_again_after_the_frozen_epochs(tmp_path: Path) -> None:
    training_job = job(FROZEN.replace(epochs=2, freeze_epochs=1))
    compiled = Run(tmp_path / "compiled").go(msgspec.structs.replace(training_job, compile="default"))
    eager = Run(tmp_path / "eager").go(training_job)
    assert [row.compile_seconds > 0 for row in compiled.rows] == [True, True]
    assert [row.train_loss for row in compiled.rows] == pytest.approx([row.train_loss for row in eager.rows], rel=1e-3)


def without(*names: str) -> type[nn.Module]:
    """A net that lacks parts of timm's interface."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(64, 10)

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.fc(images.flatten(1))
            return logits

        def get_classifier(self) -> nn.Module | None:
            return None if "classifier" in names else self.fc

    return Net


def test_a_net_without_a_named_head_is_refused() -> None:
    assert isinstance(optimizer.head(without()()), nn.Linear)
    for net in (without("classifier")(), nn.Linear(2, 2)):
        with pytest.raises(TrainingError, match=rf"^{type(net).__name__} has no get_classifier\(\) .* leave it at 0$"):
            optimizer.head(net)


def test_a_parameter_without_gradient_stays_without_gradient() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[0].bias.requires_grad_(False)
    learning = [parameter for parameter in net.parameters() if parameter.requires_grad]
    optimizer.train_only(net[1], learning)
    assert [parameter.requires_grad for parameter in net.parameters()] == [False, False, True, True]
    optimizer.train_only(net, learning)
    assert [parameter.requires_grad for parameter in net.parameters()] == [True, False, True, True]


# -- features computed once ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{"crop_padding": "1"}, {"hflip": "0.5"}, {"mixup": "0.2"}, {"cutout": "2"}, {"freeze_epochs": "2"},
                 {"color_jitter": "0.4"}, {"rand_augment": "2"}, {"scale": "0.5,1"}]
)  # fmt: skip
def test_features_are_constant_without_augmentation_in_head_only_training(settings: dict[str, str]) -> None:
    assert optimizer.has_constant_features(HEAD_ONLY)
    assert not optimizer.has_constant_features(HEAD_ONLY.changed(settings))


def test_head_only_training_stays_head_only_with_other_epochs() -> None:
    assert HEAD_ONLY.changed({"epochs": "9"}).freeze_epochs == 9
    assert HEAD_ONLY.changed({"epochs": "9", "freeze_epochs": "3"}).freeze_epochs == 3
    assert FROZEN.changed({"epochs": "9"}).freeze_epochs == 2


class Counting:
    """Counts the images that pass through a net during training."""

    def __init__(self, training: Training) -> None:
        self.images = 0
        training.learner.net.get_submodule("conv1").register_forward_hook(self)

    def __call__(self, layer: nn.Module, seen: tuple[Tensor], out: Tensor) -> None:
        self.images += len(seen[0])


def count(training_job: Job, run: Path, teacher: nn.Module | None = None) -> int:
    training = begin_digits(training_job, run, teacher=teacher)
    counting = Counting(training)
    train(training)
    return counting.images


def test_features_are_computed_once_in_head_only_training(tmp_path: Path) -> None:
    assert count(job(HEAD_ONLY), tmp_path) == 2 * IMAGES  # again to check that only the head follows
    assert count(job(FROZEN), tmp_path) == 3 * IMAGES


def test_with_a_teacher_features_are_computed_every_epoch(tmp_path: Path) -> None:
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    assert count(job(HEAD_ONLY), tmp_path, teacher=teacher) == 3 * IMAGES


@pytest.mark.parametrize("settings", [{}, {"class_weight": "balanced", "smoothing": "0.1", "model_ema_decay": "0.9"}])
def test_a_head_learns_the_same_from_stored_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    training_job = job(HEAD_ONLY.changed(settings))
    once = Run(tmp_path / "once").go(training_job)
    monkeypatch.setattr(optimizer, "has_constant_features", lambda recipe: False)
    every_time = Run(tmp_path / "every time").go(training_job)
    for row, other in zip(once.rows, every_time.rows, strict=True):
        assert row.train_loss == pytest.approx(other.train_loss, rel=1e-5)
        assert row.train_top1 == pytest.approx(other.train_top1, abs=100 / IMAGES)
    mine, theirs = once.net.state_dict(), every_time.net.state_dict()
    for name in mine:
        torch.testing.assert_close(mine[name], theirs[name], rtol=1e-4, atol=1e-6)


def test_features_are_not_stored_for_a_net_with_layers_after_the_head(tmp_path: Path) -> None:
    training = begin_digits(job(HEAD_ONLY), tmp_path)
    learner, split, pixels = training.learner, training.splits.train, training.pixels
    net, drawn = learner.net, learner._drawn
    assert optimizer.features(net, split, drawn, pixels, amp=False) is not None
    assert optimizer.features(without()(), split, drawn, pixels, amp=False) is None
    head = net.forward_head
    net.forward_head = lambda x, pre_logits=False: head(x, pre_logits) * 2  # type: ignore[assignment, operator]
    assert optimizer.features(net, split, drawn, pixels, amp=False) is None


def test_head_only_training_without_a_start_warns(tmp_path: Path) -> None:
    settings = {"freeze_epochs": "2", "crop_padding": "0", "class_weight": "balanced"}
    with pytest.warns(
        StartWarning,
        match="^recipe quick trains only the head for 2 of 2 epochs, but the rest .* set start to pretrained weights",
    ):
        done = api.train(
            "resnet8_digits", settings=settings, epochs=2, out=tmp_path / "model", amp=False, limit_train=400
        )
    assert done.config.job.recipe == Recipe.from_json(done.config.job.recipe.to_json())
    assert done.config.training.epochs == 2
