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
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo.data.batches import Pixels
from zoo.data.sources import Splits
from zoo.errors import Interrupted, NonFiniteLoss
from zoo.evaluation.evaluate import evaluate
from zoo.nets.device import synchronize
from zoo.record.job import Job
from zoo.record.types import EpochRow
from zoo.training import checkpoint, distributed
from zoo.training.checkpoint import Progress
from zoo.training.interrupt import StopRequest, stop_requests
from zoo.training.learner import Learner
from zoo.training.stopwatch import Stopwatch
from zoo.training.watch import Silent, Watch

GLANCE_SECONDS = 0.5  # between two looks at the loss, each of which waits for the device


@dataclass
class Training:
    """A training on its way: what learns, from what, where it leaves its checkpoints, who is told."""

    job: Job
    learner: Learner
    splits: Splits
    pixels: Pixels
    run: Path
    watch: Watch
    stopwatch: Stopwatch
    progress: Progress = field(default_factory=Progress)

    def resume(self) -> None:
        """Go on from the checkpoint in `run`; raises TrainingError where that can't be."""
        self.progress, state = checkpoint.restore(self.run, self.job)
        self.learner.restore(state)

    def save(self) -> None:
        """Leave a checkpoint; every process has to take part."""
        state = self.learner.state()
        if distributed.share().is_first:
            checkpoint.save(self.run, self.job, self.progress, state)


def begin(
    job: Job,
    net: nn.Module,
    splits: Splits,
    pixels: Pixels,
    *,
    run: Path,
    watch: Watch,
    teacher: nn.Module | None = None,
    now: Callable[[], float] = time.perf_counter,
) -> Training:
    """Put `net` before its task, on the device of `splits`; its checkpoints are left in `run`."""
    stopwatch = Stopwatch(splits.train.labels.device, now)
    learner = Learner(job, net, splits.train, pixels, teacher=teacher, stopwatch=stopwatch)
    return Training(job, learner, splits, pixels, run, watch, stopwatch)


def train(training: Training) -> list[EpochRow]:
    """Train to the end, and return a row an epoch.

    The test set is run now and then, for the curve; nothing is decided by it, and what counts is
    measured after the last epoch (`zoo.evaluation.evaluate`), not here. Held-out images are run
    every epoch. A checkpoint is left now and then, at the end, and when a signal asks to stop.

    Raises Interrupted after that, and NonFiniteLoss.
    """
    with stop_requests() as stop:
        for _ in steps(training, stop):
            pass
    return training.progress.rows


def train_side_by_side(trainings: Sequence[Training]) -> None:
    """Train several nets at once, a step of each in turn; on a GPU each on a stream of its own.

    One small net leaves most of a GPU idle. Nothing of a net may depend on torch's random numbers
    while it trains (dropout), which all of them would draw from.

    Raises what `train` raises, when every one of them has left its checkpoint.
    """
    with stop_requests() as stop, contextlib.ExitStack() as on_leaving:
        going = [(_stream(one.learner.totals.device), steps(one, stop)) for one in trainings]
        for _, one in going:
            on_leaving.callback(one.close)
        failure: BaseException | None = None
        while going:
            for lane in list(going):
                stream, one = lane
                try:
                    with torch.cuda.stream(stream):
                        next(one)
                except StopIteration:
                    going.remove(lane)
                except (Interrupted, NonFiniteLoss) as error:
                    going.remove(lane)
                    failure = failure or error
                    stop.signal_number = stop.signal_number or signal.SIGTERM  # the others are to stop, too
        if failure is not None:
            raise failure


def _stream(device: torch.device) -> torch.cuda.Stream | None:
    """A stream that has seen all that was done so far; None where there are none."""
    if device.type != "cuda":
        return None
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    return stream


def steps(training: Training, stop: StopRequest) -> Generator[None]:
    """Train to the end, coming up for air after every step."""
    learner, progress, watch, stopwatch = training.learner, training.progress, training.watch, training.stopwatch
    recipe, share, device = training.job.recipe, distributed.share(), learner.totals.device
    if share.is_first:
        checkpoint.rewrite_log(training.run, progress.rows)
    report = watch.report if share.is_first else Silent()
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
                progress.train_seconds, progress.compile_seconds = stopwatch.seconds
                training.save()
                raise _interrupted(training, signal_number)
            yield
        if epoch < recipe.epochs:
            learner.prepare(epoch + 1)
        totals = distributed.summed(learner.totals)
        synchronize(device)
        train_seconds, compile_seconds = stopwatch.seconds
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
            row = _looked_at(training, row, test=epoch % watch.eval_every == 0 and not last)
        learner.end(distributed.from_first(row.val_top1))
        progress.end_epoch(row)
        signal_number = distributed.agreed(stop.signal_number)
        if epoch % watch.save_every == 0 or last or signal_number:
            training.save()
        if share.is_first:
            checkpoint.append_log(training.run, row)
        report.epoch(row)
        if signal_number:
            raise _interrupted(training, signal_number)


def _looked_at(training: Training, row: EpochRow, *, test: bool) -> EpochRow:
    """The row with the figures of the held-out images, where there are any, and of the test set where asked."""
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
            "a lower rate (--set lr=…), a warm-up (--set warmup_epochs=…) or clipped gradients (--set clip_grad=…)"
        )
    return loss


def _interrupted(training: Training, signal_number: int) -> Interrupted:
    progress = training.progress
    steps = f" and {progress.step} steps" if progress.step else ""
    return Interrupted(
        f"stopped after {progress.epoch} of {training.job.recipe.epochs} epochs{steps}; the checkpoint is in "
        f"{training.run}: give the same command with --resume to go on",
        signal_number,
    )
