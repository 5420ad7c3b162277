"""The loop: one for CPU and GPU, top to bottom.

Seeds fix everything on a CPU: the same job gives the same bytes of weights, whether it ran through
or was killed and resumed. For that, an epoch's randomness comes from (seed, epoch) alone
(`zoo.data.batches.draw`), and what a net itself draws (dropout) from torch's generators, which a
checkpoint keeps.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from zoo.data import batches
from zoo.data.batches import Pixels, Splits
from zoo.errors import Interrupted, NonFiniteLoss
from zoo.evaluation.evaluate import evaluate
from zoo.folder.config import EpochRow
from zoo.nets.device import synchronize
from zoo.training import checkpoint, distributed, optim
from zoo.training.checkpoint import Progress
from zoo.training.interrupt import stop_requests
from zoo.training.job import Job
from zoo.training.step import Step, fastest

GLANCE_SECONDS = 0.5  # between two looks at the loss, each of which waits for the device


class Report(Protocol):
    """Whom a training tells how it goes."""

    def start(self, epochs: int, images: int, finished: int) -> None:
        """A training of `epochs` epochs of `images` images begins, or goes on after `finished` of them."""

    def step(self, epoch: int, done: int, seconds: float, train_loss: float) -> None:
        """`done` images of this epoch (from 1) are trained, in `seconds`; called twice a second."""

    def epoch(self, row: EpochRow) -> None:
        """An epoch is over."""

    def finish(self) -> None:
        """The training is over, or has failed."""


class Silent:
    """Tells nobody."""

    def start(self, epochs: int, images: int, finished: int) -> None:
        """Nothing."""

    def step(self, epoch: int, done: int, seconds: float, train_loss: float) -> None:
        """Nothing."""

    def epoch(self, row: EpochRow) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""


def train(
    job: Job,
    net: nn.Module,
    splits: Splits,
    pixels: Pixels,
    *,
    teacher: nn.Module | None = None,
    run: Path,
    resume: bool,
    save_every: int,
    eval_every: int,
    report: Report,
) -> list[EpochRow]:
    """Train `net` in place on the device of `splits`, and return a row per epoch.

    The test set is run every `eval_every` epochs, for the curve; nothing is decided by it, and
    what counts is measured after the last epoch (`zoo.evaluation.evaluate`), not here. Held-out images are run
    every epoch. A checkpoint is left in `run` every `save_every` epochs, at the end, and when a
    signal asks to stop.

    Raises Interrupted after that, NonFiniteLoss, and TrainingError where `run` can't be resumed.
    """
    recipe, split, device = job.recipe, splits.train, splits.train.labels.device
    share, steps = distributed.share(), math.ceil(len(split) / recipe.batch_size)
    net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = optim.optimizer(recipe, net.parameters())
    schedule = optim.schedule(recipe, optimizer, steps)
    progress = Progress(totals=torch.zeros(2, dtype=torch.float64, device=device))
    if resume:
        checkpoint.restore(run, job, progress, net, optimizer, schedule)
        if not share.is_first:
            progress.totals.zero_()  # what was saved is the sum over all processes
    drawn = batches.draw(len(split), recipe, seed=job.seed, epoch=progress.epoch + 1, device=device)
    train_step = fastest(
        Step(
            recipe,
            distributed.parallel(net, device),
            optimizer,
            batches.padded(split, recipe.crop_padding),
            drawn,
            pixels,
            progress.totals,
            amp=job.amp,
            share=share,
            compiled=job.compiled,
            teacher=teacher,
        )
    )

    def save() -> None:
        whole = dataclasses.replace(progress, totals=distributed.summed(progress.totals))
        if share.is_first:
            checkpoint.save(run, job, whole, net, optimizer, schedule)

    if share.is_first:
        checkpoint.rewrite_log(run, progress.rows)
    report.start(recipe.epochs, len(split), progress.epoch)
    with contextlib.ExitStack() as on_leaving:
        on_leaving.callback(report.finish)
        stop = on_leaving.enter_context(stop_requests())
        while progress.epoch < recipe.epochs:
            epoch = progress.epoch + 1
            batches.redraw(drawn, recipe, seed=job.seed, epoch=epoch)
            net.train()
            started = glanced = time.perf_counter() - progress.seconds
            compiled_before = train_step.compile_seconds
            for step in range(progress.step, steps):
                start, end = step * recipe.batch_size, min((step + 1) * recipe.batch_size, len(split))
                train_step(start, end)
                lr = optimizer.param_groups[0]["lr"]
                if recipe.sched_on_updates:
                    schedule.step()

                now = time.perf_counter()
                compile_seconds = train_step.compile_seconds - compiled_before
                progress.step, progress.seconds = step + 1, now - started - compile_seconds
                if now - glanced >= GLANCE_SECONDS or stop.signal_number:
                    glanced = now
                    report.step(epoch, end, progress.seconds, _mean_loss(progress, progress.totals, end / share.world))
                signal_number = distributed.agreed(stop.signal_number, step)
                if signal_number and progress.step < steps:
                    save()
                    raise _interrupted(job, progress, run, signal_number)

            totals = distributed.summed(progress.totals)
            synchronize(device)
            row = EpochRow(
                epoch=epoch,
                lr=float(lr),
                train_loss=_mean_loss(progress, totals, len(split)),
                train_top1=100 * totals[1].item() / len(split),
                train_seconds=time.perf_counter() - started - compile_seconds,
                compile_seconds=compile_seconds,
            )
            last = epoch == recipe.epochs
            if share.is_first:
                if splits.val is not None:
                    row = row.validated(evaluate(net, splits.val, pixels))
                if epoch % eval_every == 0 and not last:
                    row = row.tested(evaluate(net, splits.test, pixels))
            optim.end_epoch(recipe, schedule, distributed.from_first(row.val_top1))
            progress.rows.append(row)
            progress.epoch, progress.step, progress.seconds = epoch, 0, 0.0
            progress.totals.zero_()
            signal_number = distributed.agreed(stop.signal_number)
            if epoch % save_every == 0 or last or signal_number:
                save()
            if share.is_first:
                checkpoint.append_log(run, row)
            report.epoch(row)
            if signal_number:
                raise _interrupted(job, progress, run, signal_number)
    return progress.rows


def _mean_loss(progress: Progress, totals: Tensor, images: float) -> float:
    """The loss so far; raises NonFiniteLoss, so that no checkpoint is ever written after one."""
    loss = totals[0].item() / images
    if not math.isfinite(loss):
        raise NonFiniteLoss(
            f"the loss became {loss} in epoch {progress.epoch + 1}, by step {progress.step}; train with "
            "a lower rate (--set lr=…), a warm-up (--set warmup_epochs=…) or clipped gradients (--set clip_grad=…)"
        )
    return loss


def _interrupted(job: Job, progress: Progress, run: Path, signal_number: int) -> Interrupted:
    steps = f" and {progress.step} steps" if progress.step else ""
    return Interrupted(
        f"stopped after {progress.epoch} of {job.recipe.epochs} epochs{steps}; the checkpoint is in {run}: "
        "give the same command with --resume to go on",
        signal_number,
    )
