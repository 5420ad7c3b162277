"""Reports of a training: what they are told, and how the terminal shows it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from zoo import plugins
from zoo.errors import TrackerWarning

if TYPE_CHECKING:
    from rich.console import Console

    from zoo.record.types import EpochRow


class Report:
    """Follows a training. Every method does nothing; a report overrides those that it needs."""

    def start(self, epochs: int, images: int, finished: int) -> None:
        """A training of `epochs` epochs of `images` images begins, or continues after `finished` epochs."""

    def note(self, text: str) -> None:
        """A line for a log."""

    def step(self, epoch: int, done: int, seconds: float, train_loss: float) -> None:
        """`done` images of this epoch (from 1) are trained, in `seconds`; called twice a second."""

    def epoch(self, row: EpochRow) -> None:
        """An epoch has ended."""

    def result(self, row: EpochRow) -> None:
        """All epochs have ended: the last one's row once more, now with its test figures."""

    def finish(self) -> None:
        """The training has ended or failed; nothing is called after this."""


@dataclass(frozen=True)
class Watched:
    """What a tracker is told of a run before it begins, or goes on."""

    name: str  # the model's
    job: str  # JSON of everything that decides the weights, as in config.json
    folder: Path  # for what it writes, beside the model folder OUT: `OUT.events`; made by who first writes there


Tracker = Callable[[Watched], Report]


class Reports(Report):
    """A report and trackers, by name. A tracker that fails is left out from then on, with a warning."""

    def __init__(self, report: Report, trackers: Mapping[str, Tracker], watched: Watched) -> None:
        self._report = report
        self._trackers: dict[str, Report] = {}
        for name, tracker in trackers.items():
            try:
                self._trackers[name] = tracker(watched)
            except (Exception, SystemExit) as error:
                _warn(name, error)

    def start(self, epochs: int, images: int, finished: int) -> None:
        """Tell all of them."""
        self._tell(lambda report: report.start(epochs, images, finished))

    def note(self, text: str) -> None:
        """Tell all of them."""
        self._tell(lambda report: report.note(text))

    def step(self, epoch: int, done: int, seconds: float, train_loss: float) -> None:
        """Tell all of them."""
        self._tell(lambda report: report.step(epoch, done, seconds, train_loss))

    def epoch(self, row: EpochRow) -> None:
        """Tell all of them."""
        self._tell(lambda report: report.epoch(row))

    def result(self, row: EpochRow) -> None:
        """Tell all of them."""
        self._tell(lambda report: report.result(row))

    def finish(self) -> None:
        """Tell all of them."""
        self._tell(lambda report: report.finish())

    def _tell(self, call: Callable[[Report], None]) -> None:
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
    """Intervals of checkpoints and test evaluations in epochs, and who is told. Decides nothing of the weights."""

    save_every: int = 1
    eval_every: int = 1
    report: Report = field(default_factory=Report)
    trackers: Mapping[str, Tracker] = field(default_factory=dict)

    def of(self, watched: Watched) -> Reporting:
        """The same for one run: its report also tells the trackers."""
        return replace(self, report=Reports(self.report, self.trackers, watched), trackers={})

    def silent(self) -> Reporting:
        """The same without anyone to tell, for all processes but the first."""
        return replace(self, report=Report(), trackers={})


class Lines(Report):
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

    def epoch(self, row: EpochRow) -> None:
        """Print the epoch's line, in 80 columns: the mean loss, and top-1 on each part of the data."""
        pace = (time.perf_counter() - self._started) / (row.epoch - self._finished)
        # The held-out images say more than those trained on, and a terminal has 80 columns.
        trained = f"  train {row.train_top1:.2f}%" if row.val_top1 is None else f"  val {row.val_top1:.2f}%"
        tested = "" if row.test_top1 is None else f"  test {row.test_top1:.2f}%"
        self._console.print(
            f"epoch {row.epoch:>{len(str(self._epochs))}}/{self._epochs}  loss {row.train_loss:.3f}{trained}{tested}  "
            f"{row.train_seconds:.1f} s  left {clock(pace * (self._epochs - row.epoch))}",
            highlight=False,
            soft_wrap=True,
        )


class Bar(Lines):
    """The same lines on a terminal, with a bar under them that moves within an epoch."""

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
        """Show the bar, where a resumed run stands."""
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
        """Print the epoch's line above the bar, which moves at least so often."""
        super().epoch(row)
        self.step(row.epoch, self._images, row.train_seconds, row.train_loss)

    def finish(self) -> None:
        """Take the bar away; the lines stay."""
        self._bar.stop()


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
