"""Random sequences of commands, checked after each step; `make journeys` takes 2,000 steps."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

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
