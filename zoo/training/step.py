"""One training step, and three ways to run it: eagerly, compiled, or replayed as a CUDA graph.

What a step computes is written once (`Step.__call__`); the ways differ in speed. On a GPU at batch
128 an eager step is bound by the launches of its some 245 kernels and not by their work: compiled,
batch norm, ReLU and normalisation are fused, and a graph launches a whole step at once, from the
gather that makes the batch to the optimizer.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.data import batches
from zoo.data.batches import Draw, Pixels, Split
from zoo.data.mixing import Mixing, mix
from zoo.errors import CompileWarning
from zoo.nets.device import synchronize
from zoo.spec import Recipe
from zoo.training import optim
from zoo.training.distributed import Share

Forward = Callable[[Tensor, Tensor, Mixing | None], tuple[Tensor, Tensor]]

# A graph is captured after so many steps of a size have run: by then the optimizer has its state, and
# the libraries have chosen their kernels.
STEPS_BEFORE_CAPTURE = 3


class Step:
    """A step of training, with all that it reads and changes.

    Only whole batches are compiled: an epoch's last, smaller one is not worth compiling a second time.

    `drawn` is read where it lies: an epoch's draws are copied into it. `totals` [2] float64 gathers
    the loss summed over images and the correct predictions.
    """

    def __init__(
        self,
        recipe: Recipe,
        net: nn.Module,
        optimizer: torch.optim.Optimizer,
        source: Split,
        drawn: Draw,
        pixels: Pixels,
        totals: Tensor,
        *,
        amp: bool,
        share: Share,
        compiled: bool,
        teacher: nn.Module | None = None,
    ) -> None:
        self.optimizer = optimizer
        self.compile_seconds = 0.0  # spent on compiling, the first step included
        self.recipe, self.share, self.device = recipe, share, source.labels.device
        self.compiled = compiled
        self._net, self._source, self._drawn, self._totals = net, source, drawn, totals
        self._eager = _forward(net, pixels, recipe, amp, teacher)
        if compiled:
            torch.compiler.reset()  # what earlier trainings in this process compiled counts against a limit
        self._forward: Forward = torch.compile(self._eager, dynamic=False) if compiled else self._eager
        self._whole = len(range(share.rank, min(recipe.batch_size, len(source)), share.world))
        self._begun = False

    def __call__(self, start: int, end: int) -> None:
        """Train on this process's share of images `start` to `end` of the epoch."""
        positions = torch.arange(start + self.share.rank, end, self.share.world, device=self.device)
        if self.compiled and not self._begun and len(positions) == self._whole:
            self._begun = True
            self._first(positions, end - start)
        else:
            self.run(positions, end - start)

    def run(self, positions: Tensor, batch_size: int) -> None:
        """Train on the images at these positions of the epoch, a share of a batch of that size."""
        images, labels = batches.batch(self._source, self._drawn, positions, self.recipe.crop_padding)
        mixing = self._drawn.mixing and self._drawn.mixing.at(positions)
        forward = self._forward if len(positions) == self._whole else self._eager
        loss, correct = forward(images, labels, mixing)
        # The mean over the whole batch: processes' gradients are averaged, whatever their shares.
        (loss * (self.share.world / batch_size)).backward()  # type: ignore[no-untyped-call]
        optim.clip(self.recipe, self._net.parameters())
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._totals[0] += loss.detach()
        self._totals[1] += correct

    def _first(self, positions: Tensor, batch_size: int) -> None:
        """The first whole batch, at which the step is compiled; eagerly from here on where that fails."""
        before = {name: buffer.clone() for name, buffer in self._net.named_buffers()}
        started = time.perf_counter()
        try:
            self.run(positions, batch_size)
            synchronize(self.device)
        except Exception as error:  # a compiler may fail in any way; the step itself is tried again without it
            _warn("without compiling", error)
            self._forward, self.compiled = self._eager, False
            with torch.no_grad():
                for name, buffer in self._net.named_buffers():
                    buffer.copy_(before[name])
            self.optimizer.zero_grad()
            self.run(positions, batch_size)
        finally:
            self.compile_seconds += time.perf_counter() - started


class GraphedStep:
    """The same step on a GPU, launched as one graph; a graph for each size of batch.

    The first steps of a size run as they are. Where the rate stands and the batch begins is written
    into the graph's memory before each launch.
    """

    def __init__(self, step: Step) -> None:
        self.step, device = step, step.device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._failed = False
        self._steps: Counter[int] = Counter()
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._start = torch.zeros((), dtype=torch.int64, device=device)
        self._lr = torch.zeros((), device=device)

    @property
    def compile_seconds(self) -> float:
        """Spent on compiling and capturing."""
        return self.step.compile_seconds

    def __call__(self, start: int, end: int) -> None:
        """Train on images `start` to `end` of the epoch."""
        size = end - start
        self._steps[size] += 1
        if self._failed:
            self.step(start, end)
            return
        if self._steps[size] <= STEPS_BEFORE_CAPTURE:
            current = torch.cuda.current_stream(self.step.device)
            self._stream.wait_stream(current)
            with torch.cuda.stream(self._stream):
                self.step(start, end)
            current.wait_stream(self._stream)
            return
        self._start.fill_(start)
        self._lr.fill_(float(self.step.optimizer.param_groups[0]["lr"]))
        if size not in self._graphs:
            started = time.perf_counter()
            try:
                self._graphs[size] = self._captured(size)
            except Exception as error:  # nothing was computed: the step is still to be made
                _warn("without a CUDA graph", error)
                self._failed = True
                self.step.optimizer.zero_grad()
                self.step(start, end)
                return
            finally:
                self.step.compile_seconds += time.perf_counter() - started
        self._graphs[size].replay()

    def _captured(self, size: int) -> torch.cuda.CUDAGraph:
        """Record a step: nothing is computed by it yet."""
        group = self.step.optimizer.param_groups[0]
        rate, group["lr"] = group["lr"], self._lr  # the optimizer reads the rate where this graph has it
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self._stream):
                # All that is made in here lives as long as the graph; a tensor from outside would have to be kept.
                self.step.run(self._start + torch.arange(size, device=self._start.device), size)
        finally:
            group["lr"] = rate
        return graph


def _warn(how: str, error: Exception) -> None:
    reason = (str(error).splitlines() or [""])[0][:200]
    warnings.warn(CompileWarning(f"training goes on {how}: {type(error).__name__}: {reason}"), stacklevel=3)


def fastest(step: Step) -> Step | GraphedStep:
    """The fastest way to run a step: as a graph where it is compiled on one GPU, else as it is.

    A graph reads the rate from memory, but no other number of a schedule; and it holds no communication.
    """
    can_be_captured = (
        step.compiled
        and step.device.type == "cuda"
        and step.share.world == 1
        and step.recipe.opt == "sgd"
        and not step.recipe.cycle_momentum
    )
    return GraphedStep(step) if can_be_captured else step


def _forward(net: nn.Module, pixels: Pixels, recipe: Recipe, amp: bool, teacher: nn.Module | None) -> Forward:
    """Images [B, H, W, C] uint8 and labels [B] to the loss summed over them and the correct predictions.

    A mixed image counts as correct where it is taken for the class that it has more of.
    """

    def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=recipe.smoothing, reduction="none")

    def forward(images: Tensor, labels: Tensor, mixing: Mixing | None) -> tuple[Tensor, Tensor]:
        seen = pixels.normalise(images)
        part = None
        if mixing is not None:
            seen, part = mix(seen, mixing, recipe.cutout)
        # A cache of cast weights would outlive the graph that it was made in.
        with torch.autocast(images.device.type, torch.bfloat16, enabled=amp, cache_enabled=False):
            logits = net(seen)
            loss = cross_entropy(logits, labels)
            if part is not None:
                loss = part * loss + (1 - part) * cross_entropy(logits, labels.flip(0))
                labels = torch.where(part < 0.5, labels.flip(0), labels)
            if teacher is not None:
                with torch.no_grad():
                    taught = teacher(seen)
                loss = (1 - recipe.distill) * loss + recipe.distill * _distilled(logits, taught, recipe.temperature)
        return loss.sum(), (logits.detach().argmax(dim=1) == labels).sum()

    return forward


def _distilled(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """Hinton et al. (arXiv:1503.02531), section 2: KL divergence at a temperature T, times T²; [B]."""
    student = F.log_softmax(logits.float() / temperature, dim=1)
    wanted = F.log_softmax(taught.float() / temperature, dim=1)
    return F.kl_div(student, wanted, log_target=True, reduction="none").sum(dim=1) * temperature**2
