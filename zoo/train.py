"""The loop: one for CPU and GPU, top to bottom.

Seeds fix everything on a CPU: the same job gives the same bytes of weights, whether it ran through
or was killed and resumed. For that, an epoch's randomness comes from (seed, epoch) alone
(`zoo.data.draw`), and what a net itself draws (dropout) from torch's generators, which a
checkpoint keeps.
"""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional as F

from zoo import checkpoint, data, optim
from zoo.checkpoint import Progress
from zoo.data import Pixels, Splits
from zoo.device import synchronize
from zoo.errors import Interrupted, NonFiniteLoss
from zoo.evaluate import evaluate
from zoo.folder import EpochRow
from zoo.interrupt import stop_requests
from zoo.job import Job

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
    run: Path,
    resume: bool,
    save_every: int,
    eval_every: int,
    report: Report,
) -> list[EpochRow]:
    """Train `net` in place on the device of `splits`, and return a row per epoch.

    The test set is run every `eval_every` epochs, for the curve; nothing is decided by it, and
    what counts is measured after the last epoch (`zoo.evaluate`), not here. Held-out images are run
    every epoch. A checkpoint is left in `run` every `save_every` epochs, at the end, and when a
    signal asks to stop.

    Raises Interrupted after that, NonFiniteLoss, and TrainingError where `run` can't be resumed.
    """
    recipe, split, device = job.recipe, splits.train, splits.train.labels.device
    steps = math.ceil(len(split) / recipe.batch_size)
    source = data.padded(split, recipe.crop_padding)
    net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = optim.optimizer(recipe, net.parameters())
    schedule = optim.schedule(recipe, optimizer, steps)
    progress = Progress(totals=torch.zeros(2, dtype=torch.float64, device=device))
    if resume:
        checkpoint.restore(run, job, progress, net, optimizer, schedule)
    checkpoint.rewrite_log(run, progress.rows)

    def save() -> None:
        checkpoint.save(run, job, progress, net, optimizer, schedule)

    report.start(recipe.epochs, len(split), progress.epoch)
    with contextlib.ExitStack() as on_leaving:
        on_leaving.callback(report.finish)
        stop = on_leaving.enter_context(stop_requests())
        while progress.epoch < recipe.epochs:
            epoch = progress.epoch + 1
            drawn = data.draw(len(split), recipe, seed=job.seed, epoch=epoch, device=device)
            net.train()
            started = glanced = time.perf_counter() - progress.seconds
            for step in range(progress.step, steps):
                start, end = step * recipe.batch_size, min((step + 1) * recipe.batch_size, len(split))
                images, labels = data.batch(source, drawn, start, end, recipe.crop_padding)
                with torch.autocast(device.type, torch.bfloat16, enabled=job.amp):
                    logits = net(pixels.normalise(images))
                    loss = F.cross_entropy(logits, labels, label_smoothing=recipe.smoothing)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optim.clip(recipe, net.parameters())
                optimizer.step()
                lr = optimizer.param_groups[0]["lr"]
                if recipe.sched_on_updates:
                    schedule.step()
                with torch.no_grad():
                    progress.totals[0] += loss * len(labels)
                    progress.totals[1] += (logits.argmax(dim=1) == labels).sum()

                now = time.perf_counter()
                progress.step, progress.seconds = step + 1, now - started
                if now - glanced >= GLANCE_SECONDS or stop.signal_number:
                    glanced = now
                    report.step(epoch, end, progress.seconds, _mean_loss(progress, end))
                if stop.signal_number and progress.step < steps:
                    save()
                    raise _interrupted(job, progress, run, stop.signal_number)

            train_loss = _mean_loss(progress, len(split))
            synchronize(device)
            row = EpochRow(
                epoch=epoch,
                lr=float(lr),
                train_loss=train_loss,
                train_top1=100 * progress.totals[1].item() / len(split),
                train_seconds=time.perf_counter() - started,
            )
            if splits.val is not None:
                row = row.validated(evaluate(net, splits.val, pixels))
            optim.end_epoch(recipe, schedule, row.val_top1)
            last = epoch == recipe.epochs
            if epoch % eval_every == 0 and not last:
                row = row.tested(evaluate(net, splits.test, pixels))
            progress.rows.append(row)
            progress.epoch, progress.step, progress.seconds = epoch, 0, 0.0
            progress.totals.zero_()
            if epoch % save_every == 0 or last or stop.signal_number:
                save()
            checkpoint.append_log(run, row)
            report.epoch(row)
            if stop.signal_number:
                raise _interrupted(job, progress, run, stop.signal_number)
    return progress.rows


def _mean_loss(progress: Progress, images: int) -> float:
    """The loss so far; raises NonFiniteLoss, so that no checkpoint is ever written after one."""
    loss = progress.totals[0].item() / images
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
