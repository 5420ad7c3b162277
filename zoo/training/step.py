"""A training step, and three ways to run it: eagerly, compiled, or replayed as a CUDA graph.

`Step.run` computes a step. With batches of 128 CIFAR images on a GPU, an eager step takes the time to launch its 300
kernels. A graph launches all of them at once, from reading the batch to the optimizer. torch.compile also fuses the
operations between the convolutions.
"""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import CompileWarning, TrainingError
from zoo.nets.device import synchronize
from zoo.record.job import How
from zoo.spec import Recipe
from zoo.training import distributed, optimizer
from zoo.training.objective import Objective
from zoo.training.optimizer import Average, BatchCounts

# Eager steps of a batch size before a graph is captured for it: by then the optimizer has its state, and cuDNN has
# chosen its kernels.
STEPS_BEFORE_CAPTURE = 3


@dataclass(frozen=True)
class StepState:
    """The state that a step changes."""

    net: nn.Module
    optimizer: torch.optim.Optimizer
    totals: Tensor  # [2] float64, on MPS float32: the loss summed over images, and the correct predictions
    counts: BatchCounts
    average: Average | None = None


class Step:
    """Runs steps eagerly, or compiled for full batches; compiling again for the last batch would take more time."""

    def __init__(
        self,
        objective: Objective,
        state: StepState,
        recipe: Recipe,
        *,
        how: How,
        stopwatch: Stopwatch,
    ) -> None:
        self.state, self.recipe, self.stopwatch = state, recipe, stopwatch
        self.share = distributed.share()
        self.device = state.totals.device
        self.compiled = how == "default"
        self._eager = self._full_batch = _scaled(objective, state.totals)
        self._sizes: set[int] = set()  # batch sizes that have been run
        if self.compiled:
            # Combined kernels need fewer launches on a GPU: 239 instead of 283 for resnet20.
            options: dict[str, Any] = {"combo_kernels": True} if self.device.type == "cuda" else {}
            self._full_batch = torch.compile(self._eager, dynamic=False, options=options)

    @property
    def how(self) -> How:
        """How the steps are run; "none" if compiling has failed."""
        return "default" if self.compiled else "none"

    def __call__(self, start: int, end: int) -> None:
        """Train on this process's share of images `start` to `end` of the epoch."""
        size = end - start
        positions = torch.arange(start + self.share.rank, end, self.share.world, device=self.device)
        is_first = size not in self._sizes
        self._sizes.add(size)
        if is_first and self.compiled and size == self.recipe.batch_size:
            with self.stopwatch.compiling():
                self._compile(positions, size)
        elif is_first and self.device.type == "cuda":  # cuDNN searches its kernels, which takes seconds
            with self.stopwatch.compiling():
                self.run(positions, size)
        else:
            self.run(positions, size)

    def run(self, positions: Tensor, batch_size: int) -> None:
        """Train on the images at these positions of the epoch, this process's share of a batch of that size."""
        loss = self._full_batch if batch_size == self.recipe.batch_size else self._eager
        # DistributedDataParallel averages gradients over processes: this scale makes it the mean over the batch.
        loss(positions, self.share.world / batch_size).backward()  # type: ignore[no-untyped-call]
        optimizer.clip(self.recipe, self.state.net.parameters())
        self.state.optimizer.step()
        self.state.optimizer.zero_grad()
        self.state.counts.add()
        if self.state.average is not None:
            self.state.average.update()

    def _compile(self, positions: Tensor, batch_size: int) -> None:
        """Run the first full batch, which compiles the step; if that fails, run this and all later steps eagerly."""
        changed = [*self.state.net.buffers(), self.state.totals]
        before = [tensor.clone() for tensor in changed]
        try:
            self.run(positions, batch_size)
            return
        except Exception as error:  # a compiler may raise anything; an error of the step itself is raised below
            if self.share.world > 1:  # the other processes may have compiled; they would wait for these gradients
                raise TrainingError(f"compiling fails in a process ({_first(error)}); use compile none") from error
            _warn("compiling", error)
        self._full_batch, self.compiled = self._eager, False
        with torch.no_grad():
            for tensor, value in zip(changed, before, strict=True):
                tensor.copy_(value)
        self.state.optimizer.zero_grad()
        self.run(positions, batch_size)


def _scaled(objective: Objective, totals: Tensor) -> Callable[[Tensor, float], Tensor]:
    """Make a function that computes the scaled sum of the losses at positions, and adds the sum to `totals`."""

    def scaled(positions: Tensor, scale: float) -> Tensor:
        losses, correct = objective(positions)
        loss = losses.sum()
        totals.add_(torch.stack((loss.detach(), correct.sum())))
        return loss * scale

    return scaled


class GraphedStep:
    """Runs a step as a CUDA graph, one for each batch size.

    The first steps of a batch size run eagerly. The learning rate and the start of the batch are written into the
    graph's memory before each launch.
    """

    def __init__(self, step: Step) -> None:
        self.step, device = step, step.device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()
        self._steps: Counter[int] = Counter()
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._failed: set[int] = set()  # batch sizes that could not be captured
        self._start = torch.zeros((), dtype=torch.int64, device=device)
        self._lr = torch.zeros((), device=device)

    @property
    def how(self) -> How:
        """How the steps are run: "default" if they are compiled and captured, "none" if capturing has failed."""
        has_failed = self._failed and not self._graphs
        return self.step.how if self.step.compiled or has_failed else "graph"

    def __call__(self, start: int, end: int) -> None:
        """Train on images `start` to `end` of the epoch."""
        size = end - start
        self._steps[size] += 1
        if self._steps[size] <= STEPS_BEFORE_CAPTURE:
            current = torch.cuda.current_stream(self.step.device)
            self._stream.wait_stream(current)
            with torch.cuda.stream(self._stream):
                self.step(start, end)
            current.wait_stream(self._stream)
            return
        if size not in self._graphs and size not in self._failed:
            self._capture(size)
        if size in self._failed:
            self.step(start, end)
            return
        self._start.fill_(start)
        self._lr.fill_(float(self.step.state.optimizer.param_groups[0]["lr"]))
        self._graphs[size].replay()

    def _capture(self, size: int) -> None:
        """Capture a step of a batch size, without computing it; a failure is a warning."""
        device = self.step.device
        with self.step.stopwatch.compiling():
            current = torch.cuda.current_stream(device)
            try:
                self._graphs[size] = self._captured(size)
                return
            except Exception as error:
                _warn("a CUDA graph", error)
            # Outside the except block, which would keep the failed step's gradients alive. After a failed capture,
            # torch leaves the capture's stream current and the random generator in a capturing state.
            torch.cuda.set_stream(current)
            current.wait_stream(self._stream)
            _reset_generator(device)
            self._failed.add(size)
            self.step.state.optimizer.zero_grad()

    def _captured(self, size: int) -> torch.cuda.CUDAGraph:
        groups = self.step.state.optimizer.param_groups
        rates = [group["lr"] for group in groups]
        graph = torch.cuda.CUDAGraph()
        collects = gc.isenabled()
        gc.collect()  # freeing an older graph or device memory during the capture would be an error
        gc.disable()
        try:
            # In mode "global", the thread that reads batches ahead and pins memory would break the capture. Graphs of
            # all sizes share memory: they never run at the same time, and no tensor of theirs is used after a step.
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                # Tensors that are made here live as long as the graph. The optimizer reads the rate from the graph.
                for group in groups:
                    group["lr"] = self._lr * optimizer.scale(group)
                self.step.run(self._start + torch.arange(size, device=self._start.device), size)
        finally:
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate
            if collects:
                gc.enable()
        return graph


def _reset_generator(device: torch.device) -> None:
    """Give the random generator of a GPU a state that belongs to no capture."""
    if device.type == "cuda":
        generator = torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]
        generator.graphsafe_set_state(generator.clone_state())


def _warn(what: str, error: BaseException) -> None:
    warnings.warn(CompileWarning(f"training goes on without {what}: {_first(error)}"), stacklevel=3)


def _first(error: BaseException) -> str:
    """The first error of the chain, in a line: ending a failed capture raises another error."""
    while error.__context__ is not None:
        error = error.__context__
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"


def fastest(step: Step, how: How) -> Step | GraphedStep:
    """The step as a CUDA graph where `how` is not "none" and a graph is possible; else the step itself."""
    if how == "none" or step.share.world > 1 or _obstacle_to_a_graph(step.recipe, step.device):
        return step
    return GraphedStep(step)


# On two CPU cores compiling takes half a minute or more and makes a step in bf16 up to 20% faster, so it pays from this
# number of images. In fp32 it makes no step faster (examples/benchmark_training.py).
IMAGES_WORTH_COMPILING = 1_000_000
# On a GPU, compiling saves less because a graph already removes the launches. This estimate from the number of kernels,
# 200 epochs of CIFAR, was never measured.
IMAGES_WORTH_COMPILING_ON_A_GPU = 10_000_000


def choose(
    given: str,
    recipe: Recipe,
    *,
    device: torch.device,
    amp: bool,
    images: int,
    processes: int,
    recomputes: bool = False,
) -> tuple[How, str]:
    """Choose how the steps of a training are run.

    Args:
        given: "none", "graph" or "default"; "auto" for the probably fastest of them.
        recipe: The recipe of the training.
        device: The device of the training.
        amp: Whether it computes in bf16.
        images: Images to train on over all epochs.
        processes: Number of processes.
        recomputes: Whether activations are recomputed in the backward pass, which torch.compile does not support here.

    Returns:
        How the steps are run, and the reason.

    Raises:
        TrainingError: `given` is not possible with these settings.
    """
    obstacle = _obstacle_to_a_graph(recipe, device)
    if given == "graph" and processes > 1:
        raise TrainingError("compile graph needs a training in one process; use default or none")
    if given == "graph" and obstacle:
        raise TrainingError(f"compile graph is not possible: {obstacle}; use default or none")
    if given == "default" and recomputes:
        raise TrainingError("compile default is not possible with grad_checkpointing; use none, or graph on a GPU")
    if given != "auto":
        return given, "requested"  # type: ignore[return-value]
    how, why = _probably_fastest(obstacle, device, amp=amp, images=images, processes=processes, recomputes=recomputes)
    return how, f"auto: {why}"


def _probably_fastest(
    obstacle: str | None, device: torch.device, *, amp: bool, images: int, processes: int, recomputes: bool
) -> tuple[How, str]:
    many = f"{images:,} images in all"
    if processes > 1:
        return "none", "compiling was not benchmarked with several processes"
    if device.type == "mps":
        return "none", "compiling has not been tried on MPS"
    if device.type == "cuda" and obstacle is None:
        if recomputes:
            return "graph", "grad_checkpointing can't be compiled"
        if images < IMAGES_WORTH_COMPILING_ON_A_GPU:
            return "graph", f"compiling does not pay for {many} on a GPU"
    if recomputes:
        return "none", "grad_checkpointing can't be compiled"
    if device.type == "cuda":
        return "default", obstacle or f"compiling pays for {many}"
    if not amp:
        return "none", "compiling does not pay in fp32 on a CPU"
    if images < IMAGES_WORTH_COMPILING:
        return "none", f"compiling does not pay for {many} on a CPU"
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        return "none", "no C++ compiler was found; install g++ or set CXX"
    return "default", f"compiling pays for {many} on a CPU"


def _obstacle_to_a_graph(recipe: Recipe, device: torch.device) -> str | None:
    """Why a step can't run as a CUDA graph; None if it can.

    A graph reads the learning rate from memory; all other hyper-parameters are constants in it.
    """
    if device.type != "cuda":
        return "a CUDA graph needs a GPU"
    if recipe.opt != "sgd" or recipe.cycle_momentum:
        return "a CUDA graph needs opt sgd without cycle_momentum"
    return None


class Stopwatch:
    """Splits the wall time of an epoch into training and compiling; pending work of a GPU counts as training."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.start()

    def start(self, train_seconds: float = 0.0, compile_seconds: float = 0.0) -> None:
        """Start an epoch, or continue one that has taken these seconds already."""
        self.compile_seconds = compile_seconds
        self._started = time.perf_counter() - train_seconds - compile_seconds

    @property
    def train_seconds(self) -> float:
        """Seconds of the epoch so far without those of compiling."""
        return time.perf_counter() - self._started - self.compile_seconds

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Count the time in the block as compiling."""
        synchronize(self._device)
        begun = time.perf_counter()
        try:
            yield
            synchronize(self._device)
        finally:
            self.compile_seconds += time.perf_counter() - begun
