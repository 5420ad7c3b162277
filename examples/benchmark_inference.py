"""How fast a model answers in torch and in the formats that `zoo export` writes, on this processor.

python examples/benchmark_inference.py [--model resnet20_cifar10] [--threads 1] [--batches 1,8,64] [--json]

    eager          the net as zoo.load gives it, normalisation before it
    channels_last  the same in the layout that it was trained in
    compiled       torch.compile of it
    onnx           onnxruntime in fp32 (--to onnx)
    int8           onnxruntime in whole numbers of 8 bits (--to int8)
    pt2            torch's own file, without the net's source (--to pt2)

All of them take the same uint8 pixels. They are asked in turn, round by round, so that what else the machine does
slows all of them; a time is the median of the rounds, a ratio the median of the rounds' own ratios to eager. Quote the
ratios: they come from one run. What can't be made here (no compiler, no onnxruntime) is named and left out.
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

# A plain checkout is enough: nothing of it has to be installed.
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

Ask = Callable[[Tensor], object]  # with images [N, H, W, C] uint8

WAYS = ("eager", "channels_last", "compiled", "onnx", "int8", "pt2")
BATCHES = (1, 8, 64)
SECONDS = 2.0  # for each way and batch size
LEAST_ROUNDS = 3


@dataclass(frozen=True)
class Timing:
    """How long a batch takes, run in turn with the net in torch on the same processor, with as many threads."""

    batch: int  # images at once
    milliseconds: float  # for the batch, the median of the rounds
    ratio: float  # speed relative to the net, the median of the rounds' own ratios


def answering(found: Published, way: str, threads: int) -> Ask:
    """What answers to images [N, H, W, C] uint8; raises ZooError where it can't be made here."""
    if way in formats.EXPORTERS.own:
        exporter = formats.EXPORTERS.load(way)
        formats.require_installed((*exporter.needs, exporter.runtime), f"to export to {way}")
        return exporter.open(exporter.write(subject(found, root_of())), threads)
    config, net = found.config, found.net()
    if way == "eager":
        pixels = batches.pixels(config.mean, config.std, torch.device("cpu"))
        return lambda images: net(pixels.normalise(images).contiguous())
    graph = Graph(net, config, resizes=False).to(memory_format=torch.channels_last)
    return torch.compile(graph) if way == "compiled" else graph


def timed(ways: Mapping[str, Ask], input_size: InputSize, batch: int, seconds: float) -> dict[str, Timing]:
    """The time that each way takes for a batch of noise, and its ratio to the first way's."""
    channels, height, width = input_size
    shape, generator = (batch, height, width, channels), torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    first, rounds = next(iter(ways)), list[dict[str, float]]()
    with torch.inference_mode():
        for ask in ways.values():  # compilation for a new batch size happens here
            ask(images)
            ask(images)
        end = time.perf_counter() + seconds * len(ways)
        while time.perf_counter() < end or len(rounds) < LEAST_ROUNDS:
            rounds.append({name: _seconds(ask, images) for name, ask in ways.items()})
    return {
        name: Timing(
            batch,
            1000 * median(times[name] for times in rounds),
            median(times[first] / times[name] for times in rounds),
        )
        for name in ways
    }


def _seconds(ask: Ask, images: Tensor) -> float:
    start = time.perf_counter()
    ask(images)
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet20_cifar10")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches", default=",".join(map(str, BATCHES)))
    parser.add_argument("--ways", default=",".join(WAYS), help="eager is always one")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="a way and a size of batch")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = published(options.model)
    answers: dict[str, Ask] = {}
    for way in dict.fromkeys(["eager", *options.ways.split(",")]):
        try:
            answers[way] = answering(found, way, options.threads)
        except ZooError as error:
            print(f"{way} is left out: {error}", file=sys.stderr)
    timings = [
        (way, timing)
        for batch in map(int, options.batches.split(","))
        for way, timing in timed(answers, found.config.input_size, batch, options.seconds).items()
    ]
    about = {"model": found.config.name, "processor": describe(torch.device("cpu")), "threads": options.threads}
    about["torch"] = str(torch.__version__)
    if options.json:
        print(json.dumps({**about, "timings": [{"way": way, **asdict(one)} for way, one in timings]}, indent=2))
        return
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print(f"\n{'':14}" + "".join(f"{f'batch {one}':>22}" for one in dict.fromkeys(one.batch for _, one in timings)))
    for way in answers:
        cells = [f"{one.milliseconds:8.2f} ms  {one.ratio:5.2f} ×" for name, one in timings if name == way]
        print(f"{way:14}" + "".join(f"{cell:>22}" for cell in cells))


if __name__ == "__main__":
    main()
