"""What the commands print in the same way: tables, lines, JSON, what a training says at its end."""

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


CLAIMED = "~"  # before an accuracy that only the author of the weights states

# The process's stdout while a command runs, when sys.stdout is stderr.
_stdout: ContextVar[TextIO | None] = ContextVar("_stdout", default=None)


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Reserve stdout for the functions of this file; what others print meanwhile goes to stderr."""
    token = _stdout.set(sys.stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _stdout.reset(token)


def stdout() -> TextIO:
    """The stream for a command's answer."""
    return _stdout.get() or sys.stdout


def say(text: str) -> None:
    """A line, at once also where it goes into a pipe."""
    print(plain(text), file=stdout(), flush=True)


def say_published(pushed: "Pushed") -> None:
    """Where a model was published, and what became of what the hub had."""
    say(f"published as {pushed.address} at revision {pushed.revision[:12]}")
    if pushed.repaired:
        say(f"repaired there: {', '.join(pushed.repaired)}")
    if pushed.card == "stale":
        say("its README.md was stale, and was rendered anew")
    elif pushed.card == "edited":
        say("its README.md was edited by hand, and is kept")


def print_json(value: object) -> None:
    """JSON for programs."""
    print(json.dumps(value, indent=2, ensure_ascii=True), file=stdout())


def print_table(
    heading: tuple[str, ...],
    cells: Sequence[tuple[str, ...]],
    *,
    right: tuple[int, ...],
    spared: tuple[int, ...] = (),
) -> None:
    """A table on a terminal, with the columns `right` set to the right; tab-separated lines in a pipe.

    Where a terminal is too narrow the columns `spared` are left out, one after the other, as far as it must be.
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
        # A column takes two blanks and a line beside its text.
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
    """A listing of models, as a table or as JSON.

    Where a terminal has fewer lines than the table, models without weights are counted and not shown.
    """
    if as_json:
        print_json([dataclasses.asdict(row) for row in rows])
        return
    shown = rows
    if stdout().isatty() and len(rows) + 5 > console().height:  # lines around the rows
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
    """What a training has come to, and where it is."""
    results = trained.config.results
    say(
        f"{trained.config.name}: top-1 {results.test_top1:.2f}%, top-5 {results.test_top5:.2f}%, loss "
        f"{results.test_loss:.4f} on {results.test_images:,} test images; the model folder is {trained.folder}"
    )


def progress() -> "Report":
    """What shows a training's progress: a bar on a terminal, a line an epoch in a pipe."""
    from zoo.training.reporting import Bar, Lines

    target = console()
    return Bar(target) if target.is_terminal else Lines(target)


def telling() -> "Tell":
    """What shows how far looking at pictures is: one line that counts on a terminal, in a pipe a line at the end."""
    target = console()
    began: dict[str, float] = {}

    def tell(what: str, done: int, total: int) -> None:
        since = began.setdefault(what, time.perf_counter())
        if done == total:
            seconds = time.perf_counter() - since
            line = f"{what}: {total:,} pictures in {seconds:.1f} s"
            target.print(("\r" if target.is_terminal else "") + line, highlight=False, soft_wrap=True)
        elif target.is_terminal and done % 50 == 0:
            pace = done / max(1e-9, time.perf_counter() - since)
            left = (total - done) / pace
            target.print(f"\r{what}: {done:,} of {total:,}, {pace:,.0f} a second, left {left:.0f} s ", end="")

    return tell


def console() -> "Console":
    """The terminal, or the pipe, that stdout is."""
    from rich.console import Console

    return Console(file=stdout())


def count(parameters: int | None) -> str:
    """A number of parameters; a dash where nobody knows it."""
    return "–" if parameters is None else f"{parameters:,}"
