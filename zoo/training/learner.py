"""The learner: a net with its optimizer, learning-rate schedule and random state."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor, nn

from zoo.data import batches
from zoo.data.batches import Draw, Feed, Pixels, feed
from zoo.data.sources import Split
from zoo.nets.device import random_state, set_random_state
from zoo.record.job import How, Job
from zoo.training import distributed, fusion, optimizer
from zoo.training.objective import Loss, Objective, balanced, objective
from zoo.training.optimizer import Average, BatchCounts
from zoo.training.step import GraphedStep, Step, StepState, Stopwatch, fastest


class Learner:
    """Trains a net step by step, on the device of the images.

    Call `begin`, `step` for each batch, and `end` for every epoch.

    Args:
        job: The job of the training.
        net: The net; it is moved to the device and trained in place.
        split: The training images.
        pixels: The normalization.
        teacher: The net that is distilled, if any.

    Attributes:
        stopwatch: Measures the seconds of training and compiling.
        images: Training images in an epoch.
        steps: Steps in an epoch.
        lr: The learning rate of the last step.
        fused: Whether batch norm, addition and ReLU run as one kernel.
    """

    def __init__(self, job: Job, net: nn.Module, split: Split, pixels: Pixels, *, teacher: nn.Module | None) -> None:
        recipe, device, share = job.recipe, split.labels.device, distributed.share()
        self.net: nn.Module = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.images, self.steps = len(split), math.ceil(len(split) / recipe.batch_size)
        self._sides = (split.images.shape[1], split.images.shape[2])
        self.lr = recipe.lr
        if job.compile == "default":
            torch.compiler.reset()  # functions of earlier trainings in this process count towards torch's limit
        self._job, self._share = job, share
        self._teacher, self.stopwatch = teacher, Stopwatch(device)
        self._head = optimizer.head(self.net) if recipe.freeze_epochs else None
        self._parameters = [parameter for parameter in self.net.parameters() if parameter.requires_grad]
        distributed.synchronize_batch_norm(self.net, device)
        self._average = None if recipe.model_ema_decay is None else Average(self.net, recipe.model_ema_decay)
        precise = torch.float64 if device.type in ("cpu", "cuda") else torch.float32  # MPS has no float64
        self._state = StepState(
            self.net,
            optimizer.build(recipe, optimizer.groups(recipe, self.net, self._head)),
            torch.zeros(2, dtype=precise, device=device),
            BatchCounts(self.net),
            self._average,
        )
        self._schedule = optimizer.schedule(recipe, self._state.optimizer, self.steps)
        self._epoch = self._prepared = 1
        self._fresh = self._draw(1)
        self._drawn = self._fresh.to(device)
        self._split, self._pixels = split, pixels
        self._feed: Feed = feed(split, self._drawn, pixels, recipe, rank=share.rank, world=share.world)
        self._feed.begin(self._fresh)
        self._may_fuse, self.fused = fusion.is_used(job, device), False
        self._loss = Loss(
            recipe,
            class_weights=balanced(split.labels) if recipe.class_weight == "balanced" else None,
            distill_scale=torch.ones((), device=device) if recipe.distill_warmup_epochs else None,
        )
        self._trained: nn.Module | None = None  # the net or its head, once an epoch has begun
        self._step: Step | GraphedStep | None = None  # trains it

    @property
    def how(self) -> How:
        """How the steps are run; another way than the job's if compiling has failed."""
        return self._job.compile if self._step is None else self._step.how

    @property
    def totals(self) -> Tensor:
        """The summed loss and the number of correct predictions of this process in the epoch: [2]."""
        return self._state.totals

    def begin(self, epoch: int) -> None:
        """Begin or continue an epoch, counted from 1."""
        if self._epoch != epoch:
            self.prepare(epoch)
            batches.redraw(self._drawn, self._fresh)
            self._feed.begin(self._fresh)
            self._epoch = epoch
        part = self.net if self._head is None or epoch > self._job.recipe.freeze_epochs else self._head
        if part is not self._trained:
            self._train_part(part)
        self.net.train(part is self.net)
        part.train()

    def prepare(self, epoch: int) -> None:
        """Draw the order and augmentation of an epoch on the CPU, while a GPU is still busy with the last epoch."""
        if self._prepared != epoch:
            self._fresh, self._prepared = self._draw(epoch), epoch

    def step(self, number: int) -> None:
        """Train on a batch of the epoch, counted from 0."""
        size = self._job.recipe.batch_size
        start, end = number * size, min((number + 1) * size, self.images)
        if self._loss.distill_scale is not None:
            steps_done = (self._epoch - 1) * self.steps + number
            self._loss.distill_scale.fill_(min(1.0, steps_done / (self._job.recipe.distill_warmup_epochs * self.steps)))
        assert self._step is not None  # set by begin
        self._feed.load(start, end)
        self._step(start, end)
        self.lr = float(self._state.optimizer.param_groups[0]["lr"])
        optimizer.end_step(self._job.recipe, self._schedule)

    def end(self, val_top1: float | None) -> None:
        """End the epoch; the plateau schedule needs the top-1 on the held-out images, `val_top1` in percent."""
        optimizer.end_epoch(self._job.recipe, self._schedule, val_top1)
        self.totals.zero_()

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint, from which `restore` continues exactly; every process has to call this."""
        device = self.totals.device
        with self._state.counts.restored():
            net = self.net.state_dict()
        average = {"average": self._average.net.state_dict()} if self._average else {}
        return {
            "net": net,
            **average,
            "optimizer": self._state.optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "totals": distributed.summed(self.totals).cpu(),
            "random": torch.get_rng_state(),
            "random_device": random_state(device),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        with self._state.counts.restored():
            self.net.load_state_dict(state["net"])
        if self._average:
            self._average.net.load_state_dict(state["average"])
        self._state.optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self.totals.copy_(state["totals"])
        if not self._share.is_first:
            self.totals.zero_()  # the saved totals are the sum over all processes
        torch.set_rng_state(state["random"])
        set_random_state(self.totals.device, state["random_device"])

    @property
    def evaluated(self) -> nn.Module:
        """The net to evaluate: the moving average, if there is one."""
        return self._average.net if self._average else self.net

    def published(self) -> nn.Module:
        """The net to evaluate and publish; do not train after this."""
        self._state.counts.restore()
        return self.evaluated

    def _train_part(self, part: nn.Module) -> None:
        """Train the net or its head from now on, with a new step."""
        job = self._job
        self._step = None  # two DistributedDataParallel of the same parameters would deadlock
        self._state.counts.restore()
        optimizer.train_only(part, self._parameters)
        # Batch norm layers outside the trained part count no batches.
        self._trained, self._state = part, dataclasses.replace(self._state, counts=BatchCounts(part))
        objective = self._objective(part)
        step = Step(objective, self._state, job.recipe, how=job.compile, stopwatch=self.stopwatch)
        self._step = fastest(step, job.compile)

    def _objective(self, part: nn.Module) -> Objective:
        """The objective of the net or its head; of the head on features, if they are the same in all epochs."""
        job, net = self._job, self.net
        if part is not net and self._teacher is None and optimizer.has_constant_features(job.recipe):
            features = optimizer.features(net, self._split, self._drawn, self._pixels, amp=job.amp)
            if features is not None:
                net, self._feed = part, features
        if net is self.net and self._may_fuse:
            net = fusion.fused(net.train())
            self.fused = net is not self.net
        return objective(
            distributed.parallel(net, self.totals.device),
            self._feed,
            self._loss,
            amp=job.amp,
            teacher=self._teacher,
        )

    def _draw(self, epoch: int) -> Draw:
        return batches.draw(self.images, self._job.recipe, seed=self._job.seed, epoch=epoch, sides=self._sides)
