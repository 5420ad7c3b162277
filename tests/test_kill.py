"""Nothing is lost: a real process, really killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import CHECKOUT

ARGUMENTS = ["-m", "zoo", "train", "resnet8_digits", "--epochs", "8", "--set", "lr=0.05"]


def start(out: Path, *more: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    return subprocess.Popen(
        [sys.executable, *ARGUMENTS, "--out", str(out), *more], stdout=subprocess.PIPE, text=True, env=environment
    )


def until(process: subprocess.Popen[str], beginning: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(beginning):
            return
    raise AssertionError(f"the training ended before it printed {beginning!r}")


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("undisturbed") / "model"
    finish(start(out))
    return (out / "model.safetensors").read_bytes()


def test_a_training_killed_with_9_and_resumed_ends_with_the_same_bytes(tmp_path: Path, undisturbed: bytes) -> None:
    out = tmp_path / "model"
    for epoch in ("2/8", "5/8"):
        process = start(out, "--resume")
        until(process, f"epoch {epoch}")
        process.kill()
        process.communicate()
        assert not out.exists()
    assert "resumed after epoch" in finish(start(out, "--resume"))
    assert (out / "model.safetensors").read_bytes() == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("number", "code"), [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 143)]
)
def test_a_signal_ends_with_a_checkpoint_and_says_how_to_go_on(
    tmp_path: Path, undisturbed: bytes, number: signal.Signals, code: int
) -> None:
    out = tmp_path / "model"
    process = start(out)
    until(process, "epoch 3/8")
    process.send_signal(number)
    process.communicate()
    assert process.returncode == code
    finish(start(out, "--resume"))
    assert (out / "model.safetensors").read_bytes() == undisturbed


# Every so many-th operation, so that the suite stays short; ZOO_KILL_EVERY=1 (make test-kill) is every one.
@pytest.mark.parametrize(
    ("command", "every"),
    [
        ("train", 15),
        pytest.param("overwrite", 15, marks=pytest.mark.slow),
        pytest.param("seeds", 15, marks=pytest.mark.slow),
        ("push", 7),
        ("pull", 7),
    ],
)
def test_killed_before_any_file_operation_the_next_command_makes_it_good(
    tmp_path: Path, command: str, every: int
) -> None:
    every = int(os.environ.get("ZOO_KILL_EVERY", every))
    done = subprocess.run(
        [sys.executable, "-m", "tests.killed", command, str(tmp_path), "--every", str(every)],
        capture_output=True, text=True, cwd=CHECKOUT, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(outcomes) >= 3
    for one in outcomes:
        assert one == {"operation": one["operation"], "killed": True, "again": True, "same": True}, done.stderr
