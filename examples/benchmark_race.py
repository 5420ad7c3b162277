"""One process publishes to a folder hub without a pause while four read it: does any of them ever get half a model?

python examples/benchmark_race.py [--seconds 30] [--readers 4]

The writer publishes two revisions of the digits' model by turns: the same weights, each with a license and a file of
its own. Each reader does by turns what people do: it loads the weights, pulls the folder, reads the record, lists the
hub. An error of any kind is a failure, as is a list without the model; mixed is a folder with files of both.
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

# A plain checkout is enough: nothing of it has to be installed.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from zoo import api
from zoo.hub import open_hub
from zoo.hub.publish import publish
from zoo.record import store

NAME = "resnet8_digits"
MODEL = Path(__file__).resolve().parent.parent / "hub_cards" / NAME
TERMS = "TERMS"
LICENSES = ("apache-2.0", "mit")
Counts = Counter[str]


class Mixed(Exception):
    """A folder that has files of two revisions."""


def write_revision(folder: Path, license: str) -> Path:  # noqa: A002
    """A model folder under a license, with a file that says the same."""
    shutil.copytree(MODEL, folder)
    (folder / TERMS).write_text(license)
    facts = store.file_facts(license.encode())
    config = json.loads((folder / store.CONFIG).read_text())
    config["license"] = license
    config["files"][TERMS] = {"sha256": facts.sha256, "bytes": facts.bytes}
    (folder / store.CONFIG).write_text(json.dumps(config))
    return folder


def load(hub: str, _: Path) -> None:
    """Load the weights."""
    api.load(NAME, pretrained=True, hub=hub)


def pull(hub: str, scratch: Path) -> None:
    """Copy the folder, and look whether it is one."""
    pulled = api.pull(NAME, hub=hub, out=scratch / "pulled")
    if (pulled / TERMS).read_text() != store.read_record(pulled).license:
        raise Mixed
    store.check(pulled)
    shutil.rmtree(pulled)


def info(hub: str, _: Path) -> None:
    """Read the facts."""
    config = api.info(NAME, hub=hub).config
    assert config is not None
    assert config.license in LICENSES


def listing(hub: str, _: Path) -> None:
    """List the hub."""
    names = [row.name for row in api.overview(hub=hub)]
    assert names == [NAME], names


def again(turns: dict[str, Callable[[], object]], start: Barrier, seconds: float, counted: Queue[Counts]) -> None:
    """Take the turns for so long, once at least, and count what came of each."""
    counts: Counts = Counter()
    start.wait()
    until = time.monotonic() + seconds
    while not counts or time.monotonic() < until:
        for name, turn in turns.items():
            try:
                turn()
                counts[name] += 1
            except Mixed:
                counts["mixed"] += 1
            except Exception as error:
                counts["failed"] += 1
                print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
    counted.put(counts)


def read(hub: str, scratch: Path, start: Barrier, seconds: float, counted: Queue[Counts]) -> None:
    """A reader: loads, pulls, asks and lists by turns."""
    scratch.mkdir()
    load(hub, scratch)  # imports torch, which takes its time
    kinds = {"loaded": load, "pulled": pull, "asked": info, "listed": listing}
    again({name: partial(kind, hub, scratch) for name, kind in kinds.items()}, start, seconds, counted)


def push(hub: str, revisions: list[Path], start: Barrier, seconds: float, counted: Queue[Counts]) -> None:
    """The pusher: one revision and the other, by turns."""
    again({"pushed": lambda: [publish(folder, open_hub(hub)) for folder in revisions]}, start, seconds, counted)


def main() -> None:
    """Let them run, and print what came of it; the exit code is 1 where anything failed or was mixed."""
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
    counts = ", ".join(f"{total[name]:,} {name}" for name in ("loaded", "pulled", "asked", "listed"))
    print(f"pushed {2 * total['pushed']:,} times, meanwhile {counts}: {total['failed']} failed, {total['mixed']} mixed")
    sys.exit(1 if total["failed"] or total["mixed"] else 0)


if __name__ == "__main__":
    main()
