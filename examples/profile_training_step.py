"""Where the time of a training step goes, for each way to run one, on the device there is.

python examples/profile_training_step.py [--model resnet20_cifar10] [--device cpu] [--out runs/profile]
    [--only NAME,NAME] [--limit 10] [--convolutions] [--together N]

Each way trains a net of its own on random images, which train as fast as real ones:
  on a CPU  eager in fp32, in bf16 where the hardware has it, and compiled where there is a C++ compiler
  on a GPU  eager, with the zoo's fused kernels, and compiled, each as a CUDA graph; a graph in fp32; and graphs
            compiled with settings of Inductor that launch fewer kernels, or launch them earlier
Printed are the milliseconds of a step and what they go into: operators by their own time on a CPU, kernels on a GPU.
On a CPU follow the shares of data, forward, loss, backward and optimizer, and how much of them is Python; on a GPU an
evaluation and the draw of an epoch. --convolutions sets a net's convolutions side by side in both layouts, and
--together trains up to N nets at once, each on a stream of its own.

What is measured is written into --out at once: NAME.json, and NAME.txt with every kernel or operator. A part that
fails says why, and the others go on; the number of failures is the exit code. Run it alone on the machine.
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

# A plain checkout is enough: nothing of it has to be installed.
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
from zoo.training.distributed import Share
from zoo.training.environment import algorithms, keep_memory
from zoo.training.fusion import fused
from zoo.training.objective import Loss, objective
from zoo.training.optimizer import BatchCounts
from zoo.training.step import STEPS_BEFORE_CAPTURE, GraphedStep, Step, StepState, Stopwatch

ROUNDS = 5  # the median of so many is what counts
FIRST_STEPS = STEPS_BEFORE_CAPTURE + 2  # compiling and capturing are over after these
PROFILED_STEPS = 3
REPEATS = 20  # of a convolution within a graph
ROWS = 15  # of a table that is printed

# What a kernel does, by what its name has in it; the first that fits. Inductor's names have all that they fuse.
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
    """What every way trains, and how long it is measured."""

    model: Model
    split: sources.Split  # random images
    device: torch.device
    batch_size: int
    steps: int  # of each round

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
class Found:
    """What a part measured: figures by their units, and rows, of which so many are printed."""

    figures: Mapping[str, float]
    rows: list[Row] = field(default_factory=list)
    printed: int = ROWS


Part = Callable[[], Found]


def ways(device: torch.device) -> dict[str, Way]:
    """The ways to run a step on this device, by name."""
    amp = has_bf16(device)
    if device.type == "cpu":
        found = {"eager fp32": Way(amp=False)}
        if amp:
            found["eager bf16"] = Way(amp=True)
        if shutil.which(os.environ.get("CXX", "g++")):
            # Without the setting its kernels have no names in a profile.
            found["compiled"] = Way(amp, compiled=True, inductor={"cpp.enable_kernel_profile": True})
        return found
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
    """A fresh net, ready to be trained."""
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
    """A step over the subject's images, with a fresh net: the one place that knows how a step is put together."""
    recipe, device, net = subject.recipe, subject.device, make_net(subject)
    state = StepState(
        net,
        optim.build(recipe, net.parameters()),
        torch.zeros(2, dtype=torch.float64, device=device),
        BatchCounts(net),
    )
    learned = objective(fused(net) if way.fused else net, make_feed(subject), recipe, amp=way.amp, teacher=None)
    how: How = "default" if way.compiled else "none"
    step = Step(learned, state, recipe, share=Share(), how=how, stopwatch=Stopwatch(device))
    return GraphedStep(step) if way.graph else step


def runner(subject: Subject, way: Way) -> Callable[[int], None]:
    """Run the step of that number, counted from 0 and over any number of epochs."""
    step, size = make_step(subject, way), subject.batch_size
    epoch = len(subject.split) // size

    def run(number: int) -> None:
        start = number % epoch * size
        step(start, start + size)

    return run


def elapsed(work: Callable[[], object], device: torch.device) -> float:
    """Milliseconds from the start of `work` to the end of all that it gave the device to do."""
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
    """Run it so many times."""
    for number in range(times):
        run(number)


def milliseconds(run: Callable[[int], object], times: int, device: torch.device) -> float:
    """Milliseconds of one run: the median of rounds of so many."""
    return statistics.median(elapsed(partial(repeated, run, times), device) for _ in range(ROUNDS)) / times


def measure_way(subject: Subject, way: Way) -> Found:
    """A step's milliseconds, and its kernels or operators."""
    device = subject.device
    with compiling(way), warnings.catch_warnings():
        warnings.simplefilter("error", CompileWarning)  # a step that fell back would be another way's
        run = runner(subject, way)
        first = elapsed(partial(repeated, run, FIRST_STEPS), device)
        figures = {"ms a step": milliseconds(run, subject.steps, device), "s for the first steps": first / 1000}
        rows = profiled(run, device)
    if device.type == "cuda":
        figures["kernels a step"] = sum(row.calls for row in rows)
        figures["ms in kernels"] = sum(row.milliseconds for row in rows)
        figures |= {f"ms in {kind}": spent for kind, spent in by_kind(rows).items()}
    return Found(figures, rows)


def measure_shares(subject: Subject, way: Way) -> Found:
    """The percentage of each part of an eager step on a CPU, and of Python: time that no operator takes."""
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
    return Found({**shares, "% of them in Python": 100 * (1 - operators / wall)})


def profiled(run: Callable[[int], object], device: torch.device) -> list[Row]:
    """A step's kernels on a GPU, its operators by their own time on a CPU; the longest first."""
    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as seen:
        elapsed(partial(repeated, run, PROFILED_STEPS), device)
    rows = [
        Row(
            one.key,
            (one.self_device_time_total if on_gpu else one.self_cpu_time_total) / 1000 / PROFILED_STEPS,
            one.count / PROFILED_STEPS,
        )
        for one in seen.key_averages()
        # An annotation has the time of the kernels under it once more.
        if not on_gpu or (one.device_type.name == "CUDA" and not one.is_user_annotation)
    ]
    return sorted(rows, key=lambda row: row.milliseconds, reverse=True)


def by_kind(rows: list[Row]) -> dict[str, float]:
    """Milliseconds of the kernels of each kind, the longest first."""
    found: dict[str, float] = {}
    for row in rows:
        name = row.name.lower()
        kind = next((kind for kind, words in KINDS if any(word in name for word in words)), "others")
        found[kind] = found.get(kind, 0.0) + row.milliseconds
    return dict(sorted(found.items(), key=lambda one: one[1], reverse=True))


@contextlib.contextmanager
def compiling(way: Way) -> Iterator[None]:
    """Compile with the way's settings of Inductor."""
    if not way.inductor:
        yield
        return
    from torch._inductor import config

    # Settings hold for a thread, and a backward pass is compiled where it first runs.
    with config.patch(dict(way.inductor)), torch.autograd.set_multithreading_enabled(False):
        yield


def measure_evaluation(subject: Subject) -> Found:
    """Milliseconds of an evaluation of as many images as the test set has."""
    net = build(subject.model.architecture, subject.model.dataset).to(subject.device)
    count = subject.model.dataset.test_images
    split, pixels = sources.Split(subject.split.images[:count], subject.split.labels[:count]), subject.pixels
    evaluate(net, split, pixels)
    return Found({"ms": milliseconds(lambda _: evaluate(net, split, pixels), 1, subject.device)})


def measure_draw(subject: Subject, recipe: Recipe) -> Found:
    """Milliseconds of drawing an epoch."""
    drawn = batches.draw(len(subject.split), recipe, seed=0, epoch=1).to(subject.device)

    def draw(epoch: int) -> None:
        batches.redraw(drawn, batches.draw(len(subject.split), recipe, seed=0, epoch=epoch))

    return Found({"ms an epoch": milliseconds(draw, 1, subject.device)})


def measure_together(subject: Subject, way: Way, count: int) -> Found:
    """Images a second of so many nets at once, each on a stream of its own."""
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
    return Found({"images/s": 1000 * count * subject.steps * subject.batch_size / spent})


@dataclass(frozen=True)
class Convolution:
    """A convolution as a net has it; sizes in torch's order, without the batch."""

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
    """The different convolutions of a net; one of three channels with four and eight, too."""
    found: dict[Convolution, None] = {}

    def note(module: nn.Module, inputs: tuple[torch.Tensor], _: object) -> None:
        if isinstance(module, nn.Conv2d) and not isinstance(module.padding, str):
            sizes = tuple(inputs[0].shape[1:]), tuple(module.weight.shape)
            found[Convolution(*sizes, module.stride, module.padding, module.dilation, module.groups)] = None

    net = build(model.architecture, model.dataset).eval()
    for module in net.modules():
        module.register_forward_hook(note)
    with torch.no_grad():
        net(torch.zeros(1, *model.dataset.input_size))
    return [
        replace(one, images=(channels, *one.images[1:]), weight=(one.weight[0], channels, *one.weight[2:]))
        if one.images[0] == 3
        else one
        for one in found
        # cuDNN has faster kernels where channels come in fours or eights.
        for channels in ((3, 4, 8) if one.images[0] == 3 else one.images[:1])
    ]


def measure_convolutions(subject: Subject) -> Found:
    """Each convolution's three kernels in bf16 by layout, over and over on the same images."""
    forward, backward = torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default
    random = partial(torch.randn, device=subject.device, dtype=torch.bfloat16)
    rows = []
    for one in convolutions(subject.model):
        for layout in (torch.channels_last, torch.contiguous_format):
            images = random(subject.batch_size, *one.images).to(memory_format=layout)
            weight = random(*one.weight).to(memory_format=layout)
            how = (one.stride, one.padding, one.dilation, False, (0, 0), one.groups)
            gradient = torch.randn_like(forward(images, weight, None, *how))
            backwards = partial(backward, gradient, images, weight, None, *how)
            for name, run in {
                "forward": partial(forward, images, weight, None, *how),
                "input gradient": partial(backwards, [True, False, False]),
                "weight gradient": partial(backwards, [False, True, False]),
            }.items():
                rows.append(Row(f"{one}, {layout}: {name}", in_graph(run, subject.device), 1))
    return Found({}, rows, printed=len(rows))


def in_graph(run: Callable[[], object], device: torch.device) -> float:
    """Milliseconds of one run among many in a CUDA graph, where none waits for its launch."""
    run()  # cuDNN chooses its kernel, which a graph can't hold
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(REPEATS):
            run()
    return milliseconds(lambda _: graph.replay(), REPEATS, device) / REPEATS


def table(rows: list[Row], total: float) -> str:
    """Rows as text, with their shares of a total in milliseconds."""
    head = f"{'µs a step':>12}{'share':>9}{'calls a step':>14}  name\n"
    return head + "".join(
        f"{1000 * row.milliseconds:>12.1f}{row.milliseconds / total:>9.1%}{row.calls:>14.1f}  {row.name[:160]}\n"
        for row in rows
    )


def parts(subject: Subject) -> dict[str, Part]:
    """What is measured where nothing else is asked for, by name."""
    found: dict[str, Part] = {name: partial(measure_way, subject, way) for name, way in ways(subject.device).items()}
    if subject.device.type == "cpu":
        eager = {name: way for name, way in ways(subject.device).items() if not way.compiled}
        found |= {f"shares {name}": partial(measure_shares, subject, way) for name, way in eager.items()}
    if subject.device.type == "cuda":
        found["evaluation"] = partial(measure_evaluation, subject)
        found["draw"] = partial(measure_draw, subject, subject.recipe)
        found["draw mixed"] = partial(measure_draw, subject, subject.recipe.replace(mixup=0.2, cutmix=1.0))
    return found


def report(name: str, found: Found, facts: Mapping[str, object], out: Path, stem: str) -> None:
    """Print what a part found, and write it into `out`."""
    print(f"{name:<34}" + ", ".join(f"{value:,.3f} {unit}" for unit, value in found.figures.items()), flush=True)
    (out / f"{stem}.json").write_text(json.dumps({**facts, "part": name, **asdict(found)}, indent=1) + "\n")
    if found.rows:
        total = sum(row.milliseconds for row in found.rows)
        print(table(found.rows[: found.printed], total), flush=True)
        (out / f"{stem}.txt").write_text(table(found.rows, total))


def main() -> None:
    """Measure what is asked for; the number of failures is the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet20_cifar10")
    parser.add_argument("--device")
    parser.add_argument("--out", type=Path, default=Path("runs/profile"))
    parser.add_argument("--only", help="names of parts, by commas [default: all]")
    parser.add_argument("--batch-size", type=int, help="[default: 64 on a CPU, 128 on a GPU]")
    parser.add_argument("--steps", type=int, help="of each round that is timed [default: 4 on a CPU, 60 on a GPU]")
    parser.add_argument("--limit", type=int, default=10, help="plans that cuDNN tries for a convolution; 0 for all")
    parser.add_argument("--convolutions", action="store_true", help="each by layout; GPU only")
    parser.add_argument("--together", type=int, default=0, help="1 to N nets at once; GPU only")
    asked = parser.parse_args()
    device, model = choose(asked.device), registry.load(registry.resolve(asked.model))
    on_gpu = device.type == "cuda"
    torch.backends.cudnn.benchmark_limit = asked.limit

    channels, height, width = model.dataset.input_size
    count = model.dataset.train_images
    batch_size = min(asked.batch_size or (128 if on_gpu else 64), count)
    steps = asked.steps or (60 if on_gpu else 4)
    images = torch.randint(256, (count, height, width, channels), dtype=torch.uint8, device=device)
    labels = torch.randint(len(model.dataset.classes), (count,), device=device)
    subject = Subject(model, sources.Split(images, labels), device, batch_size, steps)

    chosen = parts(subject)
    if asked.only:
        if unknown := set(asked.only.split(",")) - chosen.keys():
            parser.error(f"there is no {', '.join(sorted(unknown))} here; there are {', '.join(chosen)}")
        chosen = {name: chosen[name] for name in asked.only.split(",")}
    if on_gpu:
        way = Way(has_bf16(device), graph=True)
        for together in range(1, asked.together + 1):
            chosen[f"{together} together"] = partial(measure_together, subject, way, together)
        if asked.convolutions:
            chosen["convolutions"] = partial(measure_convolutions, subject)

    facts = {
        "model": model.name,
        "device": describe(device),
        "torch": str(torch.__version__),
        "cudnn": torch.backends.cudnn.version() if on_gpu else None,  # type: ignore[no-untyped-call]
        "limit": asked.limit if on_gpu else None,
        "threads": torch.get_num_threads(),
        "batch_size": batch_size,
        "steps": steps,
    }
    print(", ".join(f"{name} {value}" for name, value in facts.items() if value is not None), flush=True)
    asked.out.mkdir(parents=True, exist_ok=True)
    stem = f"{model.name}-limit-{asked.limit}" if on_gpu else model.name
    failures = 0
    keep_memory()  # as the command line does
    with (
        torch.cuda.device(device) if on_gpu else contextlib.nullcontext(),
        algorithms(device, deterministic=False),
    ):
        for name, part in chosen.items():
            try:
                report(name, part(), facts, asked.out, f"{stem}-{name.replace(' ', '-')}")
            except Exception:
                failures += 1
                print(f"{name}: failed", file=sys.stderr)
                traceback.print_exc()
    sys.exit(failures)


if __name__ == "__main__":
    main()
