"""Whatever people do one after another, everybody has what they should have; `make journeys` takes 2,000 steps."""

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
from zoo.training import origins
from zoo.training.output import Output
from zoo.training.start import Start

from .conftest import Run
from .journey import Journey, Reference

STEPS = int(os.environ.get("ZOO_JOURNEY_STEPS", "0"))
OFTEN = settings(
    max_examples=STEPS // 40 or 6,
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
def journeys(reference: Reference, tmp_path: Path, run_here: Run, monkeypatch: pytest.MonkeyPatch) -> type[Journey]:
    """Journeys that begin in empty folders of their own."""
    monkeypatch.setattr("zoo.training.loop.GLANCE_SECONDS", 0.0)  # a report hears of every step
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


# -- faults that were there once, put back ---------------------------------------------------------


def relicense_a_new_folder(folder: Path, license: str) -> None:
    """Writes the folder anew, without the files that are not the zoo's."""
    record = msgspec.structs.replace(store.check(folder), license=license)
    files = store.read_files(folder) | {store.CONFIG: store.encode(record)}
    with written_aside(folder) as aside:
        store.write_files(files, aside)


def finished_and_cleared(output: Output, job: Job) -> Trained | None:
    """Removes the checkpoint in the folder of a run, of whatever job it is."""
    if (config := output._finished(job)) is not None:
        output.clear()
    return config


def newest(hub: FolderHub, name: str, revision: str, files: Iterable[str], *, anew: bool = False) -> Path:
    """Gives the files of the newest revision, whichever was resolved."""
    return hub.path / name / KEPT / hub.revisions(name)[0]


def start_from_what_is_there_now(model: Model, address: str, source: Published, begun: Sequence[Job | None]) -> Start:
    """Knows nothing of the revision that a training began with."""
    return real_start(model, address, source, [])


class NoLock:
    """Is held by everybody at once."""

    def acquire(self, blocking: bool = True) -> bool:
        return True

    def release(self) -> None:
        pass


real_start = origins.start
FAULTS: dict[str, tuple[str, object, str]] = {
    "a push with a license removes a person's files": (
        "zoo.hub.publish.relicense",
        relicense_a_new_folder,
        r"notes\.txt|cat\.txt",
    ),
    "a finished training removes another's checkpoint": (
        "zoo.training.output.Output.finished",
        finished_and_cleared,
        r"checkpoint\.pt",
    ),
    "files are fetched from the newest revision": (
        "zoo.hub.local.FolderHub.fetch",
        newest,
        "has SHA-256|has another",
    ),
    "a start is known by its address alone": (
        "zoo.training.origins.start",
        start_from_what_is_there_now,
        "it has start SHA-256",
    ),
    "two trainings run at once": ("zoo.training.run._RUNNING", NoLock(), "a second training at once was not refused"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(journeys: type[Journey], monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    target, replacement, finding = FAULTS[fault]
    monkeypatch.setattr(target, replacement)
    once = settings(OFTEN, max_examples=200, stateful_step_count=30, derandomize=True, phases=[Phase.generate])
    with pytest.raises((AssertionError, OSError, zoo.ZooError), match=finding):
        run_state_machine_as_test(journeys, settings=once)
