"""The training loop, one for CPU and GPU.

On a CPU the same job gives the same weights, byte for byte, also when the training was interrupted and resumed. The
order and the augmentation of an epoch depend on (seed, epoch) alone (`zoo.data.batches.draw`). Random numbers that the
net draws (dropout) come from torch's generators, whose state is in the checkpoint.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

from torch import Tensor, nn

from zoo.data.batches import Pixels
from zoo.data.sources import Splits
from zoo.errors import Interrupted, NonFiniteLoss
from zoo.evaluation.evaluate import evaluate
from zoo.nets.device import describe, synchronize
from zoo.record.types import EpochRow
from zoo.training import checkpoint, distributed
from zoo.training.checkpoint import Progress
from zoo.training.learner import Learner
from zoo.training.plan import Plan

REPORT_SECONDS = 0.5  # between two reports of the loss; each waits for the device


@dataclass
class Training:
    """A training in progress."""

    plan: Plan
    learner: Learner
    splits: Splits
    pixels: Pixels
    progress: Progress

    def resume(self) -> None:
        """Continue from the checkpoint of the run; raises TrainingError if it can't be restored."""
        self.progress, state = self.plan.output.restore(self.plan.job, self.progress.device)
        self.learner.restore(state)
        for continuation in self.progress.continued:
            self.plan.reporting.report.note(
                f"continued after epoch {continuation.epoch} with {'; '.join(continuation.changes)}"
            )

    def save(self) -> None:
        """Save a checkpoint; every process has to call this."""
        state = self.learner.state()
        if distributed.share().is_first:
            checkpoint.save(self.plan.output.run, self.plan.job, self.progress, state)


def begin(plan: Plan, net: nn.Module, splits: Splits, pixels: Pixels) -> Training:
    """Set up a training.

    Args:
        plan: The plan of the training.
        net: The initialized net; it is moved to the device of the splits.
        splits: The training, held-out and test images.
        pixels: The normalization.
    """
    learner = Learner(plan.job, net, splits.train, pixels, teacher=plan.teacher.net if plan.teacher else None)
    return Training(plan, learner, splits, pixels, Progress(device=describe(splits.train.labels.device)))


def train(training: Training) -> list[EpochRow]:
    """Train to the last epoch.

    The test set is evaluated every `eval_every` epochs, for the curve only, and not after the last epoch. Held-out
    images are evaluated every epoch. A checkpoint is saved every `save_every` epochs, at the end, and after a signal.

    Returns:
        A row of the log for each epoch.

    Raises:
        Interrupted: SIGINT or SIGTERM was received.
        NonFiniteLoss: The loss became infinite or NaN.
    """
    with stop_requests() as stop:
        _train(training, stop)
    return training.progress.rows


def _train(training: Training, stop: StopRequest) -> None:
    learner, progress, stopwatch = training.learner, training.progress, training.learner.stopwatch
    job, reporting, run = training.plan.job, training.plan.reporting, training.plan.output.run
    recipe, share, report, device = job.recipe, distributed.share(), reporting.report, learner.totals.device
    if share.is_first:
        checkpoint.rewrite_log(run, progress.rows)
    report.start(recipe.epochs, learner.images, progress.epoch)
    while progress.epoch < recipe.epochs:
        epoch = progress.epoch + 1
        stopwatch.start(progress.train_seconds, progress.compile_seconds)
        reported = time.perf_counter()
        learner.begin(epoch)
        for number in range(progress.step, learner.steps):
            learner.step(number)
            progress.step = number + 1
            now = time.perf_counter()
            if now - reported >= REPORT_SECONDS or stop.signal_number:
                reported, done = now, min(progress.step * recipe.batch_size, learner.images)
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
    """The row with the results on the held-out images, if any, and on the test images if `test`."""
    net, splits, pixels = training.learner.evaluated, training.splits, training.pixels
    if splits.val is not None:
        row = row.validated(evaluate(net, splits.val, pixels))
    return row.tested(evaluate(net, splits.test, pixels)) if test else row


def _mean_loss(progress: Progress, totals: Tensor, images: float) -> float:
    """The mean loss of the epoch so far; raises NonFiniteLoss, so no checkpoint is saved after one."""
    loss = totals[0].item() / images
    if not math.isfinite(loss):
        raise NonFiniteLoss(
            f"the loss became {loss} in epoch {progress.epoch + 1}, by step {progress.step}; train with "
            "a lower learning rate (lr), a warm-up (warmup_epochs) or clipped gradients (clip_grad)"
        )
    return loss


def _interrupted(training: Training, signal_number: int) -> Interrupted:
    progress = training.progress
    steps = f" and {progress.step} steps" if progress.step else ""
    return Interrupted(
        f"stopped after {progress.epoch} of {training.plan.job.recipe.epochs} epochs{steps}; the checkpoint is in "
        f"{training.plan.output.run}: to continue, give the same options and resume",
        signal_number,
    )


SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class StopRequest:
    """The signal that was received, if any."""

    signal_number: int | None = None


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Record the first SIGINT or SIGTERM in the StopRequest; the next one has its usual effect.

    Outside the main thread Python allows no signal handlers, so nothing is recorded.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    # A handler that was not set from Python is None and could not be restored.
    handlers = {number: handler for number in SIGNALS if (handler := signal.getsignal(number)) is not None}

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def record(number: int, frame: FrameType | None) -> None:
        request.signal_number = number
        restore()

    for number in handlers:
        signal.signal(number, record)
    try:
        yield request
    finally:
        restore()
