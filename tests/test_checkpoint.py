from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from zoo.errors import TrainingError
from zoo.folder.config import EpochRow
from zoo.spec import Recipe
from zoo.training import checkpoint, optim
from zoo.training.checkpoint import Progress
from zoo.training.job import Job

JOB = Job("tiny", "paper", Recipe(epochs=3, lr=0.1), 0, 100, "cpu", False)


class Training:
    """The parts that a checkpoint keeps, of a net of one layer."""

    def __init__(self) -> None:
        self.net = nn.Linear(2, 2)
        self.optimizer = optim.optimizer(JOB.recipe, self.net.parameters())
        self.schedule = optim.schedule(JOB.recipe, self.optimizer, 10)
        self.progress = Progress(totals=torch.zeros(2, dtype=torch.float64))

    def save(self, run: Path, job: Job = JOB) -> None:
        checkpoint.save(run, job, self.progress, self.net, self.optimizer, self.schedule)

    def restore(self, run: Path, job: Job = JOB) -> None:
        checkpoint.restore(run, job, self.progress, self.net, self.optimizer, self.schedule)


def test_everything_comes_back(tmp_path: Path) -> None:
    before, after = Training(), Training()
    row = EpochRow(1, 0.1, 2.0, 10.0, 1.5, 1.9, 12.0)
    before.progress = Progress(torch.tensor([3.0, 4.0], dtype=torch.float64), 1, 5, 0.5, [row])
    before.save(tmp_path)
    after.restore(tmp_path)
    assert torch.equal(after.net.weight, before.net.weight)
    assert after.progress.rows == [row]
    assert (after.progress.epoch, after.progress.step, after.progress.seconds) == (1, 5, 0.5)
    assert after.progress.totals.tolist() == [3.0, 4.0]


def test_another_job_is_refused_by_what_differs(tmp_path: Path) -> None:
    Training().save(tmp_path)
    other = dataclasses.replace(JOB, seed=7, recipe=dataclasses.replace(JOB.recipe, lr=0.2))
    with pytest.raises(TrainingError, match=r"it has seed 0, not 7; recipe lr at its default, not 0\.2"):
        Training().restore(tmp_path, other)


def test_a_run_without_a_checkpoint_is_said_to_have_none(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="there is no checkpoint in"):
        Training().restore(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_is_one_line_with_the_remedy(tmp_path: Path, content: bytes | None) -> None:
    Training().save(tmp_path)
    path = checkpoint.path_in(tmp_path)
    path.write_bytes(path.read_bytes()[:-200] if content is None else content)
    with pytest.raises(TrainingError, match="can't be read") as caught:
        Training().restore(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_runs_no_code_that_is_in_it(tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (str(tmp_path / "owned"),))

    torch.save({"job": Malicious()}, checkpoint.path_in(tmp_path))
    with pytest.raises(TrainingError, match="can't be read"):
        Training().restore(tmp_path)
    assert not (tmp_path / "owned").exists()


def test_a_save_that_fails_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Training()
    first.save(tmp_path)

    def full(content: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        Training().save(tmp_path)
    after = Training()
    after.restore(tmp_path)
    assert torch.equal(after.net.weight, first.net.weight)


def test_the_log_speaks_of_the_epochs_of_the_checkpoint_only(tmp_path: Path) -> None:
    rows = [EpochRow(epoch, 0.1, 1.0, 50.0, 1.0) for epoch in (1, 2, 3)]
    for row in rows:
        checkpoint.append_log(tmp_path, row)
    checkpoint.rewrite_log(tmp_path, rows[:2])
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2
