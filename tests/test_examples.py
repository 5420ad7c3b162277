from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from .conftest import CHECKOUT

# For the examples that would take their time; the catalogue's queue has nothing small.
ARGUMENTS = {
    "benchmark_training.py": ["--images", "192", "--batch-size", "64", "--model", "resnet8_digits", "--json"],
    "train_catalogue.py": ["--help"],
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(path.name for path in (CHECKOUT / "examples").glob("*.py")))
def test_an_example_runs_from_a_plain_checkout(name: str, bare_python: Path, tmp_path: Path) -> None:
    finished = subprocess.run(
        [bare_python, CHECKOUT / "examples" / name, *ARGUMENTS.get(name, [])],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={variable: value for variable, value in os.environ.items() if variable != "PYTHONPATH"},
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout
