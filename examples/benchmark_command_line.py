"""How long `zoo list` and `zoo --help` take, beside the same words to a typer app that does nothing.

python examples/benchmark_command_line.py [--pairs 25] [--json]

The bare app has two commands and the settings of the zoo's, so what it takes is Python, typer and (where a command is
called) pydantic, which typer checks arguments with. `zoo list` reads entry points, imports the plugins' facts and reads
the catalogue; `zoo --help` imports no command. The two are run by turns, each in a process of its own, with compiled
bytecode as after a first run. Other work on the machine slows both, mostly: quote the ratios, medians over the pairs,
and the processor's seconds before the clock's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

CHECKOUT = Path(__file__).resolve().parent.parent
BARE = '''
import typer

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command("list")
def list_nothing() -> None:
    """Print a line."""
    print("nothing")


@app.command()
def info() -> None:
    """Print a line."""
    print("nothing")


app()
'''


@dataclass(frozen=True)
class Cost:
    """What one process took: seconds of the processor, in it and in the system for it, and of the clock."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Comparison:
    """A command of the zoo beside the bare app's: medians in seconds, and the median of the pairs' ratios."""

    command: str
    bare_command: str
    cpu: float
    bare_cpu: float
    cpu_ratio: float
    wall: float
    bare_wall: float
    wall_ratio: float


def run(module: str, word: str, environment: Mapping[str, str]) -> Cost:
    """Run a module with one word in a process of its own."""
    started = time.perf_counter()
    command = [sys.executable, "-m", module, word]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed with exit code {process.returncode}")
    return Cost(used.ru_utime + used.ru_stime, time.perf_counter() - started)


def compare(word: str, pairs: int, environment: Mapping[str, str]) -> Comparison:
    """Run both by turns, after a run of each that compiles what is not yet compiled."""
    modules = ("zoo", "bare")
    for module in modules:
        run(module, word, environment)
    zoo, bare = zip(*([run(module, word, environment) for module in modules] for _ in range(pairs)), strict=True)
    return Comparison(
        command=f"zoo {word}",
        bare_command=f"bare {word}",
        cpu=median(one.cpu for one in zoo),
        bare_cpu=median(one.cpu for one in bare),
        cpu_ratio=median(ours.cpu / theirs.cpu for ours, theirs in zip(zoo, bare, strict=True)),
        wall=median(one.wall for one in zoo),
        bare_wall=median(one.wall for one in bare),
        wall_ratio=median(ours.wall / theirs.wall for ours, theirs in zip(zoo, bare, strict=True)),
    )


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=25)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    facts = {"python": sys.version.split()[0], "typer": version("typer"), "pairs": arguments.pairs}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "bare.py").write_text(BARE)
        # A plain checkout is enough; and compiled files go into a folder that is thrown away.
        path = os.pathsep.join(filter(None, [str(CHECKOUT), folder, os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONPYCACHEPREFIX": str(Path(folder) / "compiled")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        found = [compare(word, arguments.pairs, environment) for word in ("list", "--help")]
    if arguments.json:
        print(json.dumps({**facts, "commands": [asdict(one) for one in found]}, indent=1))
        return
    print(f"Python {facts['python']}, typer {facts['typer']}, medians of {arguments.pairs} pairs, in milliseconds")
    print(f"{'':<12}{'processor':>12}{'clock':>10}")
    for one in found:
        print(f"{one.command:<12}{1000 * one.cpu:>12.0f}{1000 * one.wall:>10.0f}")
        print(f"{one.bare_command:<12}{1000 * one.bare_cpu:>12.0f}{1000 * one.bare_wall:>10.0f}")
        print(f"{'ratio':<12}{one.cpu_ratio:>12.2f}{one.wall_ratio:>10.2f}")


if __name__ == "__main__":
    main()
