"""Experiment trackers: TensorBoard, Weights & Biases, MLflow, trackio, and those of plugins.

A plugin declares a tracker as an entry point of the group `zoo.reports`:

    [project.entry-points."zoo.reports"]
    jsonl = "zoo_jsonl:JsonLines"

The value is called with the `Watched` of a run and returns a `Report`. Its module is imported when the tracker is used.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from zoo.errors import TrainingError
from zoo.plugins import Group
from zoo.training.reporting import Report, Tracker, Watched

if TYPE_CHECKING:
    import trackio
    import wandb
    from torch.utils.tensorboard.writer import SummaryWriter

    from zoo.record.types import EpochRow

PROJECT = "zoo"  # the project of Weights & Biases and trackio, the experiment of MLflow
MLFLOW_PARAMETERS = 100  # MLflow's limit for one call

# Metric names by column of the log. Dashboards group metrics by the part before the slash.
METRICS = {
    "lr": "lr",
    "train_loss": "loss/train",
    "val_loss": "loss/val",
    "test_loss": "loss/test",
    "train_top1": "top1/train",
    "val_top1": "top1/val",
    "test_top1": "top1/test",
    "train_seconds": "seconds/train",
}


def metrics(row: EpochRow, only: str = "") -> dict[str, float]:
    """The metrics of an epoch by name, from the columns that start with `only` and have a value."""
    columns = {name: getattr(row, column) for column, name in METRICS.items() if column.startswith(only)}
    return {name: value for name, value in columns.items() if value is not None}


class Metrics(Report):
    """A report that logs the metrics of every epoch, with the epoch as the step."""

    def log(self, values: dict[str, float], epoch: int) -> None:
        """Log metrics of an epoch. Called after `start`."""
        raise NotImplementedError

    def epoch(self, row: EpochRow) -> None:
        """Log the epoch's metrics."""
        self.log(metrics(row), row.epoch)

    def result(self, row: EpochRow) -> None:
        """Log the test set's metrics."""
        self.log(metrics(row, only="test"), row.epoch)


class TensorBoard(Metrics):
    """Writes TensorBoard event files: a point for each epoch and metric, the job and the notes as text."""

    def __init__(self, watched: Watched) -> None:
        self._folder = watched.folder
        self._notes = [f"    {watched.name} {watched.job}"]
        self._writer: SummaryWriter | None = None

    def start(self, epochs: int, images: int, finished: int) -> None:
        """Open a new event file. TensorBoard discards points of earlier files from its first step on."""
        from torch.utils.tensorboard.writer import SummaryWriter

        first = finished + 1 if finished else 0  # texts have step 0
        self._writer = SummaryWriter(str(self._folder), purge_step=first if self._folder.exists() else None)
        for number, text in enumerate(self._notes):
            self._writer.add_text("note" if number else "job", text, finished)

    def note(self, text: str) -> None:
        """Keep the note until the file is opened."""
        self._notes.append(text)

    def log(self, values: dict[str, float], epoch: int) -> None:
        """Write the points and flush them."""
        assert self._writer is not None
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def finish(self) -> None:
        """Close the file if it was opened."""
        if self._writer is not None:
            self._writer.close()


class Dashboard(Metrics):
    """Logs to a run of Weights & Biases or trackio, which have the same methods. `start` sets the run."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._run: wandb.Run | trackio.Run | None = None

    def log(self, values: dict[str, float], epoch: int) -> None:
        """Log the metrics."""
        assert self._run is not None
        self._run.log(values, step=epoch)

    def finish(self) -> None:
        """Finish the run if it was started."""
        if self._run is not None:
            self._run.finish()


class WeightsAndBiases(Dashboard):
    """Logs to Weights & Biases, to the project WANDB_PROJECT or `zoo`. WANDB_MODE=offline is supported."""

    def start(self, epochs: int, images: int, finished: int) -> None:
        """Start a run. A resumed training continues its run."""
        import wandb

        run_id = _run_id(self._watched.folder, "wandb")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=self._watched.folder.stem,
            config=_config(self._watched),
            dir=self._watched.folder,
            id=run_id.read_text() if finished and run_id.is_file() else None,
            resume="allow",
            settings=wandb.Settings(console="off"),  # leaves sys.stdout as it is
        )
        run_id.write_text(self._run.id)


class MLflow(Metrics):
    """Logs to MLflow at MLFLOW_TRACKING_URI, to the experiment MLFLOW_EXPERIMENT_NAME or `zoo`."""

    def __init__(self, watched: Watched) -> None:
        from mlflow import MlflowClient

        self._watched = watched
        self._client = MlflowClient()
        self._run = ""

    def start(self, epochs: int, images: int, finished: int) -> None:
        """Start a run. A resumed training continues its run."""
        from mlflow.entities import Param

        run_id = _run_id(self._watched.folder, "mlflow")
        if finished and run_id.is_file():
            self._run = run_id.read_text()
            self._client.update_run(self._run, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        experiment = self._client.get_experiment_by_name(name)
        experiment_id = experiment.experiment_id if experiment else self._client.create_experiment(name)
        self._run = self._client.create_run(experiment_id, run_name=self._watched.folder.stem).info.run_id
        parameters = [Param(name, str(value)) for name, value in _flat(_config(self._watched)).items()]
        for first in range(0, len(parameters), MLFLOW_PARAMETERS):
            self._client.log_batch(self._run, params=parameters[first : first + MLFLOW_PARAMETERS])
        run_id.write_text(self._run)

    def log(self, values: dict[str, float], epoch: int) -> None:
        """Log the metrics."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self._client.log_batch(self._run, metrics=[Metric(name, value, now, epoch) for name, value in values.items()])

    def finish(self) -> None:
        """End the run if it was started."""
        if self._run:
            self._client.set_terminated(self._run)


class Trackio(Dashboard):
    """Logs to the project `zoo` of trackio, in its local database or the Space TRACKIO_SPACE_ID."""

    def start(self, epochs: int, images: int, finished: int) -> None:
        """Start a run. A resumed training continues its run, which trackio identifies by name."""
        import trackio

        run_id = _run_id(self._watched.folder, "trackio")
        is_resumed = finished > 0 and run_id.is_file()
        name = run_id.read_text() if is_resumed else f"{self._watched.folder.stem}-{secrets.token_hex(3)}"
        self._run = trackio.init(
            project=PROJECT, name=name, config=_config(self._watched), resume="allow" if is_resumed else "never"
        )
        run_id.write_text(name)


def _run_id(folder: Path, tracker: str) -> Path:
    """The file with the id of a tracker's run, for a resumed training to continue it."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{tracker}.id"


def _config(watched: Watched) -> dict[str, Any]:
    return {"model": watched.name, **json.loads(watched.job)}


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level with dotted names (`recipe.lr`), for MLflow."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


TRACKERS: Final = Group[Tracker](
    "zoo.reports",
    "tracker",
    "a function or a class that is called with a zoo.plugin.Watched and returns a zoo.plugin.Report",
    own={  # each name is also that of its module and of the zoo's extra that installs it
        "tensorboard": f"{__name__}:TensorBoard",
        "wandb": f"{__name__}:WeightsAndBiases",
        "mlflow": f"{__name__}:MLflow",
        "trackio": f"{__name__}:Trackio",
    },
    unknown=TrainingError,
)


def trackers(names: Iterable[str]) -> dict[str, Tracker]:
    """Load trackers by name; repeated names are loaded once.

    Raises:
        TrainingError: There is no such tracker, or its package is not installed.
        PluginError: A plugin's tracker can't be imported or called.
    """
    names = list(dict.fromkeys(names))
    for name in names:
        if name in TRACKERS.own and importlib.util.find_spec(name) is None:
            raise TrainingError(f"tracker {name} needs {name}: pip install 'residual-zoo[{name}]'")
    return {name: TRACKERS.load(name) for name in names}
