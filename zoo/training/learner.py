"""The learner: a net with its optimizer, schedule and random numbers, trained a step at a time."""

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
from zoo.training.objective import Objective, balanced, objective
from zoo.training.optimizer import Average, BatchCounts
from zoo.training.step import GraphedStep, Moved, Step, Stopwatch, fastest


class Learner:
    """A net that is being trained, in place and on the device of its images; knows no epochs but the one it is in."""

    def __init__(
        self, job: Job, net: nn.Module, split: Split, pixels: Pixels, *, teacher: nn.Module | None, stopwatch: Stopwatch
    ) -> None:
        recipe, device, share = job.recipe, split.labels.device, distributed.share()
        self.net: nn.Module = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.images, self.steps = len(split), math.ceil(len(split) / recipe.batch_size)  # of an epoch
        self._sides = (split.images.shape[1], split.images.shape[2])
        self.lr = recipe.lr  # of the last step
        if job.compile == "default":
            torch.compiler.reset()  # what earlier trainings in this process compiled counts against a limit
        self._job, self._share = job, share
        self._teacher, self._stopwatch = teacher, stopwatch
        self._head = optimizer.head(self.net) if recipe.freeze_epochs else None
        self._parameters = [one for one in self.net.parameters() if one.requires_grad]
        distributed.synchronize_batch_norm(self.net, device)
        self._average = None if recipe.model_ema_decay is None else Average(self.net, recipe.model_ema_decay)
        precise = torch.float64 if device.type in ("cpu", "cuda") else torch.float32  # MPS has no float64
        self._moved = Moved(
            self.net,
            optimizer.build(recipe, optimizer.groups(recipe, self.net, self._head)),
            torch.zeros(2, dtype=precise, device=device),
            BatchCounts(self.net),
            self._average,
        )
        self._schedule = optimizer.schedule(recipe, self._moved.optimizer, self.steps)
        self._epoch = self._prepared = 1
        self._fresh = self._draw(1)
        self._drawn = self._fresh.to(device)
        self._split, self._pixels = split, pixels
        self._feed: Feed = feed(split, self._drawn, pixels, recipe, rank=share.rank, world=share.world)
        self._feed.begin(self._fresh)
        self._may_fuse, self.fused = fusion.chosen(job, device), False  # batch norm, addition and ReLU, as one kernel
        self._class_weights = balanced(split.labels) if recipe.class_weight == "balanced" else None
        self._teaching = torch.ones((), device=device) if recipe.distill_warmup_epochs else None
        self._learning: nn.Module | None = None  # the net or its head, from the first epoch on
        self._step: Step | GraphedStep | None = None  # that moves it

    @property
    def how(self) -> How:
        """How the steps are run in fact: compiling may have failed."""
        return self._job.compile if self._step is None else self._step.how

    @property
    def totals(self) -> Tensor:
        """The loss summed over this process's images of the epoch, and its correct predictions: [2]."""
        return self._moved.totals

    def begin(self, epoch: int) -> None:
        """Begin an epoch, counted from 1, or go on with it."""
        if self._epoch != epoch:
            self.prepare(epoch)
            batches.redraw(self._drawn, self._fresh)
            self._feed.begin(self._fresh)
            self._epoch = epoch
        part = self.net if self._head is None or epoch > self._job.recipe.freeze_epochs else self._head
        if part is not self._learning:
            self._let_learn(part)
        self.net.train(part is self.net)
        part.train()

    def prepare(self, epoch: int) -> None:
        """Draw the order and augmentation of an epoch: on the processor, while a GPU still works on the one before."""
        if self._prepared != epoch:
            self._fresh, self._prepared = self._draw(epoch), epoch

    def step(self, number: int) -> None:
        """Train on a batch of the epoch, counted from 0; the last one may be smaller."""
        size = self._job.recipe.batch_size
        start, end = number * size, min((number + 1) * size, self.images)
        if self._teaching is not None:
            before = (self._epoch - 1) * self.steps + number
            self._teaching.fill_(min(1.0, before / (self._job.recipe.distill_warmup_epochs * self.steps)))
        assert self._step is not None  # an epoch has begun
        self._feed.bring(start, end)
        self._step(start, end)
        self.lr = float(self._moved.optimizer.param_groups[0]["lr"])
        optimizer.end_step(self._job.recipe, self._schedule)

    def end(self, val_top1: float | None) -> None:
        """End the epoch; `val_top1` (percent) is what a plateau's rate falls by."""
        optimizer.end_epoch(self._job.recipe, self._schedule, val_top1)
        self.totals.zero_()

    def state(self) -> dict[str, Any]:
        """All that a training needs to continue as if it had never stopped; every process has to call this."""
        device = self.totals.device
        with self._moved.counts.back():
            net = self.net.state_dict()
        average = {"average": self._average.net.state_dict()} if self._average else {}
        return {
            "net": net,
            **average,
            "optimizer": self._moved.optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "totals": distributed.summed(self.totals).cpu(),
            "random": torch.get_rng_state(),
            "random_device": random_state(device),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore everything that `state` returned."""
        with self._moved.counts.back():
            self.net.load_state_dict(state["net"])
        if self._average:
            self._average.net.load_state_dict(state["average"])
        self._moved.optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self.totals.copy_(state["totals"])
        if not self._share.is_first:
            self.totals.zero_()  # what was saved is the sum over all processes
        torch.set_rng_state(state["random"])
        set_random_state(self.totals.device, state["random_device"])

    @property
    def evaluated(self) -> nn.Module:
        """The net that is evaluated during training: the average, if there is one."""
        return self._average.net if self._average else self.net

    def published(self) -> nn.Module:
        """The net that is evaluated and published; nothing is trained after this."""
        self._moved.counts.give_back()
        return self.evaluated

    def _let_learn(self, part: nn.Module) -> None:
        """Let the net or its head learn from here on: what computes and averages gradients is built anew."""
        job = self._job
        self._step = None  # first: processes that average the same gradients twice would wait for each other
        self._moved.counts.give_back()
        optimizer.learn_alone(part, self._parameters)
        # What stands still counts no batches.
        self._learning, self._moved = part, dataclasses.replace(self._moved, counts=BatchCounts(part))
        learned = self._objective(part)
        step = Step(learned, self._moved, job.recipe, share=self._share, how=job.compile, stopwatch=self._stopwatch)
        self._step = fastest(step, job.compile)

    def _objective(self, part: nn.Module) -> Objective:
        """The objective of the net or its head; of a head on its features, if those are the same in all epochs."""
        job, net = self._job, self.net
        if part is not net and self._teacher is None and optimizer.stand_still(job.recipe):
            seen = optimizer.features(net, self._split, self._drawn, self._pixels, amp=job.amp)
            if seen is not None:
                net, self._feed = part, seen
        if net is self.net and self._may_fuse:
            net = fusion.fused(net.train())
            self.fused = net is not self.net
        return objective(
            distributed.parallel(net, self.totals.device),
            self._feed,
            job.recipe,
            amp=job.amp,
            teacher=self._teacher,
            class_weights=self._class_weights,
            teaching=self._teaching,
        )

    def _draw(self, epoch: int) -> Draw:
        return batches.draw(self.images, self._job.recipe, seed=self._job.seed, epoch=epoch, sides=self._sides)
