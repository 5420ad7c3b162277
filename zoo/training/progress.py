"""How a training shows itself: a line an epoch, and on a terminal a bar under them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from zoo.record.types import EpochRow

if TYPE_CHECKING:
    from rich.console import Console


class Lines:
    """A line an epoch, as a log wants it."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def start(self, epochs: int, images: int, finished: int) -> None:
        """Note where this process begins: what is left is told from its own pace."""
        self._epochs, self._images, self._finished = epochs, images, finished
        self._started = time.perf_counter()
        if finished:
            self._console.print(f"resumed after epoch {finished} of {epochs}", highlight=False)

    def note(self, text: str) -> None:
        """Print it."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def step(self, epoch: int, done: int, seconds: float, train_loss: float) -> None:
        """Nothing: a log wants epochs."""

    def epoch(self, row: EpochRow) -> None:
        """Print the epoch's line."""
        pace = (time.perf_counter() - self._started) / (row.epoch - self._finished)
        val = "" if row.val_top1 is None else f"  val loss {row.val_loss:.4f} top-1 {row.val_top1:5.2f}%"
        test = "" if row.test_top1 is None else f"  test loss {row.test_loss:.4f} top-1 {row.test_top1:5.2f}%"
        self._console.print(
            f"epoch {row.epoch:>{len(str(self._epochs))}}/{self._epochs}  lr {row.lr:.3g}  "
            f"train loss {row.train_loss:.4f} top-1 {row.train_top1:5.2f}%{val}{test}  {row.train_seconds:.1f} s  "
            f"{self._images / row.train_seconds:,.0f} images/s  left {clock(pace * (self._epochs - row.epoch))}",
            highlight=False,
            soft_wrap=True,
        )

    def result(self, row: EpochRow) -> None:
        """Nothing: it is said where the training is called from."""

    def finish(self) -> None:
        """Nothing."""


class Bar:
    """The same lines on a terminal, with a bar under them that moves within an epoch."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._lines = Lines(console)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:.0f}%"),
            TextColumn("{task.fields[pace]}left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )

    def start(self, epochs: int, images: int, finished: int) -> None:
        """Show the bar, where a resumed run stands."""
        self._lines.start(epochs, images, finished)
        self._epochs, self._images = epochs, images
        self._task = self._bar.add_task("starting", total=epochs * images, completed=finished * images, pace="")
        self._bar.start()

    def note(self, text: str) -> None:
        """Print it."""
        self._lines.note(text)

    def step(self, epoch: int, done: int, seconds: float, train_loss: float) -> None:
        """Move the bar."""
        self._bar.update(
            self._task,
            completed=(epoch - 1) * self._images + done,
            pace=f"{done / seconds:,.0f} images/s  loss {train_loss:.3f}  ",
            description=f"epoch {epoch}/{self._epochs}",
        )

    def epoch(self, row: EpochRow) -> None:
        """Print the epoch's line above the bar, which moves at least so often."""
        self._lines.epoch(row)
        self.step(row.epoch, self._images, row.train_seconds, row.train_loss)

    def result(self, row: EpochRow) -> None:
        """Nothing, as in a log."""

    def finish(self) -> None:
        """Take the bar away; the lines stay."""
        self._bar.stop()


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
