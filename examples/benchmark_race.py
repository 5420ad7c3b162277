"""Publish to a folder hub in a process while others read it, and count reads that fail or mix two revisions.

python examples/benchmark_race.py [--seconds 30] [--readers 4]

The writer alternates between two revisions of resnet8_digits, with the same weights, other licenses and an additional
file. Each reader loads the weights, pulls the folder, reads the record and lists the hub, repeatedly. Any error counts
as a failure, as does a list without the model. A pulled folder with files of both revisions counts as mixed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

# Import the zoo of this checkout, installed or not.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from zoo import api
from zoo.hub import open_hub
from zoo.hub.publish import publish
from zoo.record import store
from zoo.record.types import File

NAME = "resnet8_digits"
MODEL = Path(__file__).resolve().parent.parent / "hub_cards" / NAME
TERMS = "TERMS"
LICENSES = ("apache-2.0", "mit")
Counts = Counter[str]


class Mixed(Exception):
    """A pulled folder has files of two revisions."""


def write_revision(folder: Path, license: str) -> Path:  # noqa: A002
    """Write a model folder with a license, and an additional file that names the license."""
    shutil.copytree(MODEL, folder)
    (folder / TERMS).write_text(license)
    terms = File.of(license.encode())
    config = json.loads((folder / store.CONFIG).read_text())
    config["license"] = license
    config["files"][TERMS] = {"sha256": terms.sha256, "bytes": terms.bytes}
    (folder / store.CONFIG).write_text(json.dumps(config))
    return folder


def load(hub: str, _: Path) -> None:
    """Load the weights."""
    api.load(NAME, pretrained=True, hub=hub)


def pull(hub: str, scratch: Path) -> None:
    """Pull the folder, and check that its files are of the same revision."""
    pulled = api.pull(NAME, hub=hub, out=scratch / "pulled")
    if (pulled / TERMS).read_text() != store.read_record(pulled).license:
        raise Mixed
    store.check(pulled)
    shutil.rmtree(pulled)


def info(hub: str, _: Path) -> None:
    """Read the record."""
    config = api.info(NAME, hub=hub).config
    assert config is not None
    assert config.license in LICENSES


def listing(hub: str, _: Path) -> None:
    """List the hub."""
    names = [row.name for row in api.overview(hub=hub)]
    assert names == [NAME], names


def repeat(actions: dict[str, Callable[[], object]], start: Barrier, seconds: float, counted: Queue[Counts]) -> None:
    """Repeat the actions for some seconds, at least once, and count their outcomes."""
    counts: Counts = Counter()
    start.wait()
    until = time.monotonic() + seconds
    while not counts or time.monotonic() < until:
        for name, action in actions.items():
            try:
                action()
                counts[name] += 1
            except Mixed:
                counts["mixed"] += 1
            except Exception as error:
                counts["failed"] += 1
                print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
    counted.put(counts)


def read(hub: str, scratch: Path, start: Barrier, seconds: float, counted: Queue[Counts]) -> None:
    """Run a reader."""
    scratch.mkdir()
    load(hub, scratch)  # imports torch before the start
    kinds = {"loaded": load, "pulled": pull, "read": info, "listed": listing}
    repeat({name: partial(kind, hub, scratch) for name, kind in kinds.items()}, start, seconds, counted)


def push(hub: str, revisions: list[Path], start: Barrier, seconds: float, counted: Queue[Counts]) -> None:
    """Run the writer, which alternates between the revisions."""
    repeat({"pushed": lambda: [publish(folder, open_hub(hub)) for folder in revisions]}, start, seconds, counted)


def main() -> None:
    """Run the writer and the readers, and print the counts; the exit code is 1 if any read failed or was mixed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--readers", type=int, default=4)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    start, counted = context.Barrier(1 + arguments.readers), context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        hub = f"file:{scratch / 'hub'}"
        revisions = [write_revision(scratch / terms, terms) for terms in LICENSES]
        publish(revisions[0], open_hub(hub))
        processes = [context.Process(target=push, args=(hub, revisions, start, arguments.seconds, counted))]
        processes += [
            context.Process(target=read, args=(hub, scratch / f"reader{number}", start, arguments.seconds, counted))
            for number in range(arguments.readers)
        ]
        for process in processes:
            process.start()
        total: Counts = sum((counted.get() for _ in processes), Counter())
        for process in processes:
            process.join()
    counts = ", ".join(f"{total[name]:,} {name}" for name in ("loaded", "pulled", "read", "listed"))
    print(f"pushed {2 * total['pushed']:,} times, meanwhile {counts}: {total['failed']} failed, {total['mixed']} mixed")
    sys.exit(1 if total["failed"] or total["mixed"] else 0)


if __name__ == "__main__":
    main()
