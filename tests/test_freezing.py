"""The head alone learns in the first epochs, or in all of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
import torch
from torch import Tensor, nn

from zoo import api
from zoo.errors import Interrupted, StartWarning, TrainingError
from zoo.record.job import Job
from zoo.spec import Recipe
from zoo.training import optimizer
from zoo.training.loop import Training, train

from .test_train import IMAGES, RECIPE, Run, StopAfter, begin_digits, job

FROZEN = RECIPE.changed({"freeze_epochs": "2"})  # of three
STILL = RECIPE.replace(freeze_epochs=3, crop_padding=0)  # nothing but the head ever moves
STEPS = 7  # an epoch


def state(training: Training) -> dict[str, Tensor]:
    with training.learner._state.counts.restored():
        return {name: tensor.clone() for name, tensor in training.learner.net.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


def an_epoch(training: Training, number: int) -> None:
    training.learner.begin(number)
    for step in range(STEPS):
        training.learner.step(step)
    training.learner.end(None)


def test_the_head_alone_learns_in_the_first_epochs_and_everything_after_them(tmp_path: Path) -> None:
    training = begin_digits(job(FROZEN), tmp_path)
    states = [state(training)]
    for epoch in (1, 2, 3):
        an_epoch(training, epoch)
        states.append(state(training))
    head = {"fc.weight", "fc.bias"}
    assert changed(states[0], states[1]) == changed(states[1], states[2]) == head
    assert changed(states[2], states[3]) == set(states[0])  # batch norm's statistics and counts with it


@pytest.mark.parametrize(
    ("stopped_after", "more"),  # in either part, and between them
    [
        (3, {}),
        (14, {}),
        (15, {"opt": "adamw", "lr": "0.005", "layer_decay": "0.7", "model_ema_decay": "0.9"}),
    ],
)
def test_a_run_that_was_stopped_in_either_part_or_between_them_has_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped_after: int, more: dict[str, str]
) -> None:
    monkeypatch.setattr("zoo.training.loop.REPORT_SECONDS", 0.0)
    what = job(FROZEN.changed(more))
    whole, stopped = Run(tmp_path / "whole").go(what), Run(tmp_path / "stopped")
    with pytest.raises(Interrupted):
        stopped.go(what, report=StopAfter(stopped_after))
    resumed = stopped.go(what, resume=True)
    assert resumed.bytes() == whole.bytes()
    losses = [[row.train_loss for row in run.rows] for run in (resumed, whole)]
    assert losses[0] == losses[1]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs a C++ compiler")
def test_a_compiled_step_is_compiled_again_for_each_part(tmp_path: Path) -> None:
    what = job(FROZEN.replace(epochs=2, freeze_epochs=1))
    compiled = Run(tmp_path / "compiled").go(msgspec.structs.replace(what, compile="default"))
    eager = Run(tmp_path / "eager").go(what)
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


def test_a_net_that_names_no_head_is_told_apart_by_name() -> None:
    assert isinstance(optimizer.head(without()()), nn.Linear)
    for net in (without("classifier")(), nn.Linear(2, 2)):
        with pytest.raises(TrainingError, match=rf"^{type(net).__name__} has no get_classifier\(\) .* leave it at 0$"):
            optimizer.head(net)


def test_a_parameter_that_never_learned_does_not_begin_to() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[0].bias.requires_grad_(False)
    learning = [one for one in net.parameters() if one.requires_grad]
    optimizer.train_only(net[1], learning)
    assert [one.requires_grad for one in net.parameters()] == [False, False, True, True]
    optimizer.train_only(net, learning)
    assert [one.requires_grad for one in net.parameters()] == [True, False, True, True]


# -- features that are computed once ----------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{"crop_padding": "1"}, {"hflip": "0.5"}, {"mixup": "0.2"}, {"cutout": "2"}, {"freeze_epochs": "2"},
                 {"color_jitter": "0.4"}, {"rand_augment": "2"}, {"scale": "0.5,1"}]
)  # fmt: skip
def test_features_stand_still_where_nothing_moves_them(settings: dict[str, str]) -> None:
    assert optimizer.has_constant_features(STILL)
    assert not optimizer.has_constant_features(STILL.changed(settings))


def test_a_head_that_learns_alone_to_the_end_does_so_in_other_epochs_too() -> None:
    assert STILL.changed({"epochs": "9"}).freeze_epochs == 9
    assert STILL.changed({"epochs": "9", "freeze_epochs": "3"}).freeze_epochs == 3
    assert FROZEN.changed({"epochs": "9"}).freeze_epochs == 2


class Counting:
    """Counts the images that a net sees while it trains."""

    def __init__(self, training: Training) -> None:
        self.images = 0
        training.learner.net.get_submodule("conv1").register_forward_hook(self)

    def __call__(self, layer: nn.Module, seen: tuple[Tensor], out: Tensor) -> None:
        self.images += len(seen[0])


def count(what: Job, run: Path, teacher: nn.Module | None = None) -> int:
    training = begin_digits(what, run, teacher=teacher)
    counting = Counting(training)
    train(training)
    return counting.images


def test_a_head_that_learns_alone_has_the_rest_computed_once(tmp_path: Path) -> None:
    assert count(job(STILL), tmp_path) == 2 * IMAGES  # and once more, to see whether the head is all that follows
    assert count(job(FROZEN), tmp_path) == 3 * IMAGES


def test_a_teacher_sees_images_and_so_does_its_student(tmp_path: Path) -> None:
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    assert count(job(STILL), tmp_path, teacher=teacher) == 3 * IMAGES


@pytest.mark.parametrize("settings", [{}, {"class_weight": "balanced", "smoothing": "0.1", "model_ema_decay": "0.9"}])
def test_a_head_learns_the_same_from_features_as_in_its_net(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    what = job(STILL.changed(settings))
    once = Run(tmp_path / "once").go(what)
    monkeypatch.setattr(optimizer, "has_constant_features", lambda recipe: False)
    every_time = Run(tmp_path / "every time").go(what)
    for row, other in zip(once.rows, every_time.rows, strict=True):
        assert row.train_loss == pytest.approx(other.train_loss, rel=1e-5)
        assert row.train_top1 == pytest.approx(other.train_top1, abs=100 / IMAGES)
    mine, theirs = once.net.state_dict(), every_time.net.state_dict()
    for name in mine:
        torch.testing.assert_close(mine[name], theirs[name], rtol=1e-4, atol=1e-6)


def test_a_head_that_learns_from_features_is_resumed_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.training.loop.REPORT_SECONDS", 0.0)
    stopped = Run(tmp_path / "stopped")
    with pytest.raises(Interrupted):
        stopped.go(job(STILL), report=StopAfter(10))
    assert stopped.go(job(STILL), resume=True).bytes() == Run(tmp_path / "whole").go(job(STILL)).bytes()


def test_a_net_whose_head_is_not_all_that_follows_its_features_is_run_whole(tmp_path: Path) -> None:
    training = begin_digits(job(STILL), tmp_path)
    learner, split, pixels = training.learner, training.splits.train, training.pixels
    net, drawn = learner.net, learner._drawn
    assert optimizer.features(net, split, drawn, pixels, amp=False) is not None
    assert optimizer.features(without()(), split, drawn, pixels, amp=False) is None
    head = net.forward_head
    net.forward_head = lambda x, pre_logits=False: head(x, pre_logits) * 2  # type: ignore[assignment, operator]
    assert optimizer.features(net, split, drawn, pixels, amp=False) is None


def test_a_head_alone_is_trained_and_published_as_any_net_is(tmp_path: Path) -> None:
    settings = {"freeze_epochs": "2", "crop_padding": "0", "class_weight": "balanced"}
    with pytest.warns(
        StartWarning, match="^recipe quick trains only the head for 2 of 2 epochs, but the rest .* \\(start\\)"
    ):
        done = api.train(
            "resnet8_digits", settings=settings, epochs=2, out=tmp_path / "model", amp=False, limit_train=400
        )
    assert done.config.job.recipe == Recipe.from_json(done.config.job.recipe.to_json())
    assert done.config.training.epochs == 2
