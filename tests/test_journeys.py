"""Random sequences of commands, checked after each step; `make journeys` takes 2,000 steps."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

import zoo
from zoo.hub.local import KEPT, FolderHub
from zoo.hub.resolve import Published
from zoo.record import store
from zoo.record.job import Job
from zoo.record.replace import written_aside
from zoo.record.types import Trained
from zoo.spec import Model
from zoo.training import start
from zoo.training.output import Output
from zoo.training.start import Start

from .conftest import Run
from .journey import Journey, Reference

STEPS = int(os.environ.get("ZOO_JOURNEY_STEPS", "0"))
OFTEN = settings(
    max_examples=STEPS // 40 or 4,  # without ZOO_JOURNEY_STEPS a minute
    stateful_step_count=50 if STEPS else 40,
    derandomize=not STEPS,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return Reference(tmp_path_factory.mktemp("reference"))


@pytest.fixture
def journeys(reference: Reference, tmp_path: Path, run_here: Run, report_every_step: None) -> type[Journey]:
    """Journeys that each begin in an empty folder."""
    numbers = itertools.count()

    class Here(Journey):
        def __init__(self) -> None:
            super().__init__(tmp_path / f"journey{next(numbers)}", reference, run_here)

    return Here


def test_any_sequence_of_commands_leaves_a_consistent_state(
    journeys: type[Journey], capsys: pytest.CaptureFixture[str]
) -> None:
    before = Journey.steps
    run_state_machine_as_test(journeys, settings=OFTEN)
    if STEPS:
        with capsys.disabled():
            print(f"\n{Journey.steps - before:,} steps")


# -- earlier faults, planted again -----------------------------------------------------------------


def relicense_a_new_folder(folder: Path, license: str) -> None:
    """Write the folder again, without the user's files."""
    record = msgspec.structs.replace(store.check(folder), license=license)
    files = store.read_files(folder) | {store.CONFIG: store.encode(record)}
    with written_aside(folder) as aside:
        store.write_files(files, aside)


def finished_and_cleared(output: Output, job: Job) -> Trained | None:
    """Remove the checkpoint of the run, even if it is of another job."""
    record = output._finished(job)
    if record is not None:
        output.clear()
    return record


def newest(hub: FolderHub, name: str, revision: str, files: Iterable[str], *, force_download: bool = False) -> Path:
    """Return the files of the newest revision instead of the resolved one."""
    return hub.path / name / KEPT / hub.revisions(name)[0]


def start_from_the_newest_revision(
    model: Model, address: str, source: Published, earlier: Sequence[Job | None]
) -> Start:
    """Ignore the revision from which the earlier training started."""
    return real_start(model, address, source, [])


class NoLock:
    """A lock that never blocks."""

    def acquire(self, blocking: bool = True) -> bool:
        return True

    def release(self) -> None:
        pass


real_start = start.load_start
FAULTS: dict[str, tuple[str, object, str]] = {
    "a push with a license removes the user's files": (
        "zoo.hub.publish.relicense",
        relicense_a_new_folder,
        r"notes\.txt|cat\.txt",
    ),
    "a finished training removes the checkpoint of another job": (
        "zoo.training.output.Output.finished",
        finished_and_cleared,
        r"checkpoint\.pt",
    ),
    "files are fetched from the newest revision": (
        "zoo.hub.local.FolderHub.fetch",
        newest,
        "has SHA-256|has another",
    ),
    "a start is identified by its address alone": (
        "zoo.training.start.load_start",
        start_from_the_newest_revision,
        "it has start SHA-256",
    ),
    "two trainings run at once": ("zoo.training.run._RUNNING", NoLock(), "a second training at once was not refused"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_the_journeys_find_a_planted_fault(
    journeys: type[Journey], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    target, replacement, finding = FAULTS[fault]
    monkeypatch.setattr(target, replacement)
    once = settings(OFTEN, max_examples=200, stateful_step_count=30, derandomize=True, phases=[Phase.generate])
    with pytest.raises((AssertionError, OSError, zoo.ZooError), match=finding):
        run_state_machine_as_test(journeys, settings=once)
