"""Reports of a training: who is told, how often, and how the terminal shows it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from zoo.errors import TrackerWarning, TrainingError
from zoo.folder.config import EpochRow

if TYPE_CHECKING:
    from rich.console import Console


class Report(Protocol):
    """Whom a training tells how it goes."""

    def start(self, epochs: int, images: int, finished: int) -> None:
        """A training of `epochs` epochs of `images` images begins, or goes on after `finished` of them."""

    def note(self, text: str) -> None:
        """Something that is worth a line of a log."""

    def step(self, epoch: int, done: int, seconds: float, train_loss: float) -> None:
        """`done` images of this epoch (from 1) are trained, in `seconds`; called twice a second."""

    def epoch(self, row: EpochRow) -> None:
        """An epoch is over."""

    def result(self, row: EpochRow) -> None:
        """All epochs are over: the last one's row once more, with what the test set says of the net."""

    def finish(self) -> None:
        """The training is over, or has failed; nothing more is told."""


class Silent:
    """Tells nobody."""

    def start(self, epochs: int, images: int, finished: int) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def step(self, epoch: int, done: int, seconds: float, train_loss: float) -> None:
        """Nothing."""

    def epoch(self, row: EpochRow) -> None:
        """Nothing."""

    def result(self, row: EpochRow) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Watched:
    """What a tracker is told of a run before it begins, or goes on."""

    name: str  # the model's
    job: str  # JSON of everything that decides the weights, as in config.json
    folder: Path  # for what it writes, beside the model folder OUT: `OUT.events`; made by who first writes there


Tracker = Callable[[Watched], Report]


class Audience:
    """Tells whoever shows the training, and trackers, each by its name; one that fails is told nothing more."""

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
        self._tell(lambda one: one.start(epochs, images, finished))

    def note(self, text: str) -> None:
        """Tell all of them."""
        self._tell(lambda one: one.note(text))

    def step(self, epoch: int, done: int, seconds: float, train_loss: float) -> None:
        """Tell all of them."""
        self._tell(lambda one: one.step(epoch, done, seconds, train_loss))

    def epoch(self, row: EpochRow) -> None:
        """Tell all of them."""
        self._tell(lambda one: one.epoch(row))

    def result(self, row: EpochRow) -> None:
        """Tell all of them."""
        self._tell(lambda one: one.result(row))

    def finish(self) -> None:
        """Tell all of them."""
        self._tell(lambda one: one.finish())

    def _tell(self, call: Callable[[Report], None]) -> None:
        call(self._report)
        for name, tracker in list(self._trackers.items()):
            try:
                call(tracker)
            except (Exception, SystemExit) as error:
                del self._trackers[name]
                _warn(name, error)


def _warn(name: str, error: BaseException) -> None:
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    warnings.warn(TrackerWarning(f"tracker {name} fails ({reason}); the training goes on without it"), stacklevel=2)


@dataclass(frozen=True)
class Watch:
    """How often a training is saved and tested, in epochs, and whom it tells. Decides nothing of its weights."""

    save_every: int = 1
    eval_every: int = 1
    report: Report = field(default_factory=Silent)
    trackers: Mapping[str, Tracker] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for option, every in (("--save-every", self.save_every), ("--eval-every", self.eval_every)):
            if every < 1:
                raise TrainingError(f"{option} should be at least 1, not {every}")

    def tracked(self, watched: Watched) -> Watch:
        """The same for one run, with a report that tells its trackers too."""
        return replace(self, report=Audience(self.report, self.trackers, watched), trackers={})


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
