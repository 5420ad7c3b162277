"""Training in two processes that torchrun starts on one CPU, as one node or two, with the gloo backend."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from zoo import api
from zoo.record import store
from zoo.record.types import require_trained

from .conftest import write_plugin

# The last batch of an epoch has one image, so the second process gets an empty part. At this low learning rate a
# rounding error stays small for three epochs.
TRAIN = ["-m", "zoo", "train", "resnet8", "--epochs", "3", "--limit-train", "801", "--no-amp", "--compile", "none"]
TRAIN += ["--set", "lr=0.01", "--set", "batch_size=32"]
TORCHRUN = ["-m", "torch.distributed.run"]
TWO = [*TORCHRUN, "--standalone", "--nproc-per-node", "2"]


PLUGIN = """
from torch import nn
from zoo.datasets import DIGITS
from zoo.spec import Architecture, Model, Recipe

def build(input_size, num_classes):
    return nn.Sequential(nn.Conv2d(input_size[0], 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, num_classes))

model = Model(Architecture("own", build, {"short": Recipe(epochs=2, batch_size=31)}), DIGITS, parameters=1_490)
"""


def start(work: Path, *words: str, **more: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONUNBUFFERED": "1", **more}
    return subprocess.Popen(
        [sys.executable, *words], cwd=work, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a process, which must succeed; returns its stdout."""
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return output


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder of a training in one process."""
    out = tmp_path_factory.mktemp("alone") / "model"
    settings = {"lr": "0.01", "batch_size": "32"}
    api.train("resnet8", epochs=3, limit_train=801, amp=False, compile="none", settings=settings, threads=1, out=out)
    return out


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The model folder of a training in two processes, and its output."""
    work = tmp_path_factory.mktemp("together")
    output = finish(start(work, *TWO, *TRAIN, "--out", "model", "--push", "--hub", "file:hub"))
    return work / "model", output


def assert_one_training(together: Path, alone: Path) -> None:
    """Two processes leave a complete model folder with nearly the losses of one process.

    Batches and their order are the same. On a CPU batch norm computes its statistics over each process's part of the
    batch, which changes the loss by about 0.5% in the first epoch and 4% in the third.
    """
    records = [require_trained(store.check(path)) for path in (together, alone)]
    assert [record.job.processes for record in records] == [2, 1]
    assert [record.training.batch_norm_images for record in records] == [16, None]
    rows = [store.read_log(path) for path in (together, alone)]
    assert [row.epoch for row in rows[0]] == [1, 2, 3]
    losses = [[row.train_loss for row in log] for log in rows]
    assert losses[0][0] == pytest.approx(losses[1][0], rel=2e-2)
    assert losses[0] == pytest.approx(losses[1], rel=0.1)
    assert sorted(path.name for path in together.parent.glob("model*")) == ["model"]


def test_two_processes_train_as_one(together: tuple[Path, str], alone: Path) -> None:
    assert_one_training(together[0], alone)
    text = (together[0] / store.README).read_text()
    assert "2 processes, batch norm over the 16 images of each process" in text


@pytest.mark.slow
def test_without_batch_norm_two_processes_compute_the_losses_of_one(tmp_path: Path) -> None:
    site = write_plugin(tmp_path / "site", "own-plugin", {"own_digits": "own_plugin:model"})
    (site / "own_plugin.py").write_text(PLUGIN)
    paths = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    words = ["-m", "zoo", "train", "own", "--limit-train", "63", "--no-amp"]  # the last batch has one image
    finish(start(tmp_path, *words, "--out", "single", PYTHONPATH=paths))
    finish(start(tmp_path, *TWO, *words, "--out", "double", PYTHONPATH=paths))
    logs = [store.read_log(tmp_path / name) for name in ("single", "double")]
    assert [row.train_loss for row in logs[0]] == pytest.approx([row.train_loss for row in logs[1]], rel=1e-5)
    single, double = (require_trained(store.check(tmp_path / name)) for name in ("single", "double"))
    assert (double.job.processes, double.training.batch_norm_images) == (2, None)
    assert double.results.test_loss == pytest.approx(single.results.test_loss, rel=1e-4)


@pytest.mark.slow
def test_two_nodes_train_as_one(tmp_path: Path, alone: Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        endpoint = f"localhost:{free.getsockname()[1]}"
    node = [*TORCHRUN, "--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d"]
    nodes = [start(tmp_path, *node, "--rdzv-endpoint", endpoint, *TRAIN, "--out", "model") for _ in range(2)]
    outputs = [finish(process) for process in nodes]
    assert sum("resnet8_digits: top-1 " in output for output in outputs) == 1
    assert_one_training(tmp_path / "model", alone)


@pytest.mark.slow
def test_a_killed_worker_resumes_from_the_checkpoint(tmp_path: Path, alone: Path) -> None:
    process = start(tmp_path, *TWO, "--max-restarts", "2", *TRAIN, "--out", "model", "--resume")
    assert process.stdout is not None
    assert any(line.startswith("epoch 1/3") for line in process.stdout)
    first = next(worker for worker in children(process.pid) if b"RANK=0" in environment(worker))
    os.kill(first, signal.SIGKILL)
    assert "resumed after epoch 1 of 3" in finish(process)
    assert_one_training(tmp_path / "model", alone)


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def environment(process: int) -> list[bytes]:
    return Path(f"/proc/{process}/environ").read_bytes().split(b"\0")


def test_only_one_process_prints_writes_and_publishes(together: tuple[Path, str]) -> None:
    lines = together[1].splitlines()
    assert lines[0].startswith("training resnet8_digits, ")
    assert lines[1].startswith("compile none (")
    assert [line.split()[1] for line in lines[2:5]] == [f"{n}/3" for n in range(1, 4)]
    assert lines[5].startswith("resnet8_digits: top-1 ")
    assert lines[6].startswith("published as file:hub/resnet8_digits at revision ")
    assert len(lines) == 7
