"""Output of the commands: lines, tables, JSON, progress and the result of a training."""

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, TextIO

from zoo.plain import plain

if TYPE_CHECKING:
    from rich.console import Console

    from zoo.api import Trained
    from zoo.data.survey import Tell
    from zoo.hub import Pushed
    from zoo.hub.listing import Row
    from zoo.training.reporting import Report


CLAIMED = "~"  # marks an accuracy that the author of the weights states

# The process's stdout while a command runs and sys.stdout is redirected to stderr.
_stdout: ContextVar[TextIO | None] = ContextVar("_stdout", default=None)


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Reserve stdout for the functions of this module; redirect other prints to stderr."""
    token = _stdout.set(sys.stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _stdout.reset(token)


def stdout() -> TextIO:
    """Return the stream for the output of a command."""
    return _stdout.get() or sys.stdout


def say(text: str) -> None:
    """Print a line, and flush it."""
    print(plain(text), file=stdout(), flush=True)


def say_published(pushed: "Pushed") -> None:
    """Print where a model was published, and which files in the hub were repaired."""
    say(f"published as {pushed.address} at revision {pushed.revision[:12]}")
    if pushed.repaired:
        say(f"damaged or missing files in the hub were replaced: {', '.join(pushed.repaired)}")
    if pushed.card == "stale":
        say("README.md was outdated and was rendered again")
    elif pushed.card == "edited":
        say("README.md was edited by hand and is kept")


def print_json(value: object) -> None:
    """Print a value as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=True), file=stdout())


def print_table(
    heading: tuple[str, ...],
    cells: Sequence[tuple[str, ...]],
    *,
    right: tuple[int, ...],
    spared: tuple[int, ...] = (),
) -> None:
    """Print a table on a terminal, or tab-separated lines in a pipe.

    Args:
        heading: The names of the columns.
        cells: The rows.
        right: The columns to align to the right.
        spared: The columns to leave out on a narrow terminal, in this order, until the table fits.
    """
    if not stdout().isatty():
        say("\n".join(map(_tab_separated, (heading, *cells))))
        return
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    terminal = console()
    columns = list(range(len(heading)))
    widths = [max(cell_len(line[column]) for line in (heading, *cells)) for column in columns]
    for column in spared:
        # A column has two blanks and a line besides its text.
        if sum(widths[shown] + 3 for shown in columns) + 1 > terminal.width:
            columns.remove(column)
    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(heading[column], justify="right" if column in right else "left", no_wrap=True)
    for line in cells:
        table.add_row(*(Text(plain(line[column].replace("\n", " "))) for column in columns))
    terminal.print(table)


def _tab_separated(cells: tuple[str, ...]) -> str:
    line = "\t".join(cells)
    if line.count("\t") == len(cells) - 1 and "\n" not in line:
        return line
    return "\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in cells)


def print_rows(rows: "list[Row]", *, as_json: bool) -> None:
    """Print models as a table or as JSON.

    If the table does not fit on the terminal, models without weights are left out and counted.
    """
    if as_json:
        print_json([dataclasses.asdict(row) for row in rows])
        return
    shown = rows
    if stdout().isatty() and len(rows) + 5 > console().height:  # 5 lines besides the rows
        shown = [row for row in rows if row.weights] or rows
    heading = ("model", "dataset", "parameters", "top-1", "license", "weights")
    cells = [(r.name, r.dataset, count(r.parameters), _top1(r), r.license, r.weights or "–") for r in shown]
    print_table(heading, cells, right=(2, 3), spared=(4, 5, 2, 1))
    if stdout().isatty():
        if any(row.top1 is None and row.claim is not None for row in shown):
            say(f"{CLAIMED} stated by the author of the weights, not measured by the zoo")
        if len(shown) < len(rows):
            say(f"{len(rows) - len(shown)} models without weights are not shown: zoo list --untrained")


def _top1(row: "Row") -> str:
    if row.top1 is not None:
        return f"{row.top1:.2f}%"
    return "–" if row.claim is None else f"{CLAIMED}{row.claim:.2f}%"


def say_trained(trained: "Trained") -> None:
    """Print the results of a training, and its model folder."""
    results = trained.config.results
    say(
        f"{trained.config.name}: top-1 {results.test_top1:.2f}%, top-5 {results.test_top5:.2f}%, loss "
        f"{results.test_loss:.4f} on {results.test_images:,} test images; the model folder is {trained.folder}"
    )


def progress() -> "Report":
    """Return a report that shows a training's progress: a bar on a terminal, a line per epoch in a pipe."""
    from zoo.training.reporting import Bar, Lines

    target = console()
    return Bar(target) if target.is_terminal else Lines(target)


def telling() -> "Tell":
    """Return a function that shows the progress of reading images.

    On a terminal it updates one line; in a pipe it prints a line at the end.
    """
    target = console()
    started: dict[str, float] = {}

    def tell(task: str, done: int, total: int) -> None:
        since = started.setdefault(task, time.perf_counter())
        if done == total:
            seconds = time.perf_counter() - since
            line = f"{task}: {total:,} images in {seconds:.1f} s"
            target.print(("\r" if target.is_terminal else "") + line, highlight=False, soft_wrap=True)
        elif target.is_terminal and done % 50 == 0:
            rate = done / max(1e-9, time.perf_counter() - since)
            left = (total - done) / rate
            target.print(f"\r{task}: {done:,} of {total:,}, {rate:,.0f} per second, {left:.0f} s left ", end="")

    return tell


def console() -> "Console":
    """Return rich's console of stdout."""
    from rich.console import Console

    return Console(file=stdout())


def count(parameters: int | None) -> str:
    """Format a number of parameters; a dash if it is unknown."""
    return "–" if parameters is None else f"{parameters:,}"
