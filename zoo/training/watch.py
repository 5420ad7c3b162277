"""Who looks on while a training goes on, and how often."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from zoo.errors import TrainingError
from zoo.folder.config import EpochRow


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

    def finish(self) -> None:
        """The training is over, or has failed."""


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

    def finish(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Watch:
    """How often a training is saved and tested, in epochs, and whom it tells. Decides nothing of its weights."""

    save_every: int = 1
    eval_every: int = 1
    report: Report = field(default_factory=Silent)

    def __post_init__(self) -> None:
        for option, every in (("--save-every", self.save_every), ("--eval-every", self.eval_every)):
            if every < 1:
                raise TrainingError(f"{option} should be at least 1, not {every}")
