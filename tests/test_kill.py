"""After a command is killed, the next command recovers and gives the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from zoo import api

from .conftest import CHECKOUT, Run

ARGUMENTS = ["train", "resnet8_digits", "--epochs", "4", "--no-amp", "--limit-train", "640"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The weights of an uninterrupted training."""
    out = tmp_path_factory.mktemp("undisturbed") / "model"
    api.train("resnet8_digits", epochs=4, amp=False, limit_train=640, out=out)
    return (out / "model.safetensors").read_bytes()


def test_a_killed_training_is_resumed_to_the_same_bytes(tmp_path: Path, run_here: Run, undisturbed: bytes) -> None:
    out = tmp_path / "out" / "model"
    command = [sys.executable, "-m", "zoo", *ARGUMENTS, "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"}) as process:
        assert process.stdout is not None
        assert any(line.startswith("epoch 2/4") for line in process.stdout)
        process.kill()
    assert process.returncode == -9
    assert not out.exists()
    finished = run_here(*ARGUMENTS, "--out", out, "--resume")
    assert finished.returncode == 0, finished.stderr
    assert "resumed after epoch" in finished.stdout
    assert (out / "model.safetensors").read_bytes() == undisturbed
    assert [path.name for path in out.parent.iterdir()] == ["model"]


# N in COMMAND=N: the suite kills before every N-th file operation; ZOO_KILL_EVERY=1 (make test-kill) before each.
@pytest.mark.parametrize(
    "kills",
    [
        {"train": 18, "push": 20, "pull": 13},
        pytest.param({"overwrite": 15, "seeds": 15}, marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_the_next_command_recovers_from_a_kill_before_any_file_operation(tmp_path: Path, kills: dict[str, int]) -> None:
    words = [f"{command}={os.environ.get('ZOO_KILL_EVERY', every)}" for command, every in kills.items()]
    done = subprocess.run(
        [sys.executable, "-m", "tests.killed", tmp_path, *words],
        capture_output=True, text=True, cwd=CHECKOUT, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(outcome["killed"] and outcome["again"] and outcome["same"] for outcome in outcomes), done.stderr
    times = Counter(outcome["command"] for outcome in outcomes)
    assert all(times[command] >= 3 for command in kills)
