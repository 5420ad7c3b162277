"""One training step, and three ways to run it: eagerly, compiled, or replayed as a CUDA graph.

What a step computes is written once (`Step.run`); the ways differ in speed. On a GPU at batch 128 an
eager step is bound by the launches of its some 300 kernels and not by their work: a graph launches a
whole step at once, from the gather that makes the batch to the optimizer; compiled, what surrounds
the convolutions is fused besides.
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
from zoo.training.distributed import Share
from zoo.training.objective import Objective
from zoo.training.optimizer import Average, BatchCounts

# A graph is captured after so many steps of a size have run: by then the optimizer has its state, and
# the libraries have chosen their kernels.
STEPS_BEFORE_CAPTURE = 3

WITHOUT = "training goes on without"


@dataclass(frozen=True)
class Moved:
    """The tensors that a step changes."""

    net: nn.Module
    optimizer: torch.optim.Optimizer
    totals: Tensor  # [2] float64 on a CPU or CUDA, else float32: loss summed over images, correct predictions
    counts: BatchCounts
    average: Average | None = None


class Step:
    """A step of training.

    Only whole batches are compiled: an epoch's last, smaller one is not worth compiling a second time.
    """

    def __init__(
        self, objective: Objective, moved: Moved, recipe: Recipe, *, share: Share, how: How, stopwatch: Stopwatch
    ) -> None:
        self.moved, self.recipe, self.share, self.stopwatch = moved, recipe, share, stopwatch
        self.device = moved.totals.device
        self.compiled = how == "default"
        self._eager = self._whole = _scaled(objective, moved.totals)
        self._sizes: set[int] = set()
        if self.compiled:
            if share.world > 1 and not distributed.everywhere(works(self.device)):
                warnings.warn(CompileWarning(f"{WITHOUT} compiling: not every process can"), stacklevel=2)
                self.compiled = False
            else:
                # Combined kernels are fewer launches: 239 instead of 283 for resnet20, counted. A CPU launches none.
                options: dict[str, Any] = {"combo_kernels": True} if self.device.type == "cuda" else {}
                self._whole = torch.compile(self._eager, dynamic=False, options=options)

    @property
    def how(self) -> How:
        """How the steps are run in fact: compiling may have failed."""
        return "default" if self.compiled else "none"

    def __call__(self, start: int, end: int) -> None:
        """Train on this process's share of images `start` to `end` of the epoch."""
        positions = torch.arange(start + self.share.rank, end, self.share.world, device=self.device)
        whole = end - start == self.recipe.batch_size
        new = end - start not in self._sizes
        self._sizes.add(end - start)
        if new and self.compiled and whole:
            with self.stopwatch.compiling():
                self._first(positions, end - start)
        elif new and searches_kernels(self.device):
            with self.stopwatch.compiling():
                self.run(positions, end - start)
        else:
            self.run(positions, end - start)

    def run(self, positions: Tensor, batch_size: int) -> None:
        """Train on the images at these positions of the epoch, a share of a batch of that size."""
        loss = self._whole if batch_size == self.recipe.batch_size else self._eager
        # The mean over the whole batch: processes' gradients are averaged, whatever their shares.
        loss(positions, self.share.world / batch_size).backward()  # type: ignore[no-untyped-call]
        optimizer.clip(self.recipe, self.moved.net.parameters())
        self.moved.optimizer.step()
        self.moved.optimizer.zero_grad()
        self.moved.counts.add()
        if self.moved.average is not None:
            self.moved.average.update()

    def _first(self, positions: Tensor, batch_size: int) -> None:
        """The first whole batch, at which the step is compiled; eagerly from here on where that fails.

        Several processes fail here together or not at all: they are the same program, and were asked before
        whether they can compile. Now one could not ask the others, who would wait for it in the step itself.
        """
        changed = [*self.moved.net.buffers(), self.moved.totals]
        before = [tensor.clone() for tensor in changed]
        try:
            self.run(positions, batch_size)
            return
        except Exception as error:  # a compiler may fail in any way; the step itself is tried again without it
            _warn("compiling", error)
        self._whole, self.compiled = self._eager, False
        with torch.no_grad():
            for tensor, value in zip(changed, before, strict=True):
                tensor.copy_(value)
        self.moved.optimizer.zero_grad()
        self.run(positions, batch_size)


def searches_kernels(device: torch.device) -> bool:
    """Whether libraries try their kernels at the first step of a size, for seconds: cuDNN does."""
    return device.type == "cuda"


def _scaled(objective: Objective, totals: Tensor) -> Callable[[Tensor, float], Tensor]:
    """Positions to the loss summed over images and scaled; what it sums is added to `totals`."""

    def scaled(positions: Tensor, scale: float) -> Tensor:
        losses, correct = objective(positions)
        loss = losses.sum()
        totals.add_(torch.stack((loss.detach(), correct.sum())))
        return loss * scale

    return scaled


class GraphedStep:
    """The same step on a GPU, launched as one graph; a graph for each size of batch.

    The first steps of a size run as they are. Where the rate stands and the batch begins is written
    into the graph's memory before each launch.
    """

    def __init__(self, step: Step) -> None:
        self.step, device = step, step.device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()
        self._steps: Counter[int] = Counter()
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._uncaptured: set[int] = set()  # sizes for which it was tried in vain
        self._start = torch.zeros((), dtype=torch.int64, device=device)
        self._lr = torch.zeros((), device=device)

    @property
    def how(self) -> How:
        """How the steps are run in fact: capturing may have failed, or no size had enough steps for it."""
        failed = self._uncaptured and not self._graphs
        return self.step.how if self.step.compiled or failed else "graph"

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
        if size not in self._graphs and size not in self._uncaptured:
            self._capture(size)
        if size in self._uncaptured:
            self.step(start, end)
            return
        self._start.fill_(start)
        self._lr.fill_(float(self.step.moved.optimizer.param_groups[0]["lr"]))
        self._graphs[size].replay()

    def _capture(self, size: int) -> None:
        """Record a step of a size; nothing is computed by it yet, so where it fails the step is still to be made."""
        device = self.step.device
        with self.step.stopwatch.compiling():
            current = torch.cuda.current_stream(device)
            try:
                self._graphs[size] = self._captured(size)
                return
            except Exception as error:
                _warn("a CUDA graph", error)
            # Out of the except block, which would keep the failed step's gradients alive. After a capture that ended
            # with an error torch leaves its stream the current one, and the generator in the state of a capture.
            torch.cuda.set_stream(current)
            current.wait_stream(self._stream)
            _reset_generator(device)
            self._uncaptured.add(size)
            self.step.moved.optimizer.zero_grad()

    def _captured(self, size: int) -> torch.cuda.CUDAGraph:
        groups = self.step.moved.optimizer.param_groups
        rates = [group["lr"] for group in groups]
        graph = torch.cuda.CUDAGraph()
        collects = gc.isenabled()
        gc.collect()  # within a capture, freeing an older graph or memory of the device would be an error
        gc.disable()
        try:
            # In mode "global" the thread that reads batches ahead, which pins memory, would break the capture. Graphs
            # of all sizes share memory: they never run at once, and no tensor of theirs outlives a step.
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                # All that is made in here lives as long as the graph; a tensor from outside would have to be kept.
                for group in groups:  # the optimizer reads the rate where this graph has it
                    group["lr"] = self._lr * optimizer.scale(group)
                self.step.run(self._start + torch.arange(size, device=self._start.device), size)
        finally:
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate
            if collects:
                gc.enable()
        return graph


def _reset_generator(device: torch.device) -> None:
    """Give a GPU's generator a state that belongs to no capture."""
    if device.type == "cuda":
        generator = torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]
        generator.graphsafe_set_state(generator.clone_state())


def _warn(what: str, error: BaseException) -> None:
    """Say what went wrong first: the end of a failed capture raises an error of its own over the cause."""
    while error.__context__ is not None:
        error = error.__context__
    reason = (str(error).splitlines() or [""])[0][:200]
    warnings.warn(CompileWarning(f"{WITHOUT} {what}: {type(error).__name__}: {reason}"), stacklevel=3)


def fastest(step: Step, how: How) -> Step | GraphedStep:
    """The step, as a graph where that was asked for and can be had; where it was compiled, a graph comes with it."""
    if how == "none" or _obstacle_to_a_graph(step.recipe, step.device, step.share.world):
        return step
    return GraphedStep(step)


# On two CPU cores compiling takes half a minute and more, and makes a step in bf16 up to a fifth faster: it pays from
# here on. In fp32 it does not (examples/benchmark_training.py).
IMAGES_WORTH_COMPILING = 1_000_000
# On a GPU a graph alone takes away the launches. What compiling takes off beside it pays for its half minute from about
# 200 epochs of CIFAR on. Estimated from the number of kernels; never measured.
IMAGES_WORTH_COMPILING_ON_A_GPU = 10_000_000


@dataclass(frozen=True)
class Compilation:
    """How the steps of a training are run, and why they are run so."""

    how: How
    why: str


def choose(
    given: str,
    recipe: Recipe,
    *,
    device: torch.device,
    amp: bool,
    images: int,
    processes: int,
    recomputes: bool = False,
) -> Compilation:
    """Choose how steps are run.

    Args:
        given: "none", "graph" or "default", which is returned where it is possible; "auto" for the fastest.
        recipe: The recipe of the training.
        device: The device of the training.
        amp: Whether it computes in bf16.
        images: How many images it trains on in all, over all epochs.
        processes: How many processes share it.
        recomputes: Whether activations are recomputed in the backward pass, which torch.compile can't follow.

    Raises:
        TrainingError: The given way is not possible.
    """
    obstacle = _obstacle_to_a_graph(recipe, device, processes)
    if given == "graph" and obstacle:
        raise TrainingError(f"compile graph is not possible: {obstacle}; use default or none")
    if given == "default" and recomputes:
        raise TrainingError("compile default is not possible with grad_checkpointing; use none, or graph on a GPU")
    if given != "auto":
        return Compilation(given, "asked for")  # type: ignore[arg-type]
    many = f"{images:,} images in all"
    if device.type == "cuda":
        if processes > 1:
            return Compilation("none", "auto: compiling was never tried with several processes")
        if obstacle is None and recomputes:
            return Compilation("graph", "auto: recomputed activations can't be compiled")
        if obstacle is None and images < IMAGES_WORTH_COMPILING_ON_A_GPU:
            return Compilation("graph", f"auto: {many} on a GPU are sooner trained than compiled for")
        if not recomputes:
            return Compilation("default", f"auto: {obstacle or f'{many} are worth compiling for'}")
    if device.type == "mps":
        return Compilation("none", "auto: compiling was never tried on MPS")
    if recomputes:
        return Compilation("none", "auto: recomputed activations can't be compiled")
    if not amp:
        return Compilation("none", "auto: in fp32 a CPU gains nothing by it")
    if images < IMAGES_WORTH_COMPILING:
        return Compilation("none", f"auto: {many} on a CPU are sooner trained than compiled for")
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        return Compilation("none", "auto: there is no C++ compiler; install g++ or name one with CXX")
    return Compilation("default", f"auto: {many} on a CPU are worth compiling for")


def works(device: torch.device) -> bool:
    """Whether this process can compile, tried with a tiny function."""
    try:
        torch.compile(_tiny, dynamic=False)(torch.zeros(8, device=device))
    except Exception:  # a compiler may fail in any way
        return False
    return True


def _tiny(values: torch.Tensor) -> torch.Tensor:
    return values.sin() + 1


def _obstacle_to_a_graph(recipe: Recipe, device: torch.device, processes: int) -> str | None:
    """Why a step can't be launched as one CUDA graph; None if it can.

    A graph reads the learning rate from memory, but no other number of a schedule, and it holds no communication.
    """
    if device.type != "cuda":
        return "there are graphs on a GPU only"
    if processes > 1:
        return "a graph holds no communication between processes"
    if recipe.opt != "sgd" or recipe.cycle_momentum:
        return "a graph follows no schedule but sgd's rate"
    return None


class Stopwatch:
    """Splits an epoch's wall time into training and compiling; pending work of a GPU counts as training."""

    def __init__(self, device: torch.device, now: Callable[[], float] = time.perf_counter) -> None:
        self._device, self._now = device, now
        self.start()

    def start(self, train_seconds: float = 0.0, compile_seconds: float = 0.0) -> None:
        """Begin an epoch, or continue one that has taken these seconds already."""
        self.compile_seconds = compile_seconds
        self._started = self._now() - train_seconds - compile_seconds

    @property
    def train_seconds(self) -> float:
        """All seconds of the epoch so far that were not spent on compiling."""
        return self._now() - self._started - self.compile_seconds

    @property
    def seconds(self) -> tuple[float, float]:
        """The seconds of training and those of compiling, at one moment."""
        return self.train_seconds, self.compile_seconds

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Count the time inside as compiling."""
        synchronize(self._device)
        begun = self._now()
        try:
            yield
            synchronize(self._device)
        finally:
            self.compile_seconds += self._now() - begun
