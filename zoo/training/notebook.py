"""The progress of a training in IPython and Jupyter."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from zoo.notebook import table
from zoo.training.reporting import Bar, Report, clock

if TYPE_CHECKING:
    from zoo.record.types import EpochRow

SHOWN = 10  # epochs, while a training runs; each update sends the table to the browser


def default_report() -> Report:
    """Return the report of a training without one: a progress bar in IPython and Jupyter, elsewhere nothing."""
    ipython = sys.modules.get("IPython")  # imported already in a process that runs IPython
    shell = ipython.get_ipython() if ipython else None
    if shell is None:
        return Report()
    if hasattr(shell, "kernel"):
        return NotebookBar()
    from rich.console import Console

    return Bar(Console())


class NotebookBar(Report):
    """A progress bar above a table of epochs, in one output of a cell. It needs no ipywidgets."""

    def start(self, epochs: int, images: int, finished: int) -> None:
        """Show the bar at the first epoch to train."""
        from IPython.display import display

        self._epochs, self._images, self._done, self._text = epochs, images, finished * images, "starting"
        self._rows: list[EpochRow] = []
        self._ended = False
        self._output = display(self, display_id=True)

    def step(self, epoch: int, done: int, seconds: float, train_loss: float) -> None:
        """Move the bar."""
        self._done = (epoch - 1) * self._images + done
        self._text = f"epoch {epoch}/{self._epochs}, {done / seconds:,.0f} images/s, loss {train_loss:.3f}"
        self._output.update(self)

    def epoch(self, row: EpochRow) -> None:
        """Add an epoch to the table."""
        self._rows.append(row)
        self._done = row.epoch * self._images
        self._text = f"epoch {row.epoch}/{self._epochs}, left {clock(row.train_seconds * (self._epochs - row.epoch))}"
        self._output.update(self)

    def result(self, row: EpochRow) -> None:
        """Show all epochs, the last one with its test results, and take the bar away."""
        self._rows[-1:] = [row]
        self._ended = True
        self._output.update(self)

    def _repr_html_(self) -> str:
        rows = self._rows if self._ended else self._rows[-SHOWN:]
        cells = [
            (
                f"{row.epoch}/{self._epochs}",
                f"{row.train_loss:.3f}",
                _percent(row.train_top1),
                _percent(row.val_top1),
                _percent(row.test_top1),
                f"{row.train_seconds:.1f} s",
            )
            for row in rows
        ]
        heading = ("epoch", "loss", "train", "val", "test", "time")
        epochs = table(cells, heading=heading) if cells else ""
        if self._ended:
            return epochs
        return f'<progress value="{self._done}" max="{self._epochs * self._images}"></progress> {self._text}{epochs}'


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}%"
