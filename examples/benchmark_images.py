"""Compare loading and training speed on a folder of images with torchvision's ImageFolder and a DataLoader.

python examples/benchmark_images.py data [--size 64] [--images 2000] [--workers 2,4]
python examples/benchmark_images.py training [--size 64] [--images 2000]
python examples/benchmark_images.py memory [--size 64] --images 60000

    data       load batches, with padded or random resized crops, flips and normalization; images per second from the
               second epoch on
    training   train the same net with the same batch size and optimizer, by `zoo train` and by a plain training loop
    memory     train on a dataset that does not fit the memory limit of the process: the hash of the weights, images
               per second and the peak memory of the process

The images are generated JPEG files, larger than --size and not square. Speeds are medians. Quote the ratios rather
than the speeds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))  # imports the zoo of this checkout, installed or not

from zoo.data import batches, sources  # noqa: E402
from zoo.data.collection import DatasetRequest  # noqa: E402
from zoo.data.prepared import open_dataset  # noqa: E402
from zoo.registry import architecture  # noqa: E402
from zoo.spec import Recipe  # noqa: E402
from zoo.training.environment import keep_memory  # noqa: E402
from zoo.training.options import TrainOptions  # noqa: E402

BATCH, CLASSES = 128, 10
CPU = torch.device("cpu")


def draw(folder: Path, images: int, size: int) -> None:
    """Write a folder of JPEG files; each class has a color and a direction of stripes."""
    numbers = np.random.default_rng(0)
    height, width = round(size * 1.25), round(size * 1.5)
    down, across = np.mgrid[:height, :width]
    for split, count in (("train", images), ("test", max(10 * CLASSES, images // 20))):
        for number in range(count):
            label = number % CLASSES
            stripes = np.sin((down * np.cos(label) + across * np.sin(label)) / 3 + numbers.uniform(0, 6))
            color = 128 + 60 * stripes[..., None] * np.cos(label + np.arange(3))
            pixels = np.clip(color + numbers.normal(0, 20, (height, width, 3)), 0, 255).astype(np.uint8)
            path = folder / split / f"class{label}" / f"{number:06}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path, quality=90)


def zoo_batches(folder: Path, recipe: Recipe, *, compiled: bool) -> Callable[[], Iterator[Tensor]]:
    """A function that iterates over an epoch of the zoo's batches."""
    dataset = open_dataset(DatasetRequest(f"folder:{folder}"), recipe, Path(), lambda *_: None)
    split = sources.read_splits(dataset, recipe, Path(), device=CPU, train_images=dataset.train_images).train
    pixels, sides = batches.pixels(dataset.mean, dataset.std, CPU), (split.images.shape[1], split.images.shape[2])
    epochs = iter(range(1, 10_000))

    def draw_epoch() -> batches.Draw:
        return batches.draw(len(split), recipe, seed=0, epoch=next(epochs), sides=sides)

    feed = batches.feed(split, draw_epoch().to(CPU), pixels, recipe, rank=0, world=1)

    def images_at(positions: Tensor) -> Tensor:
        return feed.at(positions)[0]

    run = torch.compile(images_at, dynamic=False) if compiled else images_at

    def epoch() -> Iterator[Tensor]:
        feed.begin(draw_epoch())
        for start in range(0, len(split), BATCH):
            end = min(start + BATCH, len(split))
            feed.load(start, end)
            yield run(torch.arange(start, end))

    return epoch


def data_loader(folder: Path, size: int, workers: int, *, resized: bool = False) -> DataLoader[tuple[Tensor, Tensor]]:
    """A DataLoader of ImageFolder's images, with persistent workers."""
    crop = (
        [transforms.RandomResizedCrop(size)]
        if resized
        else [transforms.Resize(size), transforms.CenterCrop(size), transforms.RandomCrop(size, padding=size // 8)]
    )
    steps = [
        *crop,
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize([0.5] * 3, [0.25] * 3),
    ]
    images = ImageFolder(str(folder / "train"), transforms.Compose(steps))
    return DataLoader(images, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)


def loader_batches(loader: DataLoader[tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
    """Iterate over an epoch of a loader's images."""
    return (images for images, _ in loader)


def seconds(epoch: Callable[[], Iterator[Tensor]]) -> float:
    """Seconds of an epoch in which a value of every batch is read."""
    started = time.perf_counter()
    for images in epoch():
        images[0, 0, 0, 0].item()
    return time.perf_counter() - started


def data(options: argparse.Namespace, folder: Path) -> None:
    """Print images per second of each way to load batches."""
    size = options.size
    for resized in (False, True):
        crop = {"scale": (0.08, 1.0)} if resized else {"crop_padding": size // 8}
        recipe = Recipe(epochs=2, batch_size=BATCH, hflip=0.5, img_size=size, **crop)
        ways: dict[str, Callable[[], Iterator[Tensor]]] = {}
        for storage, limit in (("in memory", str(2**40)), ("on disk", "0")):
            os.environ["ZOO_DATA_MEMORY"] = limit
            if options.compile != "none":
                ways[f"zoo, {storage}, compiled"] = zoo_batches(folder, recipe, compiled=True)
            ways[f"zoo, {storage}"] = zoo_batches(folder, recipe, compiled=False)
        for workers in map(int, options.workers.split(",")):
            loader = data_loader(folder, size, workers, resized=resized)
            ways[f"DataLoader, {workers} workers"] = partial(loader_batches, loader)
        for way in ways.values():
            seconds(way)  # the first epoch starts workers and reads files
        rounds = [{name: seconds(way) for name, way in ways.items()} for _ in range(options.rounds)]
        print(f"{size} pixels, {'random resized crop' if resized else 'padded crop'}, flip, normalization:")
        for name in ways:
            speed = statistics.median(options.images / times[name] for times in rounds)
            ratios = [min(times[way] for way in ways if way.startswith("DataLoader")) / times[name] for times in rounds]
            print(f"  {name:24} {speed:9,.0f} images/s   {statistics.median(ratios):5.1f} times the fastest DataLoader")


def plain_loop(folder: Path, size: int, workers: int, epochs: int) -> float:
    """Images per second of a plain training loop, from the second epoch on."""
    net = architecture("resnet20").build((3, size, size), CLASSES)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    loader = data_loader(folder, size, workers)
    speeds = []
    for _ in range(epochs):
        started, trained = time.perf_counter(), 0
        for images, labels in loader:
            loss = nn.functional.cross_entropy(net(images), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            trained += len(labels)
        speeds.append(trained / (time.perf_counter() - started))
    return statistics.median(speeds[1:])


def training(options: argparse.Namespace, folder: Path) -> None:
    """Print images per second of a training by the zoo and by a plain loop."""
    from zoo import api
    from zoo.record import store

    settings = {"crop_padding": str(options.size // 8), "img_size": str(options.size), "batch_size": str(BATCH)}
    with tempfile.TemporaryDirectory() as out:
        done = api.train(
            "resnet20", dataset=f"folder:{folder}", settings=settings, epochs=4, eval_every=100, out=Path(out) / "m",
            compile=options.compile,
        )  # fmt: skip
        own = statistics.median(options.images / row.train_seconds for row in store.read_log(done.folder)[1:])
        print(f"zoo train, compile {done.config.job.compile}, amp {done.config.job.amp}: {own:,.0f} images/s")
    for workers in map(int, options.workers.split(",")):
        speed = plain_loop(folder, options.size, workers, 3)
        print(f"plain loop, {workers} workers: {speed:,.0f} images/s; zoo train is {own / speed:.2f} times as fast")


# Trains with a memory limit in bytes (0 for none), and prints the peak memory in MiB.
CHILD = """
import resource, sys, threading, time
from pathlib import Path
folder, size, out, limit = sys.argv[1:]
from zoo import api
from zoo.record import store
from zoo.training.environment import keep_memory
keep_memory()
if int(limit):
    resource.setrlimit(resource.RLIMIT_DATA, (int(limit), int(limit)))
peak = 0
def watch():
    global peak
    while True:
        status = Path("/proc/self/status").read_text().splitlines()
        peak = max(peak, next(int(line.split()[1]) for line in status if line.startswith("VmData")))
        time.sleep(0.01)
threading.Thread(target=watch, daemon=True).start()
done = api.train("resnet8", dataset=f"folder:{folder}", settings={"img_size": size, "batch_size": "16"}, epochs=1,
                 eval_every=100, compile="none", amp=False, threads=2, out=Path(out), overwrite=True)
rows = store.read_log(done.folder)
print(done.config.weights.sha256, done.config.job.train_images / rows[-1].train_seconds, peak // 1024)
"""


def memory(options: argparse.Namespace, folder: Path) -> None:
    """Print the hash of the weights, images per second and peak memory, with and without a memory limit."""
    size, dataset_bytes = str(options.size), options.images * options.size**2 * 3
    _, recipe = TrainOptions(settings={"img_size": size}).recipe_of(architecture("resnet8"))
    open_dataset(DatasetRequest(f"folder:{folder}"), recipe, Path(), lambda *_: None)  # prepares the images once

    def train(limit: int, in_memory: int | None) -> list[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        if in_memory is not None:
            environment["ZOO_DATA_MEMORY"] = str(in_memory)
        words = [sys.executable, "-W", "ignore", "-c", CHILD, folder, size, folder.parent / "m", limit]
        finished = subprocess.run([*map(str, words)], capture_output=True, text=True, env=environment)
        if finished.returncode == 0:
            sha256, speed, peak = finished.stdout.split()
            return [f"weights {sha256[:12]}", f"{float(speed):,.0f} images/s", f"{int(peak):,} MiB", peak]
        return ["fails: " + (finished.stderr.strip().splitlines() or ["killed"])[-1][:100]]

    unlimited = train(0, 2**40)
    print(f"{options.images:,} images of {size} pixels: {dataset_bytes / 2**20:,.0f} MiB")
    print("  all images in memory, no limit:", *unlimited[:3], flush=True)
    limit = int(unlimited[3]) * 2**20 - dataset_bytes // 2
    for name, in_memory in {"all images": 2**40, "a tenth": dataset_bytes // 10, "the default": None}.items():
        print(f"  {name} in memory, limit of {limit // 2**20:,} MiB:", *train(limit, in_memory)[:3], flush=True)


def main() -> None:
    """Generate images, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["data", "training", "memory"])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--workers", default="2,4")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", default="auto")
    options = parser.parse_args()
    keep_memory()  # as the command line does
    warnings.filterwarnings("ignore", "This DataLoader will create")  # --workers may exceed the number of cores
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["ZOO_CACHE"] = f"{scratch}/cache"
        draw(Path(scratch) / "images", options.images, options.size)
        {"data": data, "training": training, "memory": memory}[options.what](options, Path(scratch) / "images")


if __name__ == "__main__":
    main()
