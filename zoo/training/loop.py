"""The loop: one for CPU and GPU, top to bottom.

Seeds fix everything on a CPU: the same job gives the same bytes of weights, whether it ran through
or was killed and resumed. For that, an epoch's randomness comes from (seed, epoch) alone
(`zoo.data.batches.draw`), and what a net itself draws (dropout) from torch's generators, which a
checkpoint keeps.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType

from torch import Tensor, nn

from zoo.data.batches import Pixels
from zoo.data.sources import Splits
from zoo.errors import Interrupted, NonFiniteLoss
from zoo.evaluation.evaluate import evaluate
from zoo.nets.device import synchronize
from zoo.record.types import EpochRow
from zoo.training import checkpoint, distributed
from zoo.training.checkpoint import Progress
from zoo.training.learner import Learner
from zoo.training.plan import Plan
from zoo.training.step import Stopwatch

GLANCE_SECONDS = 0.5  # between two looks at the loss, each of which waits for the device


@dataclass
class Training:
    """A training in progress."""

    plan: Plan
    learner: Learner
    splits: Splits
    pixels: Pixels
    stopwatch: Stopwatch
    progress: Progress = field(default_factory=Progress)

    def resume(self) -> None:
        """Continue from the checkpoint of the run; raises TrainingError if that is not possible."""
        self.progress, state = checkpoint.restore(self.plan.output.run, self.plan.job)
        self.learner.restore(state)

    def save(self) -> None:
        """Leave a checkpoint; every process has to take part."""
        state = self.learner.state()
        if distributed.share().is_first:
            checkpoint.save(self.plan.output.run, self.plan.job, self.progress, state)


def begin(
    plan: Plan, net: nn.Module, splits: Splits, pixels: Pixels, *, now: Callable[[], float] = time.perf_counter
) -> Training:
    """Set up the training of `net` on the device of `splits`."""
    stopwatch = Stopwatch(splits.train.labels.device, now)
    teacher = plan.teacher.net if plan.teacher else None
    learner = Learner(plan.job, net, splits.train, pixels, teacher=teacher, stopwatch=stopwatch)
    return Training(plan, learner, splits, pixels, stopwatch)


def train(training: Training) -> list[EpochRow]:
    """Train to the end, and return a row for each epoch.

    The test set is evaluated at intervals for the curve; nothing is decided by it, and the result is measured after the
    last epoch, not here. Held-out images are evaluated every epoch. Checkpoints are left at intervals, at the end, and
    when a signal asks to stop.

    Raises Interrupted after a signal, and NonFiniteLoss.
    """
    with stop_requests() as stop:
        _train(training, stop)
    return training.progress.rows


def _train(training: Training, stop: StopRequest) -> None:
    learner, progress, stopwatch = training.learner, training.progress, training.stopwatch
    job, reporting, run = training.plan.job, training.plan.reporting, training.plan.output.run
    recipe, share, report, device = job.recipe, distributed.share(), reporting.report, learner.totals.device
    if share.is_first:
        checkpoint.rewrite_log(run, progress.rows)
    report.start(recipe.epochs, learner.images, progress.epoch)
    while progress.epoch < recipe.epochs:
        epoch = progress.epoch + 1
        stopwatch.start(progress.train_seconds, progress.compile_seconds)
        glanced = time.perf_counter()
        learner.begin(epoch)
        for number in range(progress.step, learner.steps):
            learner.step(number)
            progress.step = number + 1
            now = time.perf_counter()
            if now - glanced >= GLANCE_SECONDS or stop.signal_number:
                glanced, done = now, min(progress.step * recipe.batch_size, learner.images)
                loss = _mean_loss(progress, learner.totals, done / share.world)
                report.step(epoch, done, stopwatch.train_seconds, loss)
            signal_number = distributed.agreed(stop.signal_number, number)
            if signal_number and progress.step < learner.steps:
                progress.train_seconds, progress.compile_seconds = stopwatch.train_seconds, stopwatch.compile_seconds
                training.save()
                raise _interrupted(training, signal_number)
        if epoch < recipe.epochs:
            learner.prepare(epoch + 1)
        totals = distributed.summed(learner.totals)
        synchronize(device)
        train_seconds, compile_seconds = stopwatch.train_seconds, stopwatch.compile_seconds
        row = EpochRow(
            epoch=epoch,
            lr=learner.lr,
            train_loss=_mean_loss(progress, totals, learner.images),
            train_top1=100 * totals[1].item() / learner.images,
            train_seconds=train_seconds,
            compile_seconds=compile_seconds,
        )
        last = epoch == recipe.epochs
        if share.is_first:
            row = _evaluated(training, row, test=epoch % reporting.eval_every == 0 and not last)
        learner.end(distributed.from_first(row.val_top1))
        progress.end_epoch(row)
        signal_number = distributed.agreed(stop.signal_number)
        if epoch % reporting.save_every == 0 or last or signal_number:
            training.save()
        if share.is_first:
            checkpoint.append_log(run, row)
        report.epoch(row)
        if signal_number:
            raise _interrupted(training, signal_number)


def _evaluated(training: Training, row: EpochRow, *, test: bool) -> EpochRow:
    """The row with the figures of the held-out images, if there are any, and of the test set if `test`."""
    net, splits, pixels = training.learner.evaluated, training.splits, training.pixels
    if splits.val is not None:
        row = row.validated(evaluate(net, splits.val, pixels))
    return row.tested(evaluate(net, splits.test, pixels)) if test else row


def _mean_loss(progress: Progress, totals: Tensor, images: float) -> float:
    """The loss so far; raises NonFiniteLoss, so that no checkpoint is ever written after one."""
    loss = totals[0].item() / images
    if not math.isfinite(loss):
        raise NonFiniteLoss(
            f"the loss became {loss} in epoch {progress.epoch + 1}, by step {progress.step}; train with "
            "a lower rate (lr), a warm-up (warmup_epochs) or clipped gradients (clip_grad)"
        )
    return loss


def _interrupted(training: Training, signal_number: int) -> Interrupted:
    progress = training.progress
    steps = f" and {progress.step} steps" if progress.step else ""
    return Interrupted(
        f"stopped after {progress.epoch} of {training.plan.job.recipe.epochs} epochs{steps}; the checkpoint is in "
        f"{training.plan.output.run}: give the same options and resume to continue",
        signal_number,
    )


SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class StopRequest:
    """The signal that asked to stop; None if there was none."""

    signal_number: int | None = None


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Note the first signal in the StopRequest; a second one has its usual effect.

    Outside the main thread Python delivers no signals, and nothing is noted.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    # One that was not set from Python is None, and could not be put back.
    before = {number: handler for number, handler in handlers.items() if handler is not None}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        request.signal_number = number
        restore()

    for number in before:
        signal.signal(number, note)
    try:
        yield request
    finally:
        restore()
