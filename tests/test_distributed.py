"""torchrun starts two processes on this machine's CPU, which train together over gloo."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.folder import store
from zoo.training import checkpoint
from zoo.training.place import Place

TRAIN = ["-m", "zoo", "train", "resnet8", "--epochs", "6", "--no-amp", "--limit-train", "801", "--set", "lr=0.05"]
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def start(work: Path, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, *words], cwd=work, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return output


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The model folder of two processes, and what they printed."""
    work = tmp_path_factory.mktemp("together")
    output = finish(start(work, *TWO, *TRAIN, "--out", "model", "--push", "--hub", "file:hub"))
    return work / "model", output


def test_two_processes_train_to_the_accuracy_of_one(together: tuple[Path, str], tmp_path: Path) -> None:
    finish(start(tmp_path, *TRAIN, "--out", "model"))
    two, one = store.check(together[0]), store.check(tmp_path / "model")
    assert two.job.processes == 2
    assert one.job.processes == 1
    assert two.results.test_top1 == pytest.approx(one.results.test_top1, abs=6)
    losses = [[row.train_loss for row in store.read_log(path)] for path in (together[0], tmp_path / "model")]
    # The same batches in the same order: only batch norm sees half of each.
    assert losses[0] == pytest.approx(losses[1], rel=0.15)


def test_one_process_speaks_writes_and_publishes_for_both(together: tuple[Path, str]) -> None:
    path, output = together
    lines = output.splitlines()
    assert lines[0].startswith("compile none (auto: ")
    assert [line.split()[1] for line in lines[1:7]] == [f"{n}/6" for n in range(1, 7)]
    assert lines[7].startswith("resnet8_digits: top-1 ")
    assert lines[8].startswith("published as file:hub/resnet8_digits at revision ")
    assert len(lines) == 9
    assert "2 processes" in (path / store.README).read_text()


def test_a_signal_to_torchrun_leaves_a_checkpoint_that_both_go_on_from(
    together: tuple[Path, str], tmp_path: Path
) -> None:
    process = start(tmp_path, *TWO, *TRAIN, "--out", "model")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("compile none")
    assert process.stdout.readline().startswith("epoch 1/6")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert checkpoint.path_in(Place(tmp_path / "model").run).is_file()
    finish(start(tmp_path, *TWO, *TRAIN, "--out", "model", "--resume"))
    resumed, whole = store.read_log(tmp_path / "model"), store.read_log(together[0])
    assert [row.epoch for row in resumed] == [1, 2, 3, 4, 5, 6]
    assert [row.train_loss for row in resumed] == pytest.approx([row.train_loss for row in whole], rel=0.05)
