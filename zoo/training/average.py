"""The average of a net's weights over its steps, which is evaluated and published where a recipe asks for it."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """A net beside the one that is trained, moved towards it after every step: of itself it keeps `decay`.

    It is torch's AveragedModel with batch norm's statistics, begun with the net as it is before the first step. That
    class asks its count whether this is the first update, for which a GPU would have to be waited for in every step,
    and a step that asks can't be captured; here it is never the first. What isn't floating point is taken over as it
    is: torch would round the average of a count off, to where it began.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        """Average `net`, whose tensors have to stay the same ones."""
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        own, followed = ([*one.parameters(), *one.buffers()] for one in (self.net, net))
        pairs = [(mine.detach(), its.detach()) for mine, its in zip(own, followed, strict=True)]
        self._floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self._others = [pair for pair in pairs if not pair[0].is_floating_point()]
        self._move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the net as it is after a step; nothing is asked of a GPU."""
        self._move([mine for mine, _ in self._floats], [its for _, its in self._floats], None)
        if self._others:
            torch._foreach_copy_([mine for mine, _ in self._others], [its for _, its in self._others])
