"""How long several ways to the same answers take: asked in turn, round by round.

What else the machine does slows all of them, so their ratios are worth more than their times.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from zoo.spec import InputSize

Ask = Callable[[Tensor], object]  # with images [N, H, W, C] uint8

BATCHES = (1, 8, 64)
SECONDS = 2.0  # a way and a size of batch
LEAST_ROUNDS = 3


@dataclass(frozen=True)
class Timing:
    """How long a batch takes, asked in turn with the first way on the same processor."""

    batch: int  # images at once
    milliseconds: float  # for all of them, the median
    ratio: float  # how many times as fast as the first way, the median of the rounds' own


def timed(ways: Mapping[str, Ask], input_size: InputSize, batch: int, seconds: float) -> dict[str, Timing]:
    """The time that each way takes for a batch of noise, and its ratio to the first way's."""
    channels, height, width = input_size
    shape, generator = (batch, height, width, channels), torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    first, rounds = next(iter(ways)), list[dict[str, float]]()
    with torch.inference_mode():
        for ask in ways.values():  # what compiles for a new size does it here
            ask(images)
            ask(images)
        end = time.perf_counter() + seconds * len(ways)
        while time.perf_counter() < end or len(rounds) < LEAST_ROUNDS:
            rounds.append({name: _seconds(ask, images) for name, ask in ways.items()})
    return {
        name: Timing(
            batch,
            1000 * median(one[name] for one in rounds),
            median(one[first] / one[name] for one in rounds),
        )
        for name in ways
    }


def _seconds(ask: Ask, images: Tensor) -> float:
    start = time.perf_counter()
    ask(images)
    return time.perf_counter() - start
