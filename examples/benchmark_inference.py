"""Compare the inference speed of a model in torch and in the formats of `zoo export`, on this CPU.

python examples/benchmark_inference.py [--model resnet20_cifar10] [--threads 1] [--batches 1,8,64] [--json]

    eager          the net that zoo.load returns, after normalization
    channels_last  the same in the channels_last memory layout
    compiled       the same, compiled by torch.compile
    onnx           onnxruntime in fp32 (--to onnx)
    int8           onnxruntime, quantized to 8 bits (--to int8)
    pt2            an archive of torch.export (--to pt2)

All take the same uint8 pixels. They run alternately, in rounds, so that other work on the machine slows all of them.
Times are medians over the rounds; ratios are medians of the ratios to eager within a round. Quote the ratios, not the
times. A format that can't be run here, for lack of a compiler or of onnxruntime, is left out with a message.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

# Import the zoo of this checkout, installed or not.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from zoo.data import batches
from zoo.data.collection import root_of
from zoo.errors import ZooError
from zoo.exporters import formats
from zoo.exporters.export import subject
from zoo.exporters.graph import Graph
from zoo.hub.resolve import Published, published
from zoo.nets.device import describe
from zoo.spec import InputSize

Run = Callable[[Tensor], object]  # from images [N, H, W, C] uint8

WAYS = ("eager", "channels_last", "compiled", "onnx", "int8", "pt2")
BATCHES = (1, 8, 64)
SECONDS = 2.0  # for each way and batch size
LEAST_ROUNDS = 3


@dataclass(frozen=True)
class Timing:
    """The time of a batch, and its ratio to the eager net on the same CPU with as many threads."""

    batch: int  # batch size
    milliseconds: float  # for the batch; the median over the rounds
    ratio: float  # speed relative to the eager net; the median over the rounds


def runner(model: Published, way: str, threads: int) -> Run:
    """A function that runs the model in a given way; raises ZooError if that is impossible here."""
    if way in formats.EXPORTERS.own:
        exporter = formats.EXPORTERS.load(way)
        formats.require_installed((*exporter.needs, exporter.runtime), f"to export to {way}")
        return exporter.open(exporter.write(subject(model, root_of())), threads)
    config, net = model.config, model.net()
    if way == "eager":
        pixels = batches.pixels(config.mean, config.std, torch.device("cpu"))
        return lambda images: net(pixels.normalise(images).contiguous())
    graph = Graph(net, config, resizes=False).to(memory_format=torch.channels_last)
    return torch.compile(graph) if way == "compiled" else graph


def timed(ways: Mapping[str, Run], input_size: InputSize, batch: int, seconds: float) -> dict[str, Timing]:
    """Time each way on a batch of random images, and compute its ratio to the first way."""
    channels, height, width = input_size
    shape, generator = (batch, height, width, channels), torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    first, rounds = next(iter(ways)), list[dict[str, float]]()
    with torch.inference_mode():
        for run in ways.values():  # compilation for a new batch size happens here
            run(images)
            run(images)
        end = time.perf_counter() + seconds * len(ways)
        while time.perf_counter() < end or len(rounds) < LEAST_ROUNDS:
            rounds.append({name: _seconds(run, images) for name, run in ways.items()})
    return {
        name: Timing(
            batch,
            1000 * median(times[name] for times in rounds),
            median(times[first] / times[name] for times in rounds),
        )
        for name in ways
    }


def _seconds(run: Run, images: Tensor) -> float:
    start = time.perf_counter()
    run(images)
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet20_cifar10")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches", default=",".join(map(str, BATCHES)))
    parser.add_argument(
        "--ways", default=",".join(WAYS), help="ways to run, separated by commas; eager is always included"
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="per way and batch size")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = published(options.model)
    runners: dict[str, Run] = {}
    for way in dict.fromkeys(["eager", *options.ways.split(",")]):
        try:
            runners[way] = runner(model, way, options.threads)
        except ZooError as error:
            print(f"{way} is left out: {error}", file=sys.stderr)
    timings = [
        (way, timing)
        for batch in map(int, options.batches.split(","))
        for way, timing in timed(runners, model.config.input_size, batch, options.seconds).items()
    ]
    about = {"model": model.config.name, "processor": describe(torch.device("cpu")), "threads": options.threads}
    about["torch"] = str(torch.__version__)
    if options.json:
        print(json.dumps({**about, "timings": [{"way": way, **asdict(timing)} for way, timing in timings]}, indent=2))
        return
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print(
        f"\n{'':14}"
        + "".join(f"{f'batch {size}':>22}" for size in dict.fromkeys(timing.batch for _, timing in timings))
    )
    for way in runners:
        cells = [f"{timing.milliseconds:8.2f} ms  {timing.ratio:5.2f} ×" for name, timing in timings if name == way]
        print(f"{way:14}" + "".join(f"{cell:>22}" for cell in cells))


if __name__ == "__main__":
    main()
