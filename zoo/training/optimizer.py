"""The optimizer of a recipe, its learning-rate schedule, which parameters learn at which rate, and their average.

Rates may fall layer by layer towards the stem (`layer_decay`), and the head may learn alone at first (`freeze_epochs`).
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

from zoo.data.augmentation import Mixing, mixes
from zoo.data.batches import Draw, Pixels
from zoo.data.sources import Split, parts
from zoo.errors import TrainingError
from zoo.spec import Recipe
from zoo.training import distributed

Group = dict[str, Any]  # parameters that share their settings, as torch's optimizers have them
SCALE = "lr_scale"  # of a group: what its rate is of the schedule's; timm's name for it


def groups(recipe: Recipe, net: nn.Module, head: nn.Module | None = None) -> list[Group]:
    """All parameters of a net in one group; with `layer_decay` a group for each layer, the head's first.

    A `head` that learns alone at first has a group of its own: torch's fused sgd begins a whole group's momentum at
    once. Raises TrainingError if the net doesn't name its layers.
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
    """The factor of a group's rate to the schedule's."""
    return float(group.get(SCALE, 1.0))


def build(recipe: Recipe, parameters: Iterable[nn.Parameter] | list[Group]) -> torch.optim.Optimizer:
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


WITH_THE_LAYER_BEFORE = 99999  # timm's mark, at the end of a layer's number
ORDINAL = tuple[float, ...]

# What a pattern looks like: a regular expression, or several, each with what is added to the numbers it finds.
Pattern = str | tuple[tuple[str, ORDINAL | None], ...] | list[tuple[str, ORDINAL | None]] | None


def layers(net: nn.Module) -> list[list[nn.Parameter]]:
    """The parameters of a net by layer, from the stem to the head, which has what no pattern names.

    Raises TrainingError if the net doesn't name its layers.
    """
    number = _numbers(net)
    found: defaultdict[ORDINAL, list[nn.Parameter]] = defaultdict(list)
    for name, parameter in net.named_parameters():
        found[number(name)].append(parameter)
    ordered: list[list[nn.Parameter]] = []
    for ordinal in sorted(found):
        if not ordered or ordinal[-1] != WITH_THE_LAYER_BEFORE:
            ordered.append([])
        ordered[-1] += found[ordinal]
    return ordered


def _numbers(net: nn.Module) -> Callable[[str], ORDINAL]:
    """From a parameter's name to its layer's place in the order of layers."""
    matcher = getattr(net, "group_matcher", None)
    if matcher is None:
        raise TrainingError(f"{type(net).__name__} names no layers: it has no group_matcher(); leave layer_decay at 1")
    described: Mapping[str, Pattern] | object = matcher(coarse=False)
    if not isinstance(described, Mapping):
        raise TrainingError(
            f"{type(net).__name__}.group_matcher() should give regular expressions by a layer's kind, "
            f"not a {type(described).__name__}; leave layer_decay at 1"
        )
    patterns = [
        (re.compile(pattern), kind, added or ())
        for kind, one in enumerate(described.values())
        for pattern, added in _spread_out(one)
    ]

    def number(name: str) -> ORDINAL:
        for pattern, kind, added in patterns:
            if match := pattern.match(name):
                return (float(kind), *(float(one) for one in match.groups() if one), *map(float, added))
        return (math.inf,)

    return number


def _spread_out(pattern: Pattern) -> list[tuple[str, ORDINAL | None]]:
    if pattern is None:
        return []
    return [(pattern, None)] if isinstance(pattern, str) else list(pattern)


def head(net: nn.Module) -> nn.Module:
    """The classifier, as the net names it for timm; raises TrainingError if it names none."""
    classifier = getattr(net, "get_classifier", lambda: None)()
    if not isinstance(classifier, nn.Module) or not any(True for _ in classifier.parameters()):
        raise TrainingError(
            f"{type(net).__name__} names no head that could learn alone: its get_classifier() is missing or gives no "
            "layer with weights; leave freeze_epochs at 0"
        )
    return classifier


def learn_alone(part: nn.Module, parameters: Iterable[nn.Parameter]) -> None:
    """Let only those of these parameters have gradients that are in `part`."""
    own = set(part.parameters())
    for parameter in parameters:
        parameter.requires_grad_(parameter in own)


def stand_still(recipe: Recipe) -> bool:
    """Whether the head's features of an image are the same in every epoch of a recipe."""
    augments = (recipe.crop_padding, recipe.hflip, recipe.scale, recipe.color_jitter, recipe.rand_augment)
    return recipe.freeze_epochs == recipe.epochs and not any(augments) and not mixes(recipe)


@dataclass(frozen=True)
class Features:
    """All batches of a training, as a head sees them: features [N, F] and labels [N] by image, in the order drawn."""

    features: Tensor
    labels: Tensor
    drawn: Draw

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The features [B, F] of the images at these positions [B] of the epoch, and their labels [B]."""
        index = self.drawn.order[positions]
        return self.features[index], self.labels[index]

    def mixing(self, positions: Tensor) -> Mixing | None:
        """None: features are not mixed."""
        return None

    def begin(self, drawn: Draw) -> None:
        """Nothing: what is drawn for an epoch is read where it lies."""

    def bring(self, start: int, end: int) -> None:
        """Nothing: all features are there."""


@torch.no_grad()
def features(net: nn.Module, split: Split, drawn: Draw, pixels: Pixels, *, amp: bool) -> Features | None:
    """The features of every image, computed by a net in evaluation mode that stands still but for its head.

    None where the net can't give them, by timm's `forward_features` and `forward_head`, or where its head makes
    other logits of them than the net does.
    """
    if not (hasattr(net, "forward_features") and hasattr(net, "forward_head")):
        return None
    device = split.labels.device
    net.eval()
    found: list[Tensor] = []
    for images in parts(split.images):
        seen = pixels.normalise(images.to(device))
        with torch.autocast(device.type, torch.bfloat16, enabled=amp, cache_enabled=False):
            found.append(net.forward_head(net.forward_features(seen), pre_logits=True))  # type: ignore[operator]
            if len(found) == 1:
                agrees = torch.allclose(head(net)(found[0]), net(seen), rtol=1e-3, atol=1e-3)
                if not distributed.everywhere(agrees):
                    return None
    return Features(torch.cat(found), split.labels, drawn)


class Average:
    """The exponential moving average of a net's tensors, updated after every step; `decay` is the part it keeps.

    It is torch's AveragedModel with batch norm's statistics, begun with the net as it is before the first step. That
    class asks its count whether this is the first update, for which a GPU would have to be waited for in every step,
    and a step that asks can't be captured; here it is never the first. What isn't floating point is taken over as it
    is: torch would round the average of a count off, to where it began.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        """Average `net`, which must keep its tensor objects."""
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        own, followed = ([*one.parameters(), *one.buffers()] for one in (self.net, net))
        pairs = [(mine.detach(), its.detach()) for mine, its in zip(own, followed, strict=True)]
        self._floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self._others = [pair for pair in pairs if not pair[0].is_floating_point()]
        self._move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the net after a step; does not wait for a GPU."""
        self._move([mine for mine, _ in self._floats], [its for _, its in self._floats], None)
        if self._others:
            torch._foreach_copy_([mine for mine, _ in self._others], [its for _, its in self._others])


class BatchCounts:
    """Counts batches for all batch norm layers at once; each would launch a kernel of its own to add 1 in every step.

    The counts are a part of the net's state, so whoever reads or writes that puts them `back` meanwhile.
    Layers whose averages depend on the count (`momentum` None) go on counting themselves.
    """

    def __init__(self, net: nn.Module) -> None:
        self._layers = [
            (layer, count)
            for layer in net.modules()
            if getattr(layer, "momentum", None) is not None
            and not isinstance(layer, nn.SyncBatchNorm)  # it refuses to train without its count
            and isinstance(count := getattr(layer, "num_batches_tracked", None), Tensor)
        ]
        self._take()

    def add(self) -> None:
        """Count a batch."""
        if self._layers:
            torch._foreach_add_([count for _, count in self._layers], 1)

    def give_back(self) -> None:
        """Give the layers their counts again."""
        for layer, count in self._layers:
            layer.num_batches_tracked = count

    @contextlib.contextmanager
    def back(self) -> Iterator[None]:
        """The layers have their counts meanwhile."""
        self.give_back()
        try:
            yield
        finally:
            self._take()

    def _take(self) -> None:
        for layer, _ in self._layers:
            layer.num_batches_tracked = None  # type: ignore[assignment]
