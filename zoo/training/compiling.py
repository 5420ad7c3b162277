"""How a step is run: eagerly, as a CUDA graph, or compiled; and which of them a training is worth."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

import torch

from zoo.errors import TrainingError
from zoo.record.job import How
from zoo.spec import Recipe

WORDS = ("auto", "none", "graph", "default")

# On two CPU cores compiling takes half a minute and more, and makes a step in bf16 up to a fifth faster: it pays from
# here on. In fp32 it does not (examples/benchmark_training.py).
IMAGES_WORTH_COMPILING = 1_000_000
# On a GPU a graph alone takes away the launches. What compiling takes off beside it, a tenth to a fifth, is less
# than its half minute (resnet20) to three (resnet110) until so many images; estimated, not measured.
IMAGES_WORTH_COMPILING_ON_A_GPU = 30_000_000


@dataclass(frozen=True)
class Compilation:
    """How the steps of a training are run, and why they are run so."""

    how: How
    why: str


def choose(asked: str, recipe: Recipe, *, device: torch.device, amp: bool, images: int, processes: int) -> Compilation:
    """The way that was asked for; for `auto` the one that a training of so many images in all is worth.

    Raises TrainingError for a word that is none, and for a graph that can't be captured.
    """
    if asked not in WORDS:
        raise TrainingError(f"--compile should be one of {', '.join(WORDS)}, not {asked!r}")
    obstacle = _obstacle_to_a_graph(recipe, device, processes)
    if asked == "graph" and obstacle:
        raise TrainingError(f"--compile graph can't be had: {obstacle}; use default or none")
    if asked != "auto":
        return Compilation(asked, "asked for")  # type: ignore[arg-type]
    many = f"{images:,} images in all"
    if device.type == "cuda":
        if obstacle is None and images < IMAGES_WORTH_COMPILING_ON_A_GPU:
            return Compilation("graph", f"auto: {many} on a GPU are sooner trained than compiled for")
        return Compilation("default", f"auto: {obstacle or f'{many} are worth compiling for'}")
    if not amp:
        return Compilation("none", "auto: in fp32 a CPU gains nothing by it")
    if images < IMAGES_WORTH_COMPILING:
        return Compilation("none", f"auto: {many} on a CPU are sooner trained than compiled for")
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        return Compilation("none", "auto: there is no C++ compiler; install g++ or name one with CXX")
    return Compilation("default", f"auto: {many} on a CPU are worth compiling for")


def works(device: torch.device) -> bool:
    """Whether this process can compile at all: seen by compiling next to nothing."""
    try:
        torch.compile(_next_to_nothing, dynamic=False)(torch.zeros(8, device=device))
    except Exception:  # a compiler may fail in any way
        return False
    return True


def _next_to_nothing(values: torch.Tensor) -> torch.Tensor:
    return values.sin() + 1


def can_be_captured(recipe: Recipe, device: torch.device, processes: int) -> bool:
    """Whether a step can be launched as one CUDA graph."""
    return _obstacle_to_a_graph(recipe, device, processes) is None


def _obstacle_to_a_graph(recipe: Recipe, device: torch.device, processes: int) -> str | None:
    """A graph reads the rate from memory, but no other number of a schedule; and it holds no communication."""
    if device.type != "cuda":
        return "there are graphs on a GPU only"
    if processes > 1:
        return "a graph holds no communication between processes"
    if recipe.opt != "sgd" or recipe.cycle_momentum:
        return "a graph follows no schedule but sgd's rate"
    return None
