"""Experiment trackers: TensorBoard, Weights & Biases, MLflow, trackio, and the example in docs/trackers.md."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import struct
import tomllib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from zoo import api
from zoo.errors import Interrupted, TrackerWarning, TrainingError
from zoo.record import store

from .conftest import CHECKOUT, Run
from .test_train import StopAfter

PAGE = (CHECKOUT / "docs" / "trackers.md").read_text()
BLOCKS = {code.splitlines()[0].removeprefix("# "): code for code in re.findall(r"```\w+\n(.*?)```", PAGE, re.DOTALL)}
Install = Callable[..., Path]
Curves = dict[str, dict[int, float]]  # values by metric and epoch
METRICS = {"lr": "lr", "train_seconds": "seconds/train"} | {
    f"{part}_{figure}": f"{figure}/{part}" for figure in ("loss", "top1") for part in ("train", "val", "test")
}

FAILING = """
class Failing:
    def __init__(self, watched):
        {init}
    def start(self, *what): {start}
    def note(self, *what): pass
    def step(self, *what): pass
    def epoch(self, *what): print("told of an epoch")
    def finish(self, *what): pass
    def result(self, *what): pass
"""


@pytest.fixture
def jsonl(fake_plugin: Install) -> None:
    """The tracker in the documentation, installed as a plugin."""
    declared = tomllib.loads(BLOCKS["zoo-jsonl/pyproject.toml"])["project"]["entry-points"]["zoo.reports"]
    fake_plugin("zoo-jsonl", declared, "zoo_jsonl", BLOCKS["zoo-jsonl/zoo_jsonl.py"], group="zoo.reports")


def train(out: Path, *track: str, **options: Any) -> api.Trained:
    return api.train(
        "resnet8_digits", epochs=3, limit_train=128, save_every=100, out=out, amp=False, track=track, **options
    )


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]


def rows(lines: list[dict[str, object]]) -> list[dict[str, object]]:
    return [line for line in lines if "epoch" in line]


@pytest.mark.usefixtures("jsonl")
def test_the_tracker_in_the_documentation_gets_the_job_every_epoch_and_the_result(tmp_path: Path) -> None:
    trained = train(tmp_path / "out", "jsonl")
    written = lines(tmp_path / "out.events")
    assert written[0]["begun"] == "resnet8_digits"
    assert written[0]["job"] == json.loads((trained.folder / "config.json").read_text())["job"]
    assert str(written[1]["note"]).startswith("training resnet8_digits, recipe quick: 3 epochs")
    assert str(written[2]["note"]).startswith("compile ")
    assert written[3] == {"epochs": 3, "images": 128, "finished": 0}
    *before, last, result = rows(written)
    log = [msgspec.structs.asdict(row) for row in store.read_log(trained.folder)]
    assert [*before, result] == log
    assert last == {**log[-1], "test_loss": None, "test_top1": None}


@pytest.mark.usefixtures("jsonl")
def test_a_tracker_does_not_change_the_weights(tmp_path: Path) -> None:
    tracked, untracked = train(tmp_path / "told", "jsonl"), train(tmp_path / "untold")
    assert tracked.config.weights.sha256 == untracked.config.weights.sha256
    assert not (tmp_path / "untold.events").exists()


@pytest.mark.usefixtures("jsonl")
def test_every_seed_has_a_tracker_of_its_own(tmp_path: Path) -> None:
    api.train("resnet8_digits", epochs=1, limit_train=128, seeds=2, out=tmp_path / "out", amp=False, track=["jsonl"])
    for folder, seed in (("out.events", 0), ("out-seed1.events", 1)):
        written = lines(tmp_path / folder)
        assert isinstance(written[0]["job"], dict)
        assert written[0]["job"]["seed"] == seed
        assert len(rows(written)) == 2


@pytest.mark.parametrize(
    ("init", "start", "reason"),
    [
        ("raise OSError('no server')", "pass", "OSError: no server"),
        ("raise SystemExit(3)", "pass", "SystemExit: 3"),
        ("pass", "raise ValueError('no epochs')", "ValueError: no epochs"),
    ],
)
def test_a_failing_tracker_is_one_warning_and_the_training_continues(
    fake_plugin: Install, jsonl: None, tmp_path: Path, init: str, start: str, reason: str
) -> None:
    code = FAILING.format(init=init, start=start)
    fake_plugin("zoo-failing", {"failing": "zoo_failing:Failing"}, "zoo_failing", code, group="zoo.reports")
    message = (
        rf"tracker failing fails \({re.escape(reason)}\) at .*zoo_failing\.py:\d+; the training goes on without it"
    )
    with pytest.warns(TrackerWarning, match=message) as warned:
        trained = train(tmp_path / "out", "failing", "jsonl")
    assert [warning.category for warning in warned] == [TrackerWarning]
    assert store.check(trained.folder) == trained.config
    assert len(rows(lines(tmp_path / "out.events"))) == 4  # the other tracker continues


@pytest.mark.usefixtures("jsonl")
def test_an_unknown_tracker_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match="there is no tracker 'neptune'; expected one of tensorboard, wandb, mlflow, trackio, jsonl"
    ):
        train(tmp_path / "out", "neptune")
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow", "trackio"])
def test_a_tracker_that_is_not_installed_names_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TrainingError, match=rf"pip install 'residual-zoo\[{name}\]'"):
        train(tmp_path / "out", name)


@pytest.fixture
def tensorboard() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorBoard warns when it is imported
        pytest.importorskip("tensorboard")
        import torch.utils.tensorboard.writer  # noqa: F401


def tensorboard_events(folder: Path) -> Any:
    """What TensorBoard reads in a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def tensorboard_curves(folder: Path) -> list[Curves]:
    """The curves in TensorBoard's event files, without a step twice."""
    events = tensorboard_events(folder)
    series = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    assert all(before.step < after.step for tag in series.values() for before, after in itertools.pairwise(tag))
    return [{tag: {point.step: point.value for point in values} for tag, values in series.items()}]


def logged(folder: Path) -> dict[str, object]:
    """The curves of a model's log, within the precision of float32, in which TensorBoard stores them."""
    curves = {
        name: {row.epoch: value for row in store.read_log(folder) if (value := getattr(row, column)) is not None}
        for column, name in METRICS.items()
    }
    return {name: pytest.approx(values) for name, values in curves.items() if values}


@pytest.mark.usefixtures("tensorboard")
def test_overwriting_a_training_removes_its_old_curve(run_here: Run, tmp_path: Path) -> None:
    train(tmp_path / "out", "tensorboard")
    words = ["train", "resnet8", "--epochs", "1", "--limit-train", "128", "--no-amp", "--out", tmp_path / "out"]
    finished = run_here(*words, "--overwrite", "--track", "tensorboard")
    assert finished.returncode == 0, finished.stderr
    assert tensorboard_curves(tmp_path / "out.events") == [logged(tmp_path / "out")]


@pytest.mark.usefixtures("tensorboard")
def test_the_command_in_the_documentation_writes_event_files_with_the_job(run_here: Run, tmp_path: Path) -> None:
    (line,) = re.findall(r"^zoo train .*$", PAGE, re.MULTILINE)
    finished = run_here(*shlex.split(line)[1:])
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    folder = tmp_path / "work" / "nets"
    assert tensorboard_curves(folder / "resnet8_digits.events") == [logged(folder / "resnet8_digits")]
    (job,) = tensorboard_events(folder / "resnet8_digits.events").Tensors("job/text_summary")
    assert b'"recipe_name": "quick"' in job.tensor_proto.string_val[0]


def wandb_curves(folder: Path) -> list[Curves]:
    """The curves of every run in the files of Weights & Biases, oldest first, by the id of the run."""
    from wandb.proto.wandb_internal_pb2 import Record

    runs: dict[str, Curves] = {}
    for path in sorted(folder.glob("wandb/*/*.wandb"), key=lambda path: path.stat().st_mtime):
        for data in leveldb_records(path.read_bytes()[7:]):
            items = Record.FromString(data).history.item
            values = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in items}
            for name in values.keys() & METRICS.values():
                runs.setdefault(path.stem, {}).setdefault(name, {})[values["_step"]] = values[name]
    return list(runs.values())


def leveldb_records(data: bytes) -> Iterator[bytes]:
    """The records of a file in LevelDB's log format, after a file header of seven bytes."""
    position, record = 0, b""
    while position < len(data):
        left = 2**15 - (position + 7) % 2**15
        if left < 7:
            position += left
            continue
        length, kind = struct.unpack("<HB", data[position + 4 : position + 7])
        record += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield record
            record = b""


def mlflow_curves(folder: Path) -> list[Curves]:
    """The curves of every run in MLflow's database, oldest first."""
    from mlflow import MlflowClient

    client = MlflowClient()
    (experiment,) = (candidate for candidate in client.search_experiments() if candidate.name == "zoo")
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    assert all(run.data.params["recipe.lr"] for run in runs)
    return [
        {
            name: {point.step: point.value for point in client.get_metric_history(run.info.run_id, name)}
            for name in run.data.metrics
        }
        for run in runs
    ]


def trackio_curves(folder: Path) -> list[Curves]:
    """The curves of every run of this training in trackio's database, which is one for the whole process."""
    from trackio.sqlite_storage import SQLiteStorage

    runs: list[Curves] = []
    for name in SQLiteStorage.get_runs("zoo"):
        if name != (folder / "trackio.id").read_text():
            continue
        curves: Curves = {}
        for row in SQLiteStorage.get_logs("zoo", name):
            for metric in row.keys() & METRICS.values():
                curves.setdefault(metric, {})[row["step"]] = row[metric]
        runs.append(curves)
    return runs


READERS = {
    "tensorboard": tensorboard_curves,
    "wandb": wandb_curves,
    "mlflow": mlflow_curves,
    "trackio": trackio_curves,
}


@pytest.fixture(params=READERS)
def tracker(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A tracker that writes to this folder, without a network."""
    name = str(request.param)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(name, reason=f"needs {name}: make test-extras")
    return name


@pytest.mark.usefixtures("report_every_step")
@pytest.mark.filterwarnings("ignore")  # the libraries warn of their own dependencies
@pytest.mark.parametrize("settings", [{}, {"val_images": "100"}], ids=["without validation", "with validation"])
def test_a_resumed_training_is_one_curve_with_the_numbers_of_the_log(
    tracker: str, tmp_path: Path, settings: dict[str, str]
) -> None:
    with pytest.raises(Interrupted):  # in the third epoch, after the first of its two steps
        train(tmp_path / "out", tracker, settings=settings, report=StopAfter(5))
    trained = train(tmp_path / "out", tracker, settings=settings, resume=True)
    (curves,) = READERS[tracker](tmp_path / "out.events")
    assert curves == logged(trained.folder)
    assert ("top1/val" in curves) == bool(settings)
