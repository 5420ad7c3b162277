"""Files and words that chance has written, by the thousand: `make fuzz` asks more often, and of others each time."""

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
def apart() -> Iterator[ProcessPoolExecutor]:
    """A process with bounds on its memory and time."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=fuzz.bounded) as pool:
        yield pool


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the catalogue's model of digits."""
    checkout = Path(__file__).resolve().parent.parent
    folder = tmp_path_factory.mktemp("fuzz")
    return Path(shutil.copytree(checkout / "hub_cards" / fuzz.NAME, folder / fuzz.NAME))


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_random_input_is_answered_correctly_or_refused_in_one_line(
    apart: ProcessPoolExecutor, model: Path, kind: str
) -> None:
    apart.submit(fuzz.fuzz, kind, model, CASES or 250, anew=bool(CASES)).result()
