"""Everything that a training needs to go on as if it had never stopped, in one file.

The checkpoint is plain tensors and numbers and is read with `weights_only=True`, after its own hash, which
it begins with, has been found to be right: torch checks none. It is written aside
and renamed (`zoo.record.replace`), so a kill at any moment leaves the one before or the one after.
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
from zoo.record.types import EpochRow, log_text


class Progress(msgspec.Struct, forbid_unknown_fields=True):
    """How far a training has come: its position, the seconds of the running epoch, the past ones' rows."""

    epoch: int = 0  # epochs finished
    step: int = 0  # steps finished in the epoch after those
    train_seconds: float = 0.0  # of the running epoch
    compile_seconds: float = 0.0
    rows: list[EpochRow] = msgspec.field(default_factory=list)

    def end_epoch(self, row: EpochRow) -> None:
        """Stand at the beginning of the next epoch."""
        self.rows.append(row)
        self.epoch, self.step, self.train_seconds, self.compile_seconds = row.epoch, 0, 0.0, 0.0


CHECKPOINT: Final = "checkpoint.pt"
FILES: Final = (CHECKPOINT, store.LOG)  # of the folder of a run


def files_in(run: Path) -> list[Path]:
    """The files of a run that are there, and those that a killed process was writing."""
    paths = [run / name for name in FILES]
    return [path for path in paths if path.exists()] + [left for path in paths for left in replace.left_aside(path)]


def path_in(run: Path) -> Path:
    """The checkpoint of a run."""
    return run / CHECKPOINT


def save(run: Path, job: Job, progress: Progress, state: Mapping[str, Any]) -> None:
    """Write the checkpoint of a run; `state` is the learner's. Raises TrainingError."""
    content = {"job": job.to_json(), "progress": msgspec.to_builtins(progress), "learner": state}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with _written(run), replace.file_written_aside(path_in(run)) as file:
        file.write(hashlib.sha256(buffer.getbuffer()).digest())
        file.write(buffer.getbuffer())


def restore(run: Path, job: Job) -> tuple[Progress, dict[str, Any]]:
    """The progress and the learner's state in the run's checkpoint.

    Raises TrainingError if the checkpoint is damaged, of another version, or of another job.
    """
    saved, progress, state = _read(run)
    if differences := saved.differences(job):
        raise TrainingError(
            f"the run in {run} can't be resumed as another one: it has {'; '.join(differences)}. "
            "Give the same options again, or another folder (out)"
        )
    return progress, state


def job_in(run: Path) -> Job | None:
    """The job of the run's checkpoint; None where there is no checkpoint, or it can't be read."""
    if not path_in(run).exists():
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
            raise SchemaError("it has other parts")
        return from_json(Job, content["job"]), from_json(Progress, content["progress"]), content["learner"]
    except (SchemaError, RecipeError) as error:
        raise TrainingError(
            f"{path_in(run)} is not a checkpoint of this version ({error}); remove {run} and start again"
        ) from None


def _content(run: Path) -> object:
    path = path_in(run)
    try:
        whole = path.read_bytes()
        digest, saved = whole[:32], whole[32:]
        if hashlib.sha256(saved).digest() != digest:
            raise TrainingError(f"{path} can't be read (its hash is another); remove {run} and start again")
        return torch.load(io.BytesIO(saved), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainingError(f"there is no checkpoint in {run}; start the run without resume") from None
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise TrainingError(f"{path} can't be read ({reason}); remove {run} and start again") from None


def append_log(run: Path, row: EpochRow) -> None:
    """Add an epoch to the log that can be followed while the run goes on; raises TrainingError."""
    with _written(run), (run / store.LOG).open("a", encoding="utf-8") as log:
        log.write(log_text([row]))


def rewrite_log(run: Path, rows: list[EpochRow]) -> None:
    """Write the log of exactly these epochs: a killed run may have logged one that is trained again.

    Raises TrainingError.
    """
    with _written(run):
        replace.write_file(run / store.LOG, log_text(rows).encode())


@contextlib.contextmanager
def _written(run: Path) -> Iterator[None]:
    """Tell a person where a run can't be written; raises TrainingError."""
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"the run in {run} can't be written ({error.strerror}); what it had saved is whole: "
            "make room and give the same options and resume"
        ) from None
