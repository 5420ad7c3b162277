"""Profile a training step on this machine's device, for each way to run it.

python examples/profile_training_step.py [--model resnet20_cifar10] [--device cpu] [--out runs/profile]
    [--only NAME,NAME] [--limit 10] [--convolutions] [--together N]

Each way trains a new net on random images, which train as fast as real ones:
  on a CPU  eager in fp32, eager in bf16 if the hardware has it, and compiled if there is a C++ compiler
  on a GPU  CUDA graphs of the eager step, of the zoo's fused kernels and of the compiled step; a graph in fp32; and
            graphs compiled with settings of Inductor that launch fewer kernels, or launch them earlier
The script prints the milliseconds of a step, then its operators by self time on a CPU, or its kernels on a GPU.
On a CPU it also prints the shares of data, forward, loss, backward and optimizer, and the share of Python. On a GPU it
also times an evaluation and the draw of an epoch. --convolutions compares the memory layouts of each convolution, and
--together trains up to N nets at once, each on its own CUDA stream.

Each part writes its results to --out: NAME.json, and NAME.txt with every kernel or operator. If a part fails, the
script prints the error and continues; the exit code is the number of failures. Run nothing else on the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

# Import the zoo of this checkout, installed or not.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from zoo import registry
from zoo.data import batches, sources
from zoo.errors import CompileWarning
from zoo.evaluation.evaluate import evaluate
from zoo.nets.build import build
from zoo.nets.device import choose, describe, has_bf16
from zoo.record.job import How
from zoo.spec import Model, Recipe
from zoo.training import optimizer as optim
from zoo.training.environment import keep_memory, settings
from zoo.training.fusion import fused
from zoo.training.objective import Loss, objective
from zoo.training.optimizer import BatchCounts
from zoo.training.step import STEPS_BEFORE_CAPTURE, GraphedStep, Step, StepState, Stopwatch

ROUNDS = 5  # times are medians over the rounds
FIRST_STEPS = STEPS_BEFORE_CAPTURE + 2  # not timed: compilation and capture happen in them
PROFILED_STEPS = 3
REPEATS = 20  # of a convolution within a graph
ROWS = 15  # of a printed table

# Kinds of kernels by words in their names; the first match counts. Inductor's names list all fused operations.
KINDS = (
    ("Inductor's", ("triton_",)),
    ("layout", ("nchwtonhwc", "nhwctonchw", "nhwcaddpadding")),
    ("batch norm", ("bn_", "batch_norm")),
    ("weight gradient", ("wgrad", "splitkreduce")),
    ("input gradient", ("dgrad",)),
    ("convolution", ("fprop", "conv", "xmma", "cudnn", "implicit")),
    ("optimizer", ("multi_tensor", "sgd")),
)


@dataclass(frozen=True)
class Way:
    """One way to run a step."""

    amp: bool  # in bf16
    compiled: bool = False
    graph: bool = False  # captured as a CUDA graph
    fused: bool = False  # batch norm, addition and ReLU by the zoo's Triton kernels
    inductor: Mapping[str, bool] = field(default_factory=dict)  # settings


@dataclass(frozen=True)
class Subject:
    """The model, images and settings that every way is measured with."""

    model: Model
    split: sources.Split  # random images
    device: torch.device
    batch_size: int
    steps: int  # in a round

    @property
    def recipe(self) -> Recipe:
        """The model's default recipe, with this batch size."""
        return self.model.recipes[self.model.default_recipe].replace(batch_size=self.batch_size)

    @property
    def pixels(self) -> batches.Pixels:
        """The normalisation, on the device."""
        return batches.pixels(*self.model.normalisation(self.recipe), self.device)


@dataclass(frozen=True)
class Row:
    """A kernel or an operator: its milliseconds and calls in a step."""

    name: str
    milliseconds: float
    calls: float


@dataclass(frozen=True)
class Measurement:
    """The result of a part: figures by unit, and rows. Only the first `printed` rows are printed."""

    figures: Mapping[str, float]
    rows: list[Row] = field(default_factory=list)
    printed: int = ROWS


Part = Callable[[], Measurement]


def ways(device: torch.device) -> dict[str, Way]:
    """The ways to run a step on this device, by name."""
    amp = has_bf16(device)
    if device.type == "cpu":
        by_name = {"eager fp32": Way(amp=False)}
        if amp:
            by_name["eager bf16"] = Way(amp=True)
        if shutil.which(os.environ.get("CXX", "g++")):
            # Without this setting a profile has no names of kernels.
            by_name["compiled"] = Way(amp, compiled=True, inductor={"cpp.enable_kernel_profile": True})
        return by_name
    graph = Way(amp, compiled=True, graph=True)
    combined, early = {"combo_kernels": True}, {"triton.enable_pdl": True}
    return {
        "eager": Way(amp),
        "eager graph": Way(amp, graph=True),
        "eager graph fp32": Way(amp=False, graph=True),
        "fused graph": Way(amp, graph=True, fused=True),
        "compiled": Way(amp, compiled=True),
        "compiled graph": graph,
        "compiled graph combined kernels": replace(graph, inductor=combined),
        "compiled graph early launch": replace(graph, inductor=early),
        "compiled graph both": replace(graph, inductor={**combined, **early}),
    }


def make_net(subject: Subject) -> nn.Module:
    """Build a new net for training."""
    torch.manual_seed(0)
    net = build(subject.model.architecture, subject.model.dataset)
    return net.to(subject.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload, no-any-return]


def make_feed(subject: Subject) -> batches.Feed:
    """The batches of an epoch of the subject's images."""
    recipe, border = subject.recipe, subject.recipe.crop_padding
    images = nn.functional.pad(subject.split.images, (0, 0, border, border, border, border))
    split = replace(subject.split, images=images, margin=2 * border)
    drawn = batches.draw(len(split), recipe, seed=0, epoch=1)
    feed = batches.feed(split, drawn.to(subject.device), subject.pixels, recipe, rank=0, world=1)
    feed.begin(drawn)
    return feed


def make_step(subject: Subject, way: Way) -> Step | GraphedStep:
    """Build a training step on the subject's images, with a new net."""
    recipe, device, net = subject.recipe, subject.device, make_net(subject)
    state = StepState(
        net,
        optim.build(recipe, net.parameters()),
        torch.zeros(2, dtype=torch.float64, device=device),
        BatchCounts(net),
    )
    learned = objective(fused(net) if way.fused else net, make_feed(subject), Loss(recipe), amp=way.amp, teacher=None)
    how: How = "default" if way.compiled else "none"
    step = Step(learned, state, recipe, how=how, stopwatch=Stopwatch(device))
    return GraphedStep(step) if way.graph else step


def runner(subject: Subject, way: Way) -> Callable[[int], None]:
    """A function that runs the step with a given number, counted from 0 over all epochs."""
    step, size = make_step(subject, way), subject.batch_size
    epoch = len(subject.split) // size

    def run(number: int) -> None:
        start = number % epoch * size
        step(start, start + size)

    return run


def elapsed(work: Callable[[], object], device: torch.device) -> float:
    """Milliseconds from the start of `work` until the device has finished it."""
    if device.type == "cpu":
        started = time.perf_counter()
        work()
        return 1000 * (time.perf_counter() - started)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    start.record()
    work()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))


def repeated(run: Callable[[int], object], times: int) -> None:
    """Call `run` with each number below `times`."""
    for number in range(times):
        run(number)


def milliseconds(run: Callable[[int], object], times: int, device: torch.device) -> float:
    """Milliseconds of a run: the median over rounds of `times` runs."""
    return statistics.median(elapsed(partial(repeated, run, times), device) for _ in range(ROUNDS)) / times


def measure_way(subject: Subject, way: Way) -> Measurement:
    """A step's milliseconds, and its kernels or operators."""
    device = subject.device
    with compiling(way), warnings.catch_warnings():
        warnings.simplefilter("error", CompileWarning)  # a fallback would measure another way
        run = runner(subject, way)
        first = elapsed(partial(repeated, run, FIRST_STEPS), device)
        figures = {"ms a step": milliseconds(run, subject.steps, device), "s for the first steps": first / 1000}
        rows = profiled(run, device)
    if device.type == "cuda":
        figures["kernels a step"] = sum(row.calls for row in rows)
        figures["ms in kernels"] = sum(row.milliseconds for row in rows)
        figures |= {f"ms in {kind}": spent for kind, spent in by_kind(rows).items()}
    return Measurement(figures, rows)


def measure_shares(subject: Subject, way: Way) -> Measurement:
    """Percentages of the parts of an eager step on a CPU, and of Python, which is the time outside operators."""
    recipe, net, feed = subject.recipe, make_net(subject), make_feed(subject)
    optimizer, counts, judge = optim.build(recipe, net.parameters()), BatchCounts(net), Loss(recipe)
    spent: dict[str, list[float]] = {part: [] for part in ("data", "forward", "loss", "backward", "optimizer")}

    def run(number: int) -> None:
        start = number * subject.batch_size % (len(subject.split) - subject.batch_size + 1)
        times = [time.perf_counter()]
        images, labels = feed.at(torch.arange(start, start + subject.batch_size))
        times.append(time.perf_counter())
        with torch.autocast("cpu", torch.bfloat16, enabled=way.amp, cache_enabled=False):
            logits = net(images)
            times.append(time.perf_counter())
            losses = judge(logits, labels, None, None)
        torch.stack((losses.detach().sum(), (logits.detach().argmax(dim=1) == labels).sum()))
        times.append(time.perf_counter())
        losses.mean().backward()  # type: ignore[no-untyped-call]
        times.append(time.perf_counter())
        optim.clip(recipe, net.parameters())
        optimizer.step()
        optimizer.zero_grad()
        counts.add()
        times.append(time.perf_counter())
        for part, begun, ended in zip(spent, times, times[1:], strict=False):
            spent[part].append(ended - begun)

    repeated(run, FIRST_STEPS + ROUNDS * subject.steps)
    medians = {part: statistics.median(seconds[FIRST_STEPS:]) for part, seconds in spent.items()}
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        wall = elapsed(partial(repeated, run, PROFILED_STEPS), subject.device)
    operators = sum(row.self_cpu_time_total for row in seen.key_averages()) / 1000
    shares = {f"% {part}": 100 * seconds / sum(medians.values()) for part, seconds in medians.items()}
    return Measurement({**shares, "% in Python": 100 * (1 - operators / wall)})


def profiled(run: Callable[[int], object], device: torch.device) -> list[Row]:
    """A step's kernels on a GPU, or its operators by self time on a CPU, longest first."""
    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as seen:
        elapsed(partial(repeated, run, PROFILED_STEPS), device)
    rows = [
        Row(
            event.key,
            (event.self_device_time_total if on_gpu else event.self_cpu_time_total) / 1000 / PROFILED_STEPS,
            event.count / PROFILED_STEPS,
        )
        for event in seen.key_averages()
        # The time of an annotation is that of its kernels, which are listed too.
        if not on_gpu or (event.device_type.name == "CUDA" and not event.is_user_annotation)
    ]
    return sorted(rows, key=lambda row: row.milliseconds, reverse=True)


def by_kind(rows: list[Row]) -> dict[str, float]:
    """Total milliseconds of each kind of kernel, longest first."""
    totals: dict[str, float] = {}
    for row in rows:
        name = row.name.lower()
        kind = next((kind for kind, words in KINDS if any(word in name for word in words)), "others")
        totals[kind] = totals.get(kind, 0.0) + row.milliseconds
    return dict(sorted(totals.items(), key=lambda item: item[1], reverse=True))


@contextlib.contextmanager
def compiling(way: Way) -> Iterator[None]:
    """Compile with the way's settings of Inductor."""
    if not way.inductor:
        yield
        return
    from torch._inductor import config

    # The settings apply to this thread, so the backward pass must be compiled in it too.
    with config.patch(dict(way.inductor)), torch.autograd.set_multithreading_enabled(False):
        yield


def measure_evaluation(subject: Subject) -> Measurement:
    """Milliseconds of an evaluation, on as many images as the test set has."""
    net = build(subject.model.architecture, subject.model.dataset).to(subject.device)
    count = subject.model.dataset.test_images
    split, pixels = sources.Split(subject.split.images[:count], subject.split.labels[:count]), subject.pixels
    evaluate(net, split, pixels)
    return Measurement({"ms": milliseconds(lambda _: evaluate(net, split, pixels), 1, subject.device)})


def measure_draw(subject: Subject, recipe: Recipe) -> Measurement:
    """Milliseconds of drawing an epoch."""
    drawn = batches.draw(len(subject.split), recipe, seed=0, epoch=1).to(subject.device)

    def draw(epoch: int) -> None:
        batches.redraw(drawn, batches.draw(len(subject.split), recipe, seed=0, epoch=epoch))

    return Measurement({"ms an epoch": milliseconds(draw, 1, subject.device)})


def measure_together(subject: Subject, way: Way, count: int) -> Measurement:
    """Images per second of `count` nets that train at once, each on its own CUDA stream."""
    current = torch.cuda.current_stream()
    streams = [torch.cuda.Stream() for _ in range(count)]  # type: ignore[no-untyped-call]
    runs = []
    for stream in streams:
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            runs.append(runner(subject, way))
            repeated(runs[-1], FIRST_STEPS)

    def work() -> None:
        for stream in streams:
            stream.wait_stream(current)
        for number in range(subject.steps):
            for stream, run in zip(streams, runs, strict=True):
                with torch.cuda.stream(stream):
                    run(number)
        for stream in streams:
            current.wait_stream(stream)

    spent = statistics.median(elapsed(work, subject.device) for _ in range(ROUNDS))
    return Measurement({"images/s": 1000 * count * subject.steps * subject.batch_size / spent})


@dataclass(frozen=True)
class Convolution:
    """The sizes and settings of a convolution in a net, without the batch dimension."""

    images: tuple[int, ...]  # [C, H, W]
    weight: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    def __str__(self) -> str:
        channels, height, width = self.images
        return f"{channels} to {self.weight[0]} channels, {height} x {width}, stride {self.stride[0]}"


def convolutions(model: Model) -> list[Convolution]:
    """The distinct convolutions of a net; those with three input channels also with four and eight."""
    distinct: dict[Convolution, None] = {}

    def note(module: nn.Module, inputs: tuple[torch.Tensor], _: object) -> None:
        if isinstance(module, nn.Conv2d) and not isinstance(module.padding, str):
            sizes = tuple(inputs[0].shape[1:]), tuple(module.weight.shape)
            distinct[Convolution(*sizes, module.stride, module.padding, module.dilation, module.groups)] = None

    net = build(model.architecture, model.dataset).eval()
    for module in net.modules():
        module.register_forward_hook(note)
    with torch.no_grad():
        net(torch.zeros(1, *model.dataset.input_size))
    return [
        replace(conv, images=(channels, *conv.images[1:]), weight=(conv.weight[0], channels, *conv.weight[2:]))
        if conv.images[0] == 3
        else conv
        for conv in distinct
        # cuDNN has faster kernels for multiples of four or eight channels.
        for channels in ((3, 4, 8) if conv.images[0] == 3 else conv.images[:1])
    ]


def measure_convolutions(subject: Subject) -> Measurement:
    """Time the forward and both backward kernels of each convolution in bf16, in both memory layouts."""
    forward, backward = torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default
    random = partial(torch.randn, device=subject.device, dtype=torch.bfloat16)
    rows = []
    for conv in convolutions(subject.model):
        for layout in (torch.channels_last, torch.contiguous_format):
            images = random(subject.batch_size, *conv.images).to(memory_format=layout)
            weight = random(*conv.weight).to(memory_format=layout)
            how = (conv.stride, conv.padding, conv.dilation, False, (0, 0), conv.groups)
            gradient = torch.randn_like(forward(images, weight, None, *how))
            backwards = partial(backward, gradient, images, weight, None, *how)
            for name, run in {
                "forward": partial(forward, images, weight, None, *how),
                "input gradient": partial(backwards, [True, False, False]),
                "weight gradient": partial(backwards, [False, True, False]),
            }.items():
                rows.append(Row(f"{conv}, {layout}: {name}", in_graph(run, subject.device), 1))
    return Measurement({}, rows, printed=len(rows))


def in_graph(run: Callable[[], object], device: torch.device) -> float:
    """Milliseconds of a run, repeated in a CUDA graph so that no run waits for its launch."""
    run()  # cuDNN chooses its kernel here; it can't during a capture
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(REPEATS):
            run()
    return milliseconds(lambda _: graph.replay(), REPEATS, device) / REPEATS


def table(rows: list[Row], total: float) -> str:
    """A text table of rows, with their shares of `total` milliseconds."""
    head = f"{'µs a step':>12}{'share':>9}{'calls a step':>14}  name\n"
    return head + "".join(
        f"{1000 * row.milliseconds:>12.1f}{row.milliseconds / total:>9.1%}{row.calls:>14.1f}  {row.name[:160]}\n"
        for row in rows
    )


def parts(subject: Subject) -> dict[str, Part]:
    """The parts that are measured by default, by name."""
    by_name: dict[str, Part] = {name: partial(measure_way, subject, way) for name, way in ways(subject.device).items()}
    if subject.device.type == "cpu":
        eager = {name: way for name, way in ways(subject.device).items() if not way.compiled}
        by_name |= {f"shares {name}": partial(measure_shares, subject, way) for name, way in eager.items()}
    if subject.device.type == "cuda":
        by_name["evaluation"] = partial(measure_evaluation, subject)
        by_name["draw"] = partial(measure_draw, subject, subject.recipe)
        by_name["draw mixed"] = partial(measure_draw, subject, subject.recipe.replace(mixup=0.2, cutmix=1.0))
    return by_name


def report(name: str, result: Measurement, setup: Mapping[str, object], out: Path, stem: str) -> None:
    """Print the result of a part, and write it to `out`."""
    print(f"{name:<34}" + ", ".join(f"{value:,.3f} {unit}" for unit, value in result.figures.items()), flush=True)
    (out / f"{stem}.json").write_text(json.dumps({**setup, "part": name, **asdict(result)}, indent=1) + "\n")
    if result.rows:
        total = sum(row.milliseconds for row in result.rows)
        print(table(result.rows[: result.printed], total), flush=True)
        (out / f"{stem}.txt").write_text(table(result.rows, total))


def main() -> None:
    """Measure the chosen parts; the exit code is the number of failures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet20_cifar10")
    parser.add_argument("--device")
    parser.add_argument("--out", type=Path, default=Path("runs/profile"))
    parser.add_argument("--only", help="names of parts, separated by commas [default: all]")
    parser.add_argument("--batch-size", type=int, help="[default: 64 on a CPU, 128 on a GPU]")
    parser.add_argument("--steps", type=int, help="steps in a timed round [default: 4 on a CPU, 60 on a GPU]")
    parser.add_argument(
        "--limit", type=int, default=10, help="number of plans that cuDNN tries for a convolution; 0 for all"
    )
    parser.add_argument(
        "--convolutions", action="store_true", help="compare the memory layouts of each convolution; GPU only"
    )
    parser.add_argument("--together", type=int, default=0, help="train 1 to N nets at once; GPU only")
    options = parser.parse_args()
    device, model = choose(options.device), registry.load(registry.resolve(options.model))
    on_gpu = device.type == "cuda"
    torch.backends.cudnn.benchmark_limit = options.limit

    channels, height, width = model.dataset.input_size
    count = model.dataset.train_images
    batch_size = min(options.batch_size or (128 if on_gpu else 64), count)
    steps = options.steps or (60 if on_gpu else 4)
    images = torch.randint(256, (count, height, width, channels), dtype=torch.uint8, device=device)
    labels = torch.randint(len(model.dataset.classes), (count,), device=device)
    subject = Subject(model, sources.Split(images, labels), device, batch_size, steps)

    chosen = parts(subject)
    if options.only:
        if unknown := set(options.only.split(",")) - chosen.keys():
            parser.error(f"no part {', '.join(sorted(unknown))} on this device; the parts are {', '.join(chosen)}")
        chosen = {name: chosen[name] for name in options.only.split(",")}
    if on_gpu:
        way = Way(has_bf16(device), graph=True)
        for together in range(1, options.together + 1):
            chosen[f"{together} together"] = partial(measure_together, subject, way, together)
        if options.convolutions:
            chosen["convolutions"] = partial(measure_convolutions, subject)

    setup = {
        "model": model.name,
        "device": describe(device),
        "torch": str(torch.__version__),
        "cudnn": torch.backends.cudnn.version() if on_gpu else None,  # type: ignore[no-untyped-call]
        "limit": options.limit if on_gpu else None,
        "threads": torch.get_num_threads(),
        "batch_size": batch_size,
        "steps": steps,
    }
    print(", ".join(f"{name} {value}" for name, value in setup.items() if value is not None), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    stem = f"{model.name}-limit-{options.limit}" if on_gpu else model.name
    failures = 0
    keep_memory()  # as the command line does
    with (
        torch.cuda.device(device) if on_gpu else contextlib.nullcontext(),
        settings(device, deterministic=False, threads=torch.get_num_threads()),
    ):
        for name, part in chosen.items():
            try:
                report(name, part(), setup, options.out, f"{stem}-{name.replace(' ', '-')}")
            except Exception:
                failures += 1
                print(f"{name}: failed", file=sys.stderr)
                traceback.print_exc()
    sys.exit(failures)


if __name__ == "__main__":
    main()
