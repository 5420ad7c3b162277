"""Compare the training speed of the zoo with that of common training loops.

python examples/benchmark_training.py [--images N] [--batch-size 128] [--model resnet20_cifar10] [--only LOOP] [--json]

Each loop trains the same net on the same images in a separate process. Its first epoch is a warm-up, its second is
timed:
  zoo                       the zoo's loop with the settings of a long `zoo train`; compilation is not timed
  zoo, eager                the same without compilation
  zoo, eager fp32           the same without compilation and bf16
  DataLoader, 2, 4 workers  a plain training loop with per-image transforms of torchvision, fp32
  timm, 2, 4 workers        timm's loader with its training transforms, fp32

Run nothing else on the machine. Quote the ratios rather than the speeds.

Lower bounds for an image of resnet20, if training costs 3 × forward: the arithmetic is 3 × 40.6 million multiply-adds,
0.24 GFLOP, which takes 0.24 µs on a GPU with 1,000 TFLOP/s in bf16. The convolutions' outputs are 188,416 values,
377 kB in bf16. With batch norm in training, each value is read or written about PASSES times, 6 MB, which takes 1.8 µs
at 3.35 TB/s. So memory limits such a GPU more than arithmetic does. A kernel also has a minimum duration, even in a
CUDA graph, so the number of kernels limits a step of many small kernels.
On a GPU the table has both bounds, computed from measurements on that GPU:
  bound by memory           the bandwidth of a copy
  bound by launches         the kernels of an eager step, each with the duration of the smallest kernel in a graph; a
                            compiled step has fewer kernels, and may be faster

Profile on two AMX cores of a Xeon (torch 2.15, bf16, channels_last, batch 128): convolutions 40% (mostly backward),
batch norm 25%, ReLU and additions 26%; the batch, the optimizer and the rest under 5%. Two changes made it faster:
keeping freed memory in the process, because glibc requested the memory of all activations from the system in each
step, with 10,000 page faults (`zoo.training.environment.keep_memory`); and compilation, which fuses small operations.
In-place ReLU, Inductor's floating point flags and variance as E[x²] − E[x]² made no difference.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision.transforms import v2

# Import the zoo of this checkout, installed or not.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from zoo import registry
from zoo.data import batches, sources
from zoo.data.collection import root_of
from zoo.errors import DataError
from zoo.nets.build import build
from zoo.nets.device import choose, describe, has_bf16, synchronize
from zoo.nets.layers import layers
from zoo.record.job import How, Job
from zoo.spec import Model, Recipe
from zoo.training import step
from zoo.training.environment import keep_memory, settings
from zoo.training.jobs import versions
from zoo.training.loop import begin, train
from zoo.training.output import Output
from zoo.training.plan import Plan
from zoo.training.reporting import Reporting

# Memory accesses for a convolution's output. Forward: written, read for the statistics, read and written by the
# normalization, read by the next convolution. Backward: about twice as many. One more for the addition.
PASSES = 16
SMALLEST_KERNELS = 1000  # in the CUDA graph that times a kernel
COUNTED_STEPS = 4


@dataclass(frozen=True)
class Task:
    """The model, images and device that every loop trains with."""

    model: str
    images: int  # in an epoch
    batch_size: int
    device: str

    def loaded(self) -> tuple[Model, torch.device]:
        """The model and the device."""
        return registry.load(self.model), torch.device(self.device)


@dataclass(frozen=True)
class Timing:
    """The speed of a loop; `ratio` is the speed of the zoo's loop divided by it."""

    loop: str
    images_per_second: float
    epoch_seconds: float  # for the whole training set
    compile_seconds: float = 0.0
    ratio: float = 1.0


class ImageDataset(TorchDataset[tuple[Tensor, int]]):
    """A torch dataset of PIL images, each transformed when it is read."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels
        self.transform: Callable[[Image.Image], Tensor] = v2.PILToTensor()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index].squeeze())), int(self.labels[index])


Batches = Iterable[tuple[Tensor, Tensor]]
Loader = Callable[[Model, ImageDataset, int, int, torch.device], Batches]


def read(model: Model, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` images of the dataset, or random images if it is missing; they train as fast."""
    channels, height, width = model.dataset.input_size
    try:
        if not root_of().is_dir():
            raise DataError("the data folder is missing")
        images, labels = model.dataset.read(root_of(), train=True)
        return images[:count], labels[:count]
    except DataError:
        generator = np.random.default_rng(0)
        images = generator.integers(0, 256, (count, height, width, channels), dtype=np.uint8)
        return images, generator.integers(0, len(model.dataset.classes), count)


def zoo_loop(task: Task, *, how: How, amp: bool) -> tuple[float, float]:
    """Images per second of the zoo's loop, and seconds of compilation."""
    model, device = task.loaded()
    images, labels = read(model, task.images)
    recipe = model.recipes[model.default_recipe].replace(epochs=2, batch_size=task.batch_size, val_images=0)
    job = Job(
        architecture=model.architecture.name,
        dataset=model.dataset.name,
        recipe_name="benchmark",
        recipe=recipe,
        seed=0,
        train_images=len(labels),
        device=device.type,
        amp=amp,
        compile=how,
        deterministic=device.type == "cpu",
        grad_checkpointing=False,
        threads=torch.get_num_threads(),
        processes=1,
        dtype="fp32",
        versions=versions(model.architecture),
    )
    border = recipe.crop_padding  # `sources.read_splits` pads images that a step crops
    padded = F.pad(torch.from_numpy(images).to(device), (0, 0, border, border, border, border))
    split = sources.Split(padded, torch.from_numpy(labels).to(device), margin=2 * border)
    test = split.uncropped()
    splits = sources.Splits(train=split, val=None, test=sources.Split(test.images[:1], test.labels[:1]))
    pixels = batches.pixels(model.dataset.mean, model.dataset.std, device)
    keep_memory()  # as the command line does
    with (
        tempfile.TemporaryDirectory() as run,
        settings(device, deterministic=job.deterministic, threads=job.threads),
    ):
        plan = Plan(
            job=job,
            why="requested",
            model=model,
            device=device,
            data_root=Path(),
            output=Output(Path(run) / "model"),
            reporting=Reporting(save_every=10, eval_every=10),
        )
        plan.output.run.mkdir()
        rows = train(begin(plan, build(model.architecture, model.dataset), splits, pixels))
    return len(labels) / rows[-1].train_seconds, sum(row.compile_seconds for row in rows)


def plain_loop(task: Task, loader: Loader, workers: int) -> tuple[float, float]:
    """Images per second of a plain training loop with a loader."""
    model, device = task.loaded()
    images, labels = read(model, task.images)
    batches = loader(model, ImageDataset(images, labels), task.batch_size, workers, device)
    net = build(model.architecture, model.dataset).to(device).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    for _ in range(2):  # the first epoch is a warm-up
        started, total, trained = time.perf_counter(), 0.0, 0
        for batch, targets in batches:
            loss = F.cross_entropy(net(batch.to(device, non_blocking=True)), targets.to(device, non_blocking=True))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item()
            trained += len(batch)  # timm drops an epoch's last, smaller batch
        synchronize(device)
    return trained / (time.perf_counter() - started), 0.0


def torchvision_loader(
    model: Model, dataset: ImageDataset, batch_size: int, workers: int, device: torch.device
) -> Batches:
    """A DataLoader that crops, flips and normalizes each image with torchvision."""
    dataset.transform = v2.Compose(
        [
            v2.RandomCrop(model.dataset.input_size[1], padding=4),
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(model.dataset.mean), list(model.dataset.std)),
        ]
    )
    return DataLoader(
        dataset,
        batch_size=batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=True,
        pin_memory=device.type == "cuda",
    )


def timm_loader(model: Model, dataset: ImageDataset, batch_size: int, workers: int, device: torch.device) -> Batches:
    """timm's loader with its default training transforms."""
    from timm.data import create_loader

    loader: Batches = create_loader(
        dataset,
        input_size=model.dataset.input_size,
        batch_size=batch_size,
        is_training=True,
        use_prefetcher=device.type == "cuda",
        mean=model.dataset.mean,
        std=model.dataset.std,
        num_workers=workers,
        persistent_workers=True,
        device=device,
    )
    return loader


def memory_bound(task: Task) -> tuple[float, float]:
    """Images per second at the GPU's measured memory bandwidth."""
    model, device = task.loaded()
    net = build(model.architecture, model.dataset).to(device)
    source = torch.empty(2**30, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    with torch.cuda.device(device):
        seconds = median_milliseconds(lambda: target.copy_(source)) / 1000
    shapes = [layer.output_shape for layer in layers(net, model.dataset.input_size, depth=9) if layer.type == "Conv2d"]
    values = sum(int(np.prod(shape)) for shape in shapes if shape)
    return 2 * source.numel() / seconds / (values * 2 * PASSES), 0.0


def median_milliseconds(work: Callable[[], object]) -> float:
    """Milliseconds of `work` on the current GPU: the median of ten runs."""
    times = []
    for _ in range(10):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        work()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return float(np.median(times))


def fastest_way(device: torch.device) -> How:
    """The compile mode that a long `zoo train` chooses on this device."""
    recipe = Recipe(epochs=1)
    return step.choose("auto", recipe, device=device, amp=has_bf16(device), images=10**9, processes=1)[0]


def launch_bound(task: Task) -> tuple[float, float]:
    """Images per second if every kernel of an eager step took as long as the smallest kernel."""
    kernels_a_second = 1000 / smallest_kernel_milliseconds(torch.device(task.device))
    return task.batch_size * kernels_a_second / kernels_a_step(task), 0.0


def smallest_kernel_milliseconds(device: torch.device) -> float:
    """Milliseconds of a kernel that adds 1 to a number, in a CUDA graph of many."""
    with torch.cuda.device(device):
        number = torch.zeros(1, device=device)
        number.add_(1)  # loads the kernel before the capture
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(SMALLEST_KERNELS):
                number.add_(1)
        return median_milliseconds(graph.replay) / SMALLEST_KERNELS


def kernels_a_step(task: Task) -> float:
    """Kernels, copies and fills of an eager step: the difference between a long and a short epoch, per step."""
    device, epochs = torch.device(task.device), 2  # of zoo_loop

    def launched(steps: int) -> int:
        with profile(activities=[ProfilerActivity.CUDA]) as seen:
            zoo_loop(replace(task, images=steps * task.batch_size), how="none", amp=has_bf16(device))
        events = seen.key_averages()
        return sum(event.count for event in events if event.device_type.name == "CUDA" and not event.is_user_annotation)

    launched(1)  # cuDNN tries its kernels in the first run
    return (launched(1 + COUNTED_STEPS) - launched(1)) / COUNTED_STEPS / epochs


def loops(device: torch.device) -> dict[str, Callable[[Task], tuple[float, float]]]:
    """The loops by name; each returns images per second, and seconds of compilation."""
    amp, how = has_bf16(device), fastest_way(device)
    by_name: dict[str, Callable[[Task], tuple[float, float]]] = {
        "zoo": partial(zoo_loop, how=how, amp=amp),
        "zoo, eager": partial(zoo_loop, how="none", amp=amp),
        "zoo, eager fp32": partial(zoo_loop, how="none", amp=False),
        "DataLoader, 2 workers": partial(plain_loop, loader=torchvision_loader, workers=2),
        "DataLoader, 4 workers": partial(plain_loop, loader=torchvision_loader, workers=4),
        "timm, 2 workers": partial(plain_loop, loader=timm_loader, workers=2),
        "timm, 4 workers": partial(plain_loop, loader=timm_loader, workers=4),
        "zoo again": partial(zoo_loop, how=how, amp=amp),
    }
    bounds = {"bound by memory": memory_bound, "bound by launches": launch_bound}
    return by_name | (bounds if device.type == "cuda" else {})


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet20_cifar10")
    parser.add_argument("--images", type=int, help="images in an epoch [default: 10,240 on a CPU, 50,000 on a GPU]")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--device")
    parser.add_argument(
        "--only", metavar="LOOP", action="append", help="name of a loop; may be repeated [default: all]"
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    device, model = choose(arguments.device), registry.load(registry.resolve(arguments.model))
    count = arguments.images or (10_240 if device.type == "cpu" else 50_000)
    task = Task(model.name, count, arguments.batch_size, str(device))
    timings: list[Timing] = []
    if not arguments.json:
        print(f"{model.name} on {describe(device)}, {torch.get_num_threads()} threads, {os.cpu_count()} cores, "
              f"torch {torch.__version__}, batch {task.batch_size}, {count:,} images")  # fmt: skip
        print(f"{'loop':<24}{'images/s':>12}{'s an epoch':>12}{'the zoo is':>12}{'s to compile':>14}")
    # A process per loop, so that threads, memory and compiled code of a loop do not affect the next.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as processes:
        for name, loop in loops(device).items():
            if arguments.only and name not in arguments.only:
                continue
            rate, compiled = processes.submit(loop, task).result()
            ratio = (timings[0].images_per_second if timings else rate) / rate
            timings.append(Timing(name, rate, model.dataset.train_images / rate, compiled, ratio))
            if not arguments.json:
                print(f"{name:<24}{rate:>12,.0f}{timings[-1].epoch_seconds:>12.1f}{ratio:>11.2f}×{compiled:>14.0f}",
                      flush=True)  # fmt: skip
    if arguments.json:
        setup = {"model": model.name, "device": describe(device), "torch": str(torch.__version__), "images": count}
        print(json.dumps({**setup, "loops": [asdict(timing) for timing in timings]}, indent=1))


if __name__ == "__main__":
    main()
