"""Optimizers, learning-rate schedules, parameter groups, and the moving average of the weights.

With `layer_decay`, the learning rate decreases layer by layer from the head to the stem. With `freeze_epochs`, only the
head is trained at first.
"""

from __future__ import annotations

import contextlib
import copy
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler
from torch.optim.swa_utils import get_ema_multi_avg_fn

from zoo.data.augmentation import mixes
from zoo.data.batches import Draw, Feed, Pixels
from zoo.data.sources import Split, parts
from zoo.errors import TrainingError
from zoo.spec import Recipe
from zoo.training import distributed

Group = dict[str, Any]  # a parameter group of torch's optimizers
SCALE = "lr_scale"  # timm's key for the factor of a group's learning rate


def groups(recipe: Recipe, net: nn.Module, head: nn.Module | None = None) -> list[Group]:
    """The parameter groups of a net: one, or with `layer_decay` one for each layer, the head's first.

    Args:
        recipe: The recipe, with `layer_decay`.
        net: The net to train.
        head: The part that is trained alone at first, if any. Its parameters get separate groups, because torch's fused
            SGD initializes the momentum of a whole group at once.

    Raises:
        TrainingError: `layer_decay` is not 1, and the net does not name its layers.
    """
    if recipe.layer_decay == 1:
        by_layer: list[Group] = [{"params": list(net.parameters())}]
    else:
        by_layer = [
            {"params": parameters, SCALE: recipe.layer_decay**depth}
            for depth, parameters in enumerate(layers(net)[::-1])
        ]
    if head is None:
        return by_layer
    in_head = set(head.parameters())
    split = [
        {**group, "params": [parameter for parameter in group["params"] if (parameter in in_head) is of_head]}
        for group in by_layer
        for of_head in (True, False)
    ]
    return [group for group in split if group["params"]]


def scale(group: Group) -> float:
    """The factor of a group's learning rate, relative to the schedule's."""
    return float(group.get(SCALE, 1.0))


def build(recipe: Recipe, parameters: Iterable[nn.Parameter] | list[Group]) -> torch.optim.Optimizer:
    """Build the optimizer of a recipe.

    Weight decay applies to all parameters, those of batch norm included, as in the published baselines.
    """
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


def schedule(recipe: Recipe, optimizer: torch.optim.Optimizer, steps_per_epoch: int) -> lr_scheduler.LRScheduler:
    """Build the learning-rate schedule of a recipe.

    Args:
        recipe: The recipe. Its milestones and the end of a cosine are counted from the first epoch, warm-up included.
        optimizer: The optimizer whose learning rate is set.
        steps_per_epoch: Optimizer steps in an epoch.

    Returns:
        A schedule. Call `end_step` after every step and `end_epoch` after every epoch.
    """
    built = _schedule(recipe, optimizer, steps_per_epoch if recipe.sched_on_updates else 1)
    _scale_groups(optimizer)
    return built


def _schedule(recipe: Recipe, optimizer: torch.optim.Optimizer, per_epoch: int) -> lr_scheduler.LRScheduler:
    """The schedule of torch, to be stepped `per_epoch` times an epoch."""
    total, warmup = recipe.epochs * per_epoch, recipe.warmup_epochs * per_epoch
    if recipe.sched == "onecycle":
        return lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=recipe.lr,
            total_steps=total,
            pct_start=recipe.pct_start,
            div_factor=recipe.div_factor,
            final_div_factor=recipe.final_div_factor,
            cycle_momentum=recipe.cycle_momentum,
        )
    if recipe.sched == "plateau":
        return lr_scheduler.ReduceLROnPlateau(
            optimizer, mode="max", factor=recipe.decay_rate, patience=recipe.patience_epochs
        )
    rest: lr_scheduler.LRScheduler
    if recipe.sched == "multistep":
        milestones = [epoch * per_epoch - warmup for epoch in recipe.decay_milestones]
        rest = lr_scheduler.MultiStepLR(optimizer, milestones, gamma=recipe.decay_rate)
    elif recipe.sched == "cosine":
        rest = lr_scheduler.CosineAnnealingLR(optimizer, T_max=max(1, total - warmup), eta_min=recipe.min_lr)
    else:
        rest = lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)
    if not warmup:
        return rest
    start = recipe.warmup_lr / recipe.lr
    end = 1.0 if recipe.warmup_mode == "linear" else start
    warm = lr_scheduler.LinearLR(optimizer, start_factor=start, end_factor=end, total_iters=warmup)
    return lr_scheduler.SequentialLR(optimizer, [warm, rest], milestones=[warmup])


def _scale_groups(optimizer: torch.optim.Optimizer) -> None:
    """Set the learning rate of every group in proportion to the first group's, whose factor is 1.

    Some of torch's schedules change rates out of proportion: `eta_min` of a cosine is the same for all groups.
    """
    first, *others = optimizer.param_groups
    for group in others:
        group["lr"] = first["lr"] * scale(group)


def end_step(recipe: Recipe, schedule: lr_scheduler.LRScheduler) -> None:
    """Update the learning rate after a step, for a schedule with `sched_on_updates`."""
    if recipe.sched_on_updates:
        schedule.step()
        _scale_groups(schedule.optimizer)


def end_epoch(recipe: Recipe, schedule: lr_scheduler.LRScheduler, val_top1: float | None) -> None:
    """Update the learning rate after an epoch, for a schedule without `sched_on_updates`.

    Args:
        recipe: The recipe of the schedule.
        schedule: The schedule that `schedule` built.
        val_top1: Top-1 accuracy on the held-out images in percent; the plateau schedule needs it.
    """
    if isinstance(schedule, lr_scheduler.ReduceLROnPlateau):
        assert val_top1 is not None  # a recipe with the plateau schedule must hold images out
        schedule.step(val_top1)
    elif not recipe.sched_on_updates:
        schedule.step()
    _scale_groups(schedule.optimizer)


def clip(recipe: Recipe, parameters: Iterable[Tensor]) -> None:
    """Clip the gradients by norm or by value, if the recipe has `clip_grad`."""
    if recipe.clip_grad is None:
        return
    if recipe.clip_mode == "norm":
        nn.utils.clip_grad_norm_(parameters, recipe.clip_grad)
    else:
        nn.utils.clip_grad_value_(parameters, recipe.clip_grad)


WITH_THE_LAYER_BEFORE = 99999  # timm's last number of a layer that is grouped with the layer before it
Ordinal = tuple[float, ...]

# A value of timm's group_matcher(): a regular expression, or several with numbers to append to their groups.
Pattern = str | tuple[tuple[str, Ordinal | None], ...] | list[tuple[str, Ordinal | None]] | None


def layers(net: nn.Module) -> list[list[nn.Parameter]]:
    """The parameters of a net by layer, from the stem to the head.

    The layers are those of timm's `group_matcher()`. Parameters that no pattern matches belong to the head.

    Raises:
        TrainingError: The net has no `group_matcher()`, or it does not return a dictionary.
    """
    ordinal_of = _ordinals(net)
    by_ordinal: defaultdict[Ordinal, list[nn.Parameter]] = defaultdict(list)
    for name, parameter in net.named_parameters():
        by_ordinal[ordinal_of(name)].append(parameter)
    ordered: list[list[nn.Parameter]] = []
    for ordinal in sorted(by_ordinal):
        if not ordered or ordinal[-1] != WITH_THE_LAYER_BEFORE:
            ordered.append([])
        ordered[-1] += by_ordinal[ordinal]
    return ordered


def _ordinals(net: nn.Module) -> Callable[[str], Ordinal]:
    """A function from a parameter's name to a key by which layers are sorted."""
    matcher = getattr(net, "group_matcher", None)
    if matcher is None:
        raise TrainingError(f"{type(net).__name__} has no group_matcher(), which layer_decay needs; leave it at 1")
    by_kind: Mapping[str, Pattern] | object = matcher(coarse=False)
    if not isinstance(by_kind, Mapping):
        raise TrainingError(
            f"{type(net).__name__}.group_matcher() should return a dictionary of regular expressions, "
            f"not a {type(by_kind).__name__}; leave layer_decay at 1"
        )
    patterns = [
        (re.compile(pattern), kind, added or ())
        for kind, value in enumerate(by_kind.values())
        for pattern, added in _expressions(value)
    ]

    def ordinal(name: str) -> Ordinal:
        for pattern, kind, added in patterns:
            if match := pattern.match(name):
                return (float(kind), *(float(group) for group in match.groups() if group), *map(float, added))
        return (math.inf,)

    return ordinal


def _expressions(pattern: Pattern) -> list[tuple[str, Ordinal | None]]:
    if pattern is None:
        return []
    return [(pattern, None)] if isinstance(pattern, str) else list(pattern)


def head(net: nn.Module) -> nn.Module:
    """The classifier of a net, from timm's `get_classifier()`.

    Raises:
        TrainingError: The net has no such method, or it returns no layer with parameters.
    """
    classifier = getattr(net, "get_classifier", lambda: None)()
    if not isinstance(classifier, nn.Module) or not any(True for _ in classifier.parameters()):
        raise TrainingError(
            f"{type(net).__name__} has no get_classifier() that returns a layer with parameters, which freeze_epochs "
            "needs; leave it at 0"
        )
    return classifier


def train_only(part: nn.Module, parameters: Iterable[nn.Parameter]) -> None:
    """Enable gradients for the `parameters` that are in `part`, and disable them for the rest."""
    trained = set(part.parameters())
    for parameter in parameters:
        parameter.requires_grad_(parameter in trained)


def has_constant_features(recipe: Recipe) -> bool:
    """Whether the head receives the same features for an image in every epoch of a recipe."""
    augments = (recipe.crop_padding, recipe.hflip, recipe.scale, recipe.color_jitter, recipe.rand_augment)
    return recipe.freeze_epochs == recipe.epochs and not any(augments) and not mixes(recipe)


@dataclass
class Features(Feed):
    """Batches of precomputed features, for a training of the head alone."""

    features: Tensor  # [N, F], by image
    labels: Tensor  # [N]
    drawn: Draw  # the order of the images in the epoch

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The features [B, F] and the labels [B] of the images at these positions [B] of the epoch."""
        index = self.drawn.order[positions]
        return self.features[index], self.labels[index]


@torch.no_grad()
def features(net: nn.Module, split: Split, drawn: Draw, pixels: Pixels, *, amp: bool) -> Features | None:
    """Compute the features of every image with the net in evaluation mode.

    Args:
        net: The net, with timm's `forward_features` and `forward_head`.
        split: The training images.
        drawn: The order of the images, updated in place for every epoch.
        pixels: The normalization.
        amp: Whether to compute in bf16.

    Returns:
        The features; None if the net lacks these methods, or its head computes other logits from them than the net.
    """
    if not (hasattr(net, "forward_features") and hasattr(net, "forward_head")):
        return None
    device = split.labels.device
    net.eval()
    computed: list[Tensor] = []
    for images in parts(split.images):
        normalised = pixels.normalise(images.to(device))
        with torch.autocast(device.type, torch.bfloat16, enabled=amp, cache_enabled=False):
            computed.append(net.forward_head(net.forward_features(normalised), pre_logits=True))  # type: ignore[operator]
            if len(computed) == 1:
                agrees = torch.allclose(head(net)(computed[0]), net(normalised), rtol=1e-3, atol=1e-3)
                if not distributed.in_all(agrees):
                    return None
    return Features(torch.cat(computed), split.labels, drawn)


class Average:
    """The exponential moving average of a net's parameters and buffers, updated after every step.

    It starts with the tensors of the net before the first step. torch's AveragedModel is not used for two reasons: it
    reads its update count in every step, which waits for a GPU and can't be captured in a CUDA graph, and it averages
    integer buffers, which are copied here.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        """Average the tensors of `net`, which must not be replaced; `decay`, 0 to 1, weights the old average."""
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        averages, sources = ([*module.parameters(), *module.buffers()] for module in (self.net, net))
        pairs = [(average.detach(), source.detach()) for average, source in zip(averages, sources, strict=True)]
        self._floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self._others = [pair for pair in pairs if not pair[0].is_floating_point()]
        self._move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def update(self) -> None:
        """Update the average after a step, without waiting for a GPU."""
        self._move([average for average, _ in self._floats], [source for _, source in self._floats], None)
        if self._others:
            torch._foreach_copy_([average for average, _ in self._others], [source for _, source in self._others])


class BatchCounts:
    """Counts batches for all batch norm layers at once, with one kernel launch a step instead of one for each layer.

    The counts (`num_batches_tracked`) are taken out of the layers; code that reads or writes the net's state dict must
    run in `restored`. Layers with `momentum` None need the count for their averages and keep counting themselves.
    """

    def __init__(self, net: nn.Module) -> None:
        self._layers = [
            (layer, count)
            for layer in net.modules()
            if getattr(layer, "momentum", None) is not None
            and not isinstance(layer, nn.SyncBatchNorm)  # can't train without its count
            and isinstance(count := getattr(layer, "num_batches_tracked", None), Tensor)
        ]
        self._take()

    def add(self) -> None:
        """Count a batch."""
        if self._layers:
            torch._foreach_add_([count for _, count in self._layers], 1)

    def restore(self) -> None:
        """Put the counts back into the layers."""
        for layer, count in self._layers:
            layer.num_batches_tracked = count

    @contextlib.contextmanager
    def restored(self) -> Iterator[None]:
        """Put the counts back into the layers inside the block."""
        self.restore()
        try:
            yield
        finally:
            self._take()

    def _take(self) -> None:
        for layer, _ in self._layers:
            layer.num_batches_tracked = None  # type: ignore[assignment]
