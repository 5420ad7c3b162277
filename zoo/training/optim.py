"""A recipe's optimizer and learning-rate schedule: which of torch's, with which numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

from zoo.spec import Recipe
from zoo.training.layering import layers

Group = dict[str, Any]  # parameters that share their settings, as torch's optimizers have them
SCALE = "lr_scale"  # of a group: what its rate is of the schedule's; timm's name for it


def groups(recipe: Recipe, net: nn.Module, head: nn.Module | None = None) -> list[Group]:
    """All parameters of a net in one group; where its layers' rates differ a group a layer, the head's first.

    A `head` that learns alone at the beginning has a group of its own: torch's fused sgd begins the momentum of a
    whole group at once. Raises TrainingError where the net doesn't say what its layers are.
    """
    if recipe.layer_decay == 1:
        found: list[Group] = [{"params": list(net.parameters())}]
    else:
        found = [{"params": one, SCALE: recipe.layer_decay**away} for away, one in enumerate(layers(net)[::-1])]
    if head is None:
        return found
    own = set(head.parameters())
    apart = [
        {**group, "params": [one for one in group["params"] if (one in own) is inside]}
        for group in found
        for inside in (True, False)
    ]
    return [group for group in apart if group["params"]]


def scale(group: Group) -> float:
    """What a group's rate is of the schedule's."""
    return float(group.get(SCALE, 1.0))


def optimizer(recipe: Recipe, parameters: Iterable[nn.Parameter] | list[Group]) -> torch.optim.Optimizer:
    """The optimizer over all parameters; all decay, batch norm's too, as in every published baseline."""
    if recipe.opt == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.nesterov,
            fused=True,  # one pass over all parameters
        )
    kind = torch.optim.Adam if recipe.opt == "adam" else torch.optim.AdamW
    return kind(parameters, lr=recipe.lr, betas=(recipe.momentum, 0.999), weight_decay=recipe.weight_decay, fused=True)


def schedule(recipe: Recipe, over: torch.optim.Optimizer, steps_per_epoch: int) -> lr_scheduler.LRScheduler:
    """The learning rate, to be stepped after every step (`sched_on_updates`) or after every epoch.

    Milestones and the end of a cosine are counted from the start of training, the warm-up included.
    """
    moved = _schedule(recipe, over, steps_per_epoch if recipe.sched_on_updates else 1)
    _keep_scale(over)
    return moved


def _schedule(recipe: Recipe, over: torch.optim.Optimizer, per_epoch: int) -> lr_scheduler.LRScheduler:
    """torch's schedule, moved so often an epoch."""
    total, warmup = recipe.epochs * per_epoch, recipe.warmup_epochs * per_epoch
    if recipe.sched == "onecycle":
        return lr_scheduler.OneCycleLR(
            over,
            max_lr=recipe.lr,
            total_steps=total,
            pct_start=recipe.pct_start,
            div_factor=recipe.div_factor,
            final_div_factor=recipe.final_div_factor,
            cycle_momentum=recipe.cycle_momentum,
        )
    if recipe.sched == "plateau":
        watch = lr_scheduler.ReduceLROnPlateau
        return watch(over, mode="max", factor=recipe.decay_rate, patience=recipe.patience_epochs)
    rest: lr_scheduler.LRScheduler
    if recipe.sched == "multistep":
        milestones = [epoch * per_epoch - warmup for epoch in recipe.decay_milestones]
        rest = lr_scheduler.MultiStepLR(over, milestones, gamma=recipe.decay_rate)
    elif recipe.sched == "cosine":
        rest = lr_scheduler.CosineAnnealingLR(over, T_max=max(1, total - warmup), eta_min=recipe.min_lr)
    else:
        rest = lr_scheduler.ConstantLR(over, factor=1.0, total_iters=0)
    if not warmup:
        return rest
    start = recipe.warmup_lr / recipe.lr
    end = 1.0 if recipe.warmup_mode == "linear" else start
    warm = lr_scheduler.LinearLR(over, start_factor=start, end_factor=end, total_iters=warmup)
    return lr_scheduler.SequentialLR(over, [warm, rest], milestones=[warmup])


def _keep_scale(over: torch.optim.Optimizer) -> None:
    """Bring every group's rate to its part of the first one's, whose part is the whole.

    Not all of torch's schedules move rates in proportion: a minimum is the same for all.
    """
    first, *others = over.param_groups
    for group in others:
        group["lr"] = first["lr"] * scale(group)


def end_step(recipe: Recipe, schedule: lr_scheduler.LRScheduler) -> None:
    """Move a schedule that moves by steps."""
    if recipe.sched_on_updates:
        schedule.step()
        _keep_scale(schedule.optimizer)


def end_epoch(recipe: Recipe, schedule: lr_scheduler.LRScheduler, val_top1: float | None) -> None:
    """Move a schedule that moves by epochs; a plateau's by the top-1 of the held-out images (percent)."""
    if isinstance(schedule, lr_scheduler.ReduceLROnPlateau):
        assert val_top1 is not None  # a recipe with a plateau holds images out
        schedule.step(val_top1)
    elif not recipe.sched_on_updates:
        schedule.step()
    _keep_scale(schedule.optimizer)


def clip(recipe: Recipe, parameters: Iterable[Tensor]) -> None:
    """Clip the gradients, by norm or by value, where the recipe says so."""
    if recipe.clip_grad is None:
        return
    if recipe.clip_mode == "norm":
        nn.utils.clip_grad_norm_(parameters, recipe.clip_grad)
    else:
        nn.utils.clip_grad_value_(parameters, recipe.clip_grad)
