"""Which trackers there are: the zoo's own, and entry points of the group `zoo.reports`, named as the tracker.

    [project.entry-points."zoo.reports"]
    jsonl = "zoo_jsonl:JsonLines"

The value is called with the `Watched` of a run and returns its `Report` (`zoo.training.reporting`). A tracker's module
is imported when it is asked for.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from zoo.errors import TrainingError
from zoo.plugins import Group
from zoo.record.types import EpochRow
from zoo.training.reporting import Report, Tracker, Watched

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

TRACKERS: Final = Group[Tracker](
    "zoo.reports",
    "tracker",
    "a function or a class that is called with a zoo.plugin.Watched and returns a zoo.plugin.Report",
    own={"tensorboard": "zoo.training.trackers:TensorBoard"},  # each is an extra, and needs a module, of its name
    unknown=TrainingError,
)


def trackers(wanted: Iterable[str]) -> dict[str, Tracker]:
    """The trackers of these names.

    Raises TrainingError where there is none of a name, or it is not installed, PluginError where a plugin's can't be
    used.
    """
    names = list(dict.fromkeys(wanted))
    for name in names:
        if name in TRACKERS.own and importlib.util.find_spec(name) is None:
            raise TrainingError(f"tracker {name} needs {name}: pip install 'residual-zoo[{name}]'")
    return {name: TRACKERS.load(name) for name in names}


# TensorBoard shows the tags that begin alike beside one another.
TAGS = {
    "lr": "lr",
    "train_loss": "loss/train",
    "val_loss": "loss/val",
    "test_loss": "loss/test",
    "train_top1": "top1/train",
    "val_top1": "top1/val",
    "test_top1": "top1/test",
    "train_seconds": "seconds/train",
}


class TensorBoard(Report):
    """A point an epoch of all that the log has; its steps are epochs."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._notes = [f"    {watched.name} {watched.job}"]
        self._writer: SummaryWriter | None = None

    def start(self, epochs: int, images: int, finished: int) -> None:
        """Open a file of its own. What earlier ones have of the epochs that are to come, readers leave out."""
        from torch.utils.tensorboard.writer import SummaryWriter

        folder = self._watched.folder
        first = finished + 1 if finished else 0  # texts stand at 0
        self._writer = SummaryWriter(str(folder), purge_step=first if folder.exists() else None)
        for number, text in enumerate(self._notes):
            self._writer.add_text("note" if number else "job", text, finished)

    def note(self, text: str) -> None:
        """Keep it for the file."""
        self._notes.append(text)

    def epoch(self, row: EpochRow) -> None:
        """Write its points, so that they can be looked at."""
        assert self._writer is not None
        _add(self._writer, row)
        self._writer.flush()

    def result(self, row: EpochRow) -> None:
        """Write what the test set says."""
        assert self._writer is not None
        _add(self._writer, row, only="test")

    def finish(self) -> None:
        """Close the file, where there is one."""
        if self._writer is not None:
            self._writer.close()


def _add(writer: SummaryWriter, row: EpochRow, only: str = "") -> None:
    for name, tag in TAGS.items():
        if name.startswith(only) and (value := getattr(row, name)) is not None:
            writer.add_scalar(tag, value, row.epoch)
