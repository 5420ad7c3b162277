"""Who looks on while a training goes on, and how often."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from zoo.errors import TrackerWarning, TrainingError
from zoo.record.types import EpochRow


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
