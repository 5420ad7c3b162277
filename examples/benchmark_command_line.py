"""Compare the time of `zoo list` and `zoo --help` with a minimal typer app.

python examples/benchmark_command_line.py [--pairs 25] [--json]

The bare app has two commands that print a line, and the zoo's settings of typer. Its time is that of Python, typer and,
if a command is called, pydantic. `zoo list` also reads entry points, the plugins' declarations and the catalogue;
`zoo --help` imports no command. The apps run alternately in separate processes, with bytecode already compiled. Other
work on the machine slows both, so quote the ratios, which are medians over the pairs, and prefer CPU time.
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
    """The seconds of a process: CPU time, user and system, and wall-clock time."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Comparison:
    """A command of the zoo and of the bare app: medians in seconds, and medians of the ratios."""

    command: str
    bare_command: str
    cpu: float
    bare_cpu: float
    cpu_ratio: float
    wall: float
    bare_wall: float
    wall_ratio: float


def run(module: str, word: str, environment: Mapping[str, str]) -> Cost:
    """Run a module with an argument in a new process."""
    started = time.perf_counter()
    command = [sys.executable, "-m", module, word]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed with exit code {process.returncode}")
    return Cost(used.ru_utime + used.ru_stime, time.perf_counter() - started)


def compare(word: str, pairs: int, environment: Mapping[str, str]) -> Comparison:
    """Run both apps alternately, after a run of each that compiles bytecode."""
    modules = ("zoo", "bare")
    for module in modules:
        run(module, word, environment)
    zoo, bare = zip(*([run(module, word, environment) for module in modules] for _ in range(pairs)), strict=True)
    return Comparison(
        command=f"zoo {word}",
        bare_command=f"bare {word}",
        cpu=median(cost.cpu for cost in zoo),
        bare_cpu=median(cost.cpu for cost in bare),
        cpu_ratio=median(ours.cpu / theirs.cpu for ours, theirs in zip(zoo, bare, strict=True)),
        wall=median(cost.wall for cost in zoo),
        bare_wall=median(cost.wall for cost in bare),
        wall_ratio=median(ours.wall / theirs.wall for ours, theirs in zip(zoo, bare, strict=True)),
    )


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=25)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    setup = {"python": sys.version.split()[0], "typer": version("typer"), "pairs": arguments.pairs}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "bare.py").write_text(BARE)
        # Import the zoo of this checkout, installed or not, and write bytecode to the temporary folder.
        path = os.pathsep.join(filter(None, [str(CHECKOUT), folder, os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONPYCACHEPREFIX": str(Path(folder) / "compiled")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        comparisons = [compare(word, arguments.pairs, environment) for word in ("list", "--help")]
    if arguments.json:
        print(json.dumps({**setup, "commands": [asdict(comparison) for comparison in comparisons]}, indent=1))
        return
    print(f"Python {setup['python']}, typer {setup['typer']}, medians of {arguments.pairs} pairs, in milliseconds")
    print(f"{'':<12}{'CPU':>12}{'wall':>10}")
    for pair in comparisons:
        print(f"{pair.command:<12}{1000 * pair.cpu:>12.0f}{1000 * pair.wall:>10.0f}")
        print(f"{pair.bare_command:<12}{1000 * pair.bare_cpu:>12.0f}{1000 * pair.bare_wall:>10.0f}")
        print(f"{'ratio':<12}{pair.cpu_ratio:>12.2f}{pair.wall_ratio:>10.2f}")


if __name__ == "__main__":
    main()
