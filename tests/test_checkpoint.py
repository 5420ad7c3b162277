from __future__ import annotations

import hashlib
import io
from pathlib import Path

import msgspec
import pytest
import torch

from zoo.errors import TrainingError
from zoo.record.types import Continuation, EpochRow
from zoo.training import checkpoint
from zoo.training.checkpoint import Progress

from .jobs import JOB

DEVICE = "CPU, AMD EPYC"
STATE = {"net": {"weight": torch.tensor([1.0, 2.0])}, "totals": torch.tensor([3.0, 4.0], dtype=torch.float64)}


def save(run: Path) -> None:
    checkpoint.save(run, JOB, Progress(device=DEVICE), STATE)


def write(content: object, path: Path) -> None:
    """Write any value as a checkpoint, with its hash."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    path.write_bytes(hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())


def test_a_checkpoint_restores_progress_and_state(tmp_path: Path) -> None:
    row = EpochRow(1, 0.1, 2.0, 10.0, 1.5, 1.9, 12.0)
    saved = Progress(device=DEVICE, epoch=1, step=5, train_seconds=0.5, compile_seconds=0.25, rows=[row])
    checkpoint.save(tmp_path, JOB, saved, STATE)
    restored, state = checkpoint.restore(tmp_path, JOB, DEVICE)
    assert restored == saved
    assert torch.equal(state["net"]["weight"], torch.tensor([1.0, 2.0]))
    assert state["totals"].tolist() == [3.0, 4.0]


def test_a_checkpoint_of_another_job_is_refused_with_the_differences(tmp_path: Path) -> None:
    save(tmp_path)
    other = msgspec.structs.replace(JOB, seed=7, recipe=msgspec.structs.replace(JOB.recipe, lr=0.2))
    with pytest.raises(TrainingError, match=r"it has recipe lr 0\.05, not 0\.2; seed 0, not 7"):
        checkpoint.restore(tmp_path, other, DEVICE)


def test_a_checkpoint_of_another_environment_is_refused_unless_that_is_allowed(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, JOB, Progress(device="CPU, Intel Xeon", epoch=3), STATE)
    versions = msgspec.structs.replace(JOB.versions, torch="9.0.0")
    job = msgspec.structs.replace(JOB, threads=JOB.threads + 1, amp=not JOB.amp, versions=versions)
    changes = (
        f"amp {job.amp} instead of {JOB.amp}",
        f"threads {job.threads} instead of {JOB.threads}",
        f"torch 9.0.0 instead of {JOB.versions.torch}",
        "CPU, AMD EPYC instead of CPU, Intel Xeon",
    )
    with pytest.raises(TrainingError) as refusal:
        checkpoint.restore(tmp_path, job, DEVICE)
    assert f"in another environment; here: {'; '.join(changes)}. Resume where it was started" in str(refusal.value)
    progress, _ = checkpoint.restore(tmp_path, job, DEVICE, allow_other_environment=True)
    assert progress == Progress(device=DEVICE, epoch=3, continued=(Continuation(3, changes),))
    with pytest.raises(TrainingError, match=r"is of another training: it has .*seed 0, not 7"):
        checkpoint.restore(tmp_path, msgspec.structs.replace(job, seed=7), DEVICE, allow_other_environment=True)


JOB_ENTRIES = JOB.to_json()
PROGRESS = msgspec.to_builtins(Progress(device=DEVICE, rows=[EpochRow(1, 0.1, 2.0, 10.0, 1.5)]))


def parts(job: object = JOB_ENTRIES, progress: object = PROGRESS) -> dict[str, object]:
    return {"job": job, "progress": progress, "learner": STATE}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, 2], "should have job, progress and learner"),
        ({"job": {}}, "should have job, progress and learner"),
        (parts(job={**JOB_ENTRIES, "ema": 0.9}), "ema is an unknown field"),
        (parts(job={name: value for name, value in JOB_ENTRIES.items() if name != "amp"}), "amp is missing"),
        (parts(job={**JOB_ENTRIES, "recipe": {**JOB.recipe.to_json(), "epochs": -1}}), "epochs"),
        (
            parts(progress={**PROGRESS, "rows": [{**PROGRESS["rows"][0], "days": 1}]}),
            r"rows\[0\].days is an unknown field",
        ),
    ],
)
def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path, content: object, reason: str) -> None:
    write(content, tmp_path / checkpoint.CHECKPOINT)
    with pytest.raises(TrainingError, match=rf"is not a checkpoint of this version \(.*{reason}.*\); remove .*again$"):
        checkpoint.restore(tmp_path, JOB, DEVICE)


@pytest.mark.parametrize("damage", ["empty", "cut short", "first bit", "middle bit", "last bit"])
def test_a_damaged_checkpoint_is_refused_with_the_remedy(tmp_path: Path, damage: str) -> None:
    save(tmp_path)
    path = tmp_path / checkpoint.CHECKPOINT
    content = bytearray(path.read_bytes())
    if damage.endswith("bit"):
        content[{"first bit": 0, "middle bit": len(content) // 2, "last bit": -1}[damage]] ^= 1
    path.write_bytes(b"" if damage == "empty" else content[:-200] if damage == "cut short" else content)
    with pytest.raises(TrainingError, match=r"is damaged: its hash differs; remove .*again$"):
        checkpoint.restore(tmp_path, JOB, DEVICE)


def test_a_checkpoint_with_code_is_refused_and_the_code_does_not_run(tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (str(tmp_path / "owned"),))

    write({"job": Malicious()}, tmp_path / checkpoint.CHECKPOINT)
    with pytest.raises(TrainingError, match="can't be read"):
        checkpoint.restore(tmp_path, JOB, DEVICE)
    assert not (tmp_path / "owned").exists()


def test_a_failed_save_keeps_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(
        TrainingError, match=r"can't be written \(No space left on device\); its last checkpoint is intact"
    ):
        checkpoint.save(tmp_path, JOB, Progress(device=DEVICE, epoch=2), STATE)
    assert checkpoint.restore(tmp_path, JOB, DEVICE)[0] == Progress(device=DEVICE)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
