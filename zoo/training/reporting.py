"""Reports: the methods that a training calls with its progress, and reports for a terminal, a log and a notebook."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from zoo import plugins
from zoo.errors import TrackerWarning
from zoo.notebook import table

if TYPE_CHECKING:
    from rich.console import Console

    from zoo.record.types import EpochRow

SHOWN = 10  # epochs in a notebook while a training runs; each update sends the table to the browser


class Report:
    """Receives the progress of a training. Every method does nothing; override those that you need.

    Examples:
        >>> from zoo.plugin import Report
        >>> class Losses(Report):
        ...     def epoch(self, row):
        ...         print(f"{row.epoch}: {row.train_loss:.2f}")
    """

    def start(self, epochs: int, images: int, finished: int) -> None:
        """The training starts, or continues after `finished` epochs.

        Args:
            epochs: Epochs of the whole training.
            images: Training images in an epoch.
            finished: Epochs that are finished already; above 0 in a resumed training.
        """

    def note(self, text: str) -> None:
        """The training prints a line of text."""

    def step(self, epoch: int, done: int, seconds: float, train_loss: float) -> None:
        """Progress within an epoch, about twice a second.

        Args:
            epoch: The epoch, counted from 1.
            done: Images of the epoch that were trained on.
            seconds: Seconds of training in this epoch.
            train_loss: The mean loss of the epoch so far.
        """

    def epoch(self, row: EpochRow) -> None:
        """An epoch has ended; `row` is its row of the log."""

    def result(self, row: EpochRow) -> None:
        """The training has ended; `row` is that of the last epoch, with the results on the test set."""

    def finish(self) -> None:
        """The training has ended or failed; no method is called after this one."""


@dataclass(frozen=True)
class Watched:
    """The run that a tracker follows.

    Attributes:
        name: The model's name.
        job: The job as JSON, as in config.json.
        folder: A folder for the tracker's files, `OUT.events` beside the model folder OUT. The tracker makes it.

    Examples:
        >>> from pathlib import Path
        >>> from zoo.plugin import Watched
        >>> Watched("resnet20_cifar10", "{}", Path("runs/resnet20.events")).name
        'resnet20_cifar10'
    """

    name: str
    job: str
    folder: Path


Tracker = Callable[[Watched], Report]


class Reports(Report):
    """Forwards every call to a report and to trackers; a tracker that raises an error is dropped with a warning."""

    def __init__(self, report: Report, trackers: Mapping[str, Tracker], watched: Watched) -> None:
        self._report = report
        self._trackers: dict[str, Report] = {}
        for name, tracker in trackers.items():
            try:
                self._trackers[name] = tracker(watched)
            except (Exception, SystemExit) as error:
                _warn(name, error)

    def start(self, epochs: int, images: int, finished: int) -> None:
        """Forward the call."""
        self._forward(lambda report: report.start(epochs, images, finished))

    def note(self, text: str) -> None:
        """Forward the call."""
        self._forward(lambda report: report.note(text))

    def step(self, epoch: int, done: int, seconds: float, train_loss: float) -> None:
        """Forward the call."""
        self._forward(lambda report: report.step(epoch, done, seconds, train_loss))

    def epoch(self, row: EpochRow) -> None:
        """Forward the call."""
        self._forward(lambda report: report.epoch(row))

    def result(self, row: EpochRow) -> None:
        """Forward the call."""
        self._forward(lambda report: report.result(row))

    def finish(self) -> None:
        """Forward the call."""
        self._forward(lambda report: report.finish())

    def _forward(self, call: Callable[[Report], None]) -> None:
        call(self._report)
        for name, tracker in list(self._trackers.items()):
            try:
                call(tracker)
            except (Exception, SystemExit) as error:
                del self._trackers[name]
                _warn(name, error)


def _warn(name: str, error: BaseException) -> None:
    reason = f"({f'{type(error).__name__}: {error}'.splitlines()[0]}){plugins.location(error)}"
    warnings.warn(TrackerWarning(f"tracker {name} fails {reason}; the training goes on without it"), stacklevel=2)


@dataclass(frozen=True)
class Reporting:
    """The settings of a training that do not change its weights."""

    save_every: int = 1  # epochs between checkpoints
    eval_every: int = 1  # epochs between evaluations on the test set
    report: Report = field(default_factory=Report)
    trackers: Mapping[str, Tracker] = field(default_factory=dict)


class Lines(Report):
    """Prints a line for each epoch, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def start(self, epochs: int, images: int, finished: int) -> None:
        """Store the totals and the time: the time left is estimated from this process's epochs."""
        self._epochs, self._images, self._finished = epochs, images, finished
        self._started = time.perf_counter()
        if finished:
            self._console.print(f"resumed after epoch {finished} of {epochs}", highlight=False)

    def note(self, text: str) -> None:
        """Print the text."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def epoch(self, row: EpochRow) -> None:
        """Print the mean loss, the top-1 accuracies in percent and the times, in 80 columns."""
        now = time.perf_counter()
        if row.epoch == self._finished + 1:  # an epoch that was resumed began before this process
            self._started = min(self._started, now - row.train_seconds)
        pace = (now - self._started) / (row.epoch - self._finished)
        # 80 columns have room for two accuracies: of the held-out images, if any, instead of the training images.
        trained = f"  train {row.train_top1:.2f}%" if row.val_top1 is None else f"  val {row.val_top1:.2f}%"
        tested = "" if row.test_top1 is None else f"  test {row.test_top1:.2f}%"
        self._console.print(
            f"epoch {row.epoch:>{len(str(self._epochs))}}/{self._epochs}  loss {row.train_loss:.3f}{trained}{tested}  "
            f"{row.train_seconds:.1f} s  left {clock(pace * (self._epochs - row.epoch))}",
            highlight=False,
            soft_wrap=True,
        )


class Bar(Lines):
    """Prints the same lines on a terminal, above a progress bar."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        super().__init__(console)
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
        """Show the bar."""
        super().start(epochs, images, finished)
        self._task = self._bar.add_task("starting", total=epochs * images, completed=finished * images, pace="")
        self._bar.start()

    def step(self, epoch: int, done: int, seconds: float, train_loss: float) -> None:
        """Move the bar."""
        self._bar.update(
            self._task,
            completed=(epoch - 1) * self._images + done,
            pace=f"{done / seconds:,.0f} images/s  loss {train_loss:.3f}  ",
            description=f"epoch {epoch}/{self._epochs}",
        )

    def epoch(self, row: EpochRow) -> None:
        """Print the epoch's line, and move the bar."""
        super().epoch(row)
        self.step(row.epoch, self._images, row.train_seconds, row.train_loss)

    def finish(self) -> None:
        """Remove the bar."""
        self._bar.stop()


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


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss; from 100 hours on, in days."""
    if seconds >= 360_000:
        return f"{seconds / 86_400:.1f} d"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
