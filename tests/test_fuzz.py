"""Random input. `make fuzz` runs more cases, which differ from run to run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from . import fuzz

CASES = int(os.environ.get("ZOO_FUZZ_CASES", "0"))


@pytest.fixture(scope="module")
def worker() -> Iterator[ProcessPoolExecutor]:
    """A process with limited memory and time."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=fuzz.bounded) as pool:
        yield pool


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the catalogue's model of digits."""
    checkout = Path(__file__).resolve().parent.parent
    folder = tmp_path_factory.mktemp("fuzz")
    return Path(shutil.copytree(checkout / "hub_cards" / fuzz.NAME, folder / fuzz.NAME))


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_random_input_gives_a_correct_answer_or_an_error(worker: ProcessPoolExecutor, model: Path, kind: str) -> None:
    worker.submit(fuzz.fuzz, kind, model, CASES or 250, randomize=bool(CASES)).result()
