from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import CHECKOUT

# For the examples that would take their time.
ARGUMENTS = {
    "benchmark_training.py": ["--images", "192", "--batch-size", "64", "--model", "resnet8_digits", "--json"],
    "train_catalogue.py": ["train", "resnet8_digits", "--epochs", "1", "--hub", "file:hub"],
}


@pytest.mark.parametrize("name", sorted(path.name for path in (CHECKOUT / "examples").glob("*.py")))
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, CHECKOUT / "examples" / name, *ARGUMENTS.get(name, [])],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout
