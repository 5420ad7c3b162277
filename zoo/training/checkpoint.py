"""Checkpoints, from which a training continues to the same bytes, and the log of an unfinished run.

A checkpoint file starts with the SHA-256 of its content, which is the output of `torch.save`. The hash is checked
before the content is loaded, with `weights_only=True`. The file is written under a temporary name and renamed, so a
killed process leaves the previous checkpoint or the new one.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import torch

from zoo.decoding import SchemaError, from_json
from zoo.errors import RecipeError, TrainingError
from zoo.record import replace, store
from zoo.record.job import Job
from zoo.record.types import Continuation, EpochRow, log_text


class Progress(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The progress of a training.

    Attributes:
        device: The name of the device that trains.
        epoch: Finished epochs.
        step: Finished steps of the current epoch.
        train_seconds: Seconds of training in the current epoch.
        compile_seconds: Seconds of compiling in the current epoch.
        rows: The rows of the log, one for each finished epoch.
        continued: The environments that the training was continued in.
    """

    device: str
    epoch: int = 0
    step: int = 0
    train_seconds: float = 0.0
    compile_seconds: float = 0.0
    rows: list[EpochRow] = msgspec.field(default_factory=list)
    continued: tuple[Continuation, ...] = ()

    def end_epoch(self, row: EpochRow) -> None:
        """Add the row of the finished epoch, and start the next one."""
        self.rows.append(row)
        self.epoch, self.step, self.train_seconds, self.compile_seconds = row.epoch, 0, 0.0, 0.0


CHECKPOINT: Final = "checkpoint.pt"  # in a run's folder


def files_in(run: Path) -> list[Path]:
    """The existing files of a run's folder, with the temporary files of a killed process."""
    paths = [run / CHECKPOINT, run / store.LOG]
    return [path for path in paths if path.exists()] + [left for path in paths for left in replace.left_aside(path)]


def save(run: Path, job: Job, progress: Progress, state: Mapping[str, Any]) -> None:
    """Write the checkpoint of a run.

    Args:
        run: The folder of the run.
        job: The job of the training.
        progress: The progress of the training.
        state: The state of the learner.

    Raises:
        TrainingError: The file can't be written.
    """
    content = {"job": job.to_json(), "progress": msgspec.to_builtins(progress), "learner": state}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with _write_errors(run), replace.file_written_aside(run / CHECKPOINT) as file:
        file.write(hashlib.sha256(buffer.getbuffer()).digest())
        file.write(buffer.getbuffer())


def restore(
    run: Path, job: Job, device: str, *, allow_other_environment: bool = False
) -> tuple[Progress, dict[str, Any]]:
    """Read the progress and the learner's state from the checkpoint of a run.

    Args:
        run: The folder of the run.
        job: The job of the training that continues.
        device: The name of the device that it continues on.
        allow_other_environment: Continue also if the device, the precision, the number of threads or processes, or
            the versions have changed; the progress then records the changes.

    Raises:
        TrainingError: The checkpoint is damaged, of another version of the zoo, or of another job.
    """
    saved, progress, state = _read(run)
    changes = saved.environment_changes(job)
    if progress.device != device:
        changes.append(f"{device} instead of {progress.device}")
    differences = saved.differences(job, environment=False)
    if differences:
        raise TrainingError(
            f"the run in {run} is of another training: it has {'; '.join(saved.differences(job))}. "
            "Give the same options again, or set out to another folder"
        )
    if changes and not allow_other_environment:
        raise TrainingError(
            f"the run in {run} was started in another environment; here: {'; '.join(changes)}. Resume where it was "
            "started, or here with allow_other_environment; its weights can't be reproduced byte for byte then"
        )
    if changes:
        progress.continued = (*progress.continued, Continuation(progress.epoch, tuple(changes)))
    progress.device = device
    return progress, state


def job_in(run: Path) -> Job | None:
    """The job in the checkpoint of a run; None if there is no checkpoint that can be read."""
    if not (run / CHECKPOINT).exists():
        return None
    try:
        return _read(run)[0]
    except TrainingError:
        return None


def _read(run: Path) -> tuple[Job, Progress, dict[str, Any]]:
    """The job, the progress and the learner's state of a checkpoint; raises TrainingError."""
    content = _content(run)
    try:
        if not isinstance(content, dict) or content.keys() != {"job", "progress", "learner"}:
            raise SchemaError("it should have job, progress and learner")
        return from_json(Job, content["job"]), from_json(Progress, content["progress"]), content["learner"]
    except (SchemaError, RecipeError) as error:
        raise TrainingError(
            f"{run / CHECKPOINT} is not a checkpoint of this version ({error}); remove {run} and start again"
        ) from None


def _content(run: Path) -> object:
    path = run / CHECKPOINT
    try:
        content = path.read_bytes()
        digest, saved = content[:32], content[32:]
        if hashlib.sha256(saved).digest() != digest:
            raise TrainingError(f"{path} is damaged: its hash differs; remove {run} and start again")
        return torch.load(io.BytesIO(saved), map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise TrainingError(f"{path} can't be read ({reason}); remove {run} and start again") from None


def append_log(run: Path, row: EpochRow) -> None:
    """Append an epoch to the log of an unfinished run; raises TrainingError if it can't be written."""
    with _write_errors(run), (run / store.LOG).open("a", encoding="utf-8") as log:
        log.write(log_text([row]))


def rewrite_log(run: Path, rows: list[EpochRow]) -> None:
    """Replace the log of a run, which may have an epoch that its checkpoint does not have.

    Raises:
        TrainingError: The file can't be written.
    """
    with _write_errors(run):
        replace.write_file(run / store.LOG, log_text(rows).encode())


@contextlib.contextmanager
def _write_errors(run: Path) -> Iterator[None]:
    """Raise an OSError of the block as TrainingError."""
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"the run in {run} can't be written ({error.strerror}); its last checkpoint is intact: "
            "correct this, then give the same options and resume"
        ) from None
