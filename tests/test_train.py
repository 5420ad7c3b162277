from __future__ import annotations

import dataclasses
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import torch
from torch import nn

from zoo import api, registry
from zoo.data import batches, sources
from zoo.errors import Interrupted, NonFiniteLoss, TrainingError
from zoo.nets import weights
from zoo.nets.build import build
from zoo.nets.device import has_bf16
from zoo.record import store
from zoo.record.job import Job
from zoo.record.types import EpochRow
from zoo.spec import InputSize, Recipe
from zoo.training import checkpoint
from zoo.training import optimizer as optim
from zoo.training.checkpoint import CHECKPOINT
from zoo.training.loop import Training, begin, train
from zoo.training.reporting import Report, Reporting

from .jobs import JOB, plan_of

CPU = torch.device("cpu")
MODEL = registry.load("resnet8_digits")
RECIPE = JOB.recipe
IMAGES = 400  # six batches of 64 and one of 16


def job(recipe: Recipe = RECIPE, *, seed: int = 0, amp: bool = False) -> Job:
    return msgspec.structs.replace(JOB, recipe=recipe, seed=seed, amp=amp, train_images=IMAGES)


def begin_digits(
    job: Job,
    run: Path,
    *,
    resume: bool = False,
    reporting: Reporting | None = None,
    teacher: nn.Module | None = None,
) -> Training:
    """A training on digits, before its first step."""
    torch.manual_seed(job.seed)
    splits = sources.read_splits(MODEL.dataset, job.recipe, Path(), device=CPU, train_images=IMAGES)
    pixels = batches.pixels(MODEL.dataset.mean, MODEL.dataset.std, CPU)
    plan = plan_of(job, run, reporting or Reporting(save_every=100, eval_every=100), teacher=teacher)
    training = begin(plan, build(MODEL.architecture, MODEL.dataset), splits, pixels)
    if resume:
        training.resume()
    return training


@dataclass
class Run:
    """A training in a folder, and its trained net."""

    folder: Path
    net: nn.Module = field(init=False)
    rows: list[EpochRow] = field(init=False)

    def go(
        self,
        job: Job,
        *,
        resume: bool = False,
        eval_every: int = 100,
        save_every: int = 1,
        report: Report | None = None,
    ) -> Run:
        self.folder.mkdir(exist_ok=True)
        reporting = Reporting(save_every, eval_every, report or Report())
        training = begin_digits(job, self.folder, resume=resume, reporting=reporting)
        self.rows = train(training)
        self.net = training.learner.published()
        return self

    def bytes(self) -> bytes:
        return weights.dump(self.net, {"name": "test"})


class StopAfter(Report):
    """Sends this process a signal after a number of reported steps."""

    def __init__(self, steps: int, number: signal.Signals = signal.SIGINT) -> None:
        self.steps, self.number = steps, number

    def step(self, epoch: int, done: int, seconds: float, train_loss: float) -> None:
        self.steps -= 1
        if self.steps == 0:
            os.kill(os.getpid(), self.number)


def test_training_lowers_the_loss_and_logs_a_row_an_epoch(tmp_path: Path) -> None:
    rows = Run(tmp_path).go(job(), eval_every=1).rows
    assert [row.epoch for row in rows] == [1, 2, 3]
    assert rows[2].train_loss < rows[1].train_loss < rows[0].train_loss
    assert rows[2].train_top1 > 40
    assert [row.lr for row in rows] == pytest.approx([0.05, 0.0375, 0.0125])
    assert [row.test_top1 is not None for row in rows] == [True, True, False]  # the last epoch is evaluated at the end
    assert store.read_log(tmp_path) == rows


@pytest.mark.parametrize(
    "amp", [False, pytest.param(True, marks=pytest.mark.skipif(not has_bf16(CPU), reason="no bf16"))]
)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path, amp: bool) -> None:
    first = Run(tmp_path / "a").go(job(amp=amp)).bytes()
    assert Run(tmp_path / "b").go(job(amp=amp)).bytes() == first
    assert Run(tmp_path / "c").go(job(seed=1, amp=amp)).bytes() != first


def test_the_seconds_of_an_epoch_include_drawing_and_exclude_compiling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [0.0]

    def passing(function: Callable[..., Any], duration: float) -> Callable[..., Any]:
        def slow(*arguments: Any, **named: Any) -> Any:
            seconds[0] += duration
            return function(*arguments, **named)

        return slow

    def compile(forward: Callable[..., Any], **options: object) -> Callable[..., Any]:
        compiled = iter([passing(forward, 1000)])
        return lambda *arguments: next(compiled, forward)(*arguments)

    monkeypatch.setattr(torch, "compile", compile)
    compiled_job = msgspec.structs.replace(job(), compile="default")
    monkeypatch.setattr("zoo.training.step.time", SimpleNamespace(perf_counter=lambda: seconds[0]))
    training = begin_digits(compiled_job, tmp_path)
    monkeypatch.setattr(batches, "draw", passing(batches.draw, 100))
    monkeypatch.setattr(optim, "clip", passing(optim.clip, 1))
    rows = train(training)
    # Seven steps per epoch; the second and third epoch are drawn during the one before.
    assert [row.compile_seconds for row in rows] == [1001, 0, 0]
    assert [row.train_seconds for row in rows] == [106, 107, 7]
    assert sum(row.train_seconds + row.compile_seconds for row in rows) == seconds[0]


def test_evaluating_during_training_does_not_change_the_weights(tmp_path: Path) -> None:
    unseen = Run(tmp_path / "a").go(job(), eval_every=100)
    seen = Run(tmp_path / "b").go(job(), eval_every=1)
    assert seen.bytes() == unseen.bytes()


PLATEAU = {"sched": "plateau", "val_images": "300", "patience_epochs": "0", "lr": "0.5"}


@pytest.mark.usefixtures("report_every_step")
@pytest.mark.parametrize(
    ("changes", "steps"),  # stopped in an epoch of seven steps, at its end, or after it
    [
        ({"sched": "constant", "sched_on_updates": "true"}, 3),
        ({"sched": "multistep", "decay_milestones": "2", "opt": "adam", "lr": "0.005"}, 10),
        ({"sched": "cosine", "warmup_epochs": "1", "warmup_lr": "0.01"}, 7),
        ({"sched": "onecycle", "sched_on_updates": "true", "layer_decay": "0.7"}, 3),
        (PLATEAU, 10),
        (PLATEAU, 7),
        ({"opt": "adamw", "lr": "0.005"}, 9),
        ({"freeze_epochs": "2"}, 3),
        ({"freeze_epochs": "2"}, 14),
        ({"freeze_epochs": "2", "opt": "adamw", "lr": "0.005", "layer_decay": "0.7", "model_ema_decay": "0.9"}, 15),
        ({"freeze_epochs": "3", "crop_padding": "0"}, 10),  # stored features
    ],
    ids=lambda value: " ".join(f"{name}={text}" for name, text in value.items()) if isinstance(value, dict) else value,
)
def test_a_run_stopped_anywhere_is_resumed_to_the_same_bytes(
    tmp_path: Path, changes: dict[str, str], steps: int
) -> None:
    changed = job(RECIPE.changed(changes))
    whole = Run(tmp_path / "whole").go(changed)
    stopped = Run(tmp_path / "stopped")
    with pytest.raises(Interrupted, match="to continue, give the same options and resume"):
        stopped.go(changed, report=StopAfter(steps))
    resumed = stopped.go(changed, resume=True)
    assert resumed.bytes() == whole.bytes()
    assert [msgspec.structs.replace(row, train_seconds=0) for row in resumed.rows] == [
        msgspec.structs.replace(row, train_seconds=0) for row in whole.rows
    ]
    assert store.read_log(tmp_path / "stopped") == resumed.rows


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs a C++ compiler")
@pytest.mark.usefixtures("report_every_step")
@pytest.mark.slow
def test_a_compiled_run_is_resumed_to_the_same_bytes(tmp_path: Path) -> None:
    compiled = msgspec.structs.replace(job(), compile="default")
    stopped = Run(tmp_path / "stopped")
    with pytest.raises(Interrupted):
        stopped.go(compiled, report=StopAfter(9))
    assert stopped.go(compiled, resume=True).bytes() == Run(tmp_path / "whole").go(compiled).bytes()
    assert sum(row.compile_seconds for row in stopped.rows) > 0


@pytest.mark.usefixtures("report_every_step")
def test_dropout_is_resumed_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = MODEL.architecture.build

    def with_dropout(input_size: InputSize, num_classes: int) -> nn.Module:
        return nn.Sequential(nn.Dropout2d(0.2), plain(input_size, num_classes), nn.Dropout(0.2))

    architecture = dataclasses.replace(MODEL.architecture, build=with_dropout)
    monkeypatch.setitem(globals(), "MODEL", dataclasses.replace(MODEL, architecture=architecture))
    stopped = Run(tmp_path / "stopped")
    with pytest.raises(Interrupted):
        stopped.go(job(), report=StopAfter(9))
    torch.rand(100)
    assert stopped.go(job(), resume=True).bytes() == Run(tmp_path / "whole").go(job()).bytes()


@pytest.mark.usefixtures("report_every_step")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_run_with_a_checkpoint_and_its_exit_code(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match="stopped after 0 of 3 epochs and 2 steps") as caught:
        Run(tmp_path).go(job(), report=StopAfter(2, number))
    assert caught.value.exit_code == 128 + number
    assert (tmp_path / CHECKPOINT).is_file()
    assert signal.getsignal(number) is before


def test_a_loss_that_is_not_finite_stops_the_training_with_remedies(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLoss, match=r"the loss became (nan|inf) in epoch 1.*a lower learning rate \(lr\)"):
        Run(tmp_path).go(job(RECIPE.replace(lr=1e18)))
    assert not (tmp_path / CHECKPOINT).exists()


def test_a_checkpoint_is_saved_every_save_every_epochs_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    monkeypatch.setattr(checkpoint, "save", lambda run, job, progress, *state: saved.append(progress.epoch))
    Run(tmp_path).go(job(RECIPE.replace(epochs=5)), save_every=2)
    assert saved == [2, 4, 5]


def test_plateau_lowers_the_rate_when_held_out_accuracy_stops_rising(tmp_path: Path) -> None:
    recipe = RECIPE.replace(epochs=14, sched="plateau", patience_epochs=1, val_images=300)
    rows = Run(tmp_path).go(job(recipe)).rows
    lr, best, failed, drops = recipe.lr, 0.0, 0, 0
    for row in rows:
        assert row.lr == pytest.approx(lr)
        assert row.val_top1 is not None
        failed = 0 if row.val_top1 > best else failed + 1
        best = max(best, row.val_top1)
        if failed > recipe.patience_epochs:
            lr, failed, drops = lr * recipe.decay_rate, 0, drops + 1
    assert drops >= 1


def test_held_out_images_are_the_last_of_the_training_set() -> None:
    recipe = RECIPE.replace(val_images=300)
    splits = sources.read_splits(MODEL.dataset, recipe, Path(), device=CPU, train_images=1_437)
    everything = sources.read_split(MODEL.dataset, Path(), train=True, device=CPU)
    assert splits.val is not None
    assert torch.equal(splits.train.uncropped().images, everything.images[:1_137])
    assert torch.equal(splits.val.images, everything.images[1_137:])


NARROW = """
from torch import nn
from zoo.datasets import DIGITS
from zoo.spec import Architecture, Model, Recipe

def build(input_size, num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, num_classes))

model = Model(Architecture("narrow", build, {"short": Recipe(epochs=1, batch_size=64)}), DIGITS, parameters=None)
"""


def test_a_batch_of_one_image_is_refused_if_batch_norm_cannot_train_on_it(
    tmp_path: Path, fake_plugin: Callable[..., Path]
) -> None:
    fake_plugin("zoo-narrow", {"narrow_digits": "zoo_narrow:model"}, "zoo_narrow", NARROW)
    expected = r"^129 images in batches of 64 leave a batch of one image, .*; set batch_size to 65, for example"
    with pytest.raises(TrainingError, match=expected):
        api.train("narrow", limit_train=129, amp=False, out=tmp_path / "narrow")
    assert api.train("narrow", limit_train=130, amp=False, out=tmp_path / "narrow", resume=True).config
    assert api.train("resnet8", limit_train=65, epochs=1, amp=False, out=tmp_path / "wide").config


@pytest.mark.gpu
def test_a_gpu_captures_the_steps_of_the_head_and_of_the_net(tmp_path: Path) -> None:
    cuda = torch.device("cuda")
    changes = {"epochs": "10", "freeze_epochs": "3", "layer_decay": "0.9", "model_ema_decay": "0.9"}
    recipe, images = MODEL.recipes["quick"].changed(changes), MODEL.dataset.train_images
    splits = sources.read_splits(MODEL.dataset, recipe, Path(), device=cuda, train_images=images)
    graphed = msgspec.structs.replace(job(recipe, amp=True), device="cuda", compile="graph", train_images=images)
    torch.manual_seed(0)
    training = begin(
        plan_of(graphed, tmp_path), build(MODEL.architecture, MODEL.dataset), splits,
        batches.pixels(MODEL.dataset.mean, MODEL.dataset.std, cuda),
    )  # fmt: skip
    rows = train(training)
    assert training.learner.how == "graph"
    assert rows[2].train_top1 < 90 < rows[-1].train_top1
    assert rows[-2].test_top1 is not None
    assert rows[-2].test_top1 > 90  # of the averaged weights
