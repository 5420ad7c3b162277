"""Everything that a training needs to go on as if it had never stopped, in one file.

The checkpoint is plain tensors and numbers and is read with `weights_only=True`, after its own hash, which
it begins with, has been found to be right: torch checks none. It is written aside
and renamed, so a kill at any moment leaves the one before or the one after.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import torch

from zoo.decoding import SchemaError, from_json
from zoo.errors import RecipeError, TrainingError
from zoo.record import store
from zoo.record.job import Job
from zoo.record.types import EpochRow, log_text


@dataclass
class Progress:
    """How far a training has come: its position, the seconds of the running epoch, the past ones' rows."""

    epoch: int = 0  # epochs finished
    step: int = 0  # steps finished in the epoch after those
    train_seconds: float = 0.0  # of the running epoch
    compile_seconds: float = 0.0
    rows: list[EpochRow] = field(default_factory=list)

    def end_epoch(self, row: EpochRow) -> None:
        """Stand at the beginning of the next epoch."""
        self.rows.append(row)
        self.epoch, self.step, self.train_seconds, self.compile_seconds = row.epoch, 0, 0.0, 0.0


CHECKPOINT: Final = "checkpoint.pt"
# Everything that is ever in the folder of a run.
FILES: Final = (CHECKPOINT, "checkpoint.partial", store.LOG, "log.partial")


def path_in(run: Path) -> Path:
    """The checkpoint of a run."""
    return run / CHECKPOINT


def save(run: Path, job: Job, progress: Progress, state: Mapping[str, Any]) -> None:
    """Write the checkpoint of a run aside, and rename it into place; `state` is the learner's."""
    content = {"job": job.to_json(), "progress": msgspec.to_builtins(progress), "learner": state}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    target = path_in(run)
    aside = target.with_suffix(".partial")
    try:
        with _written(run):
            with aside.open("wb") as file:
                file.write(hashlib.sha256(buffer.getbuffer()).digest())
                file.write(buffer.getbuffer())
            store.sync(aside)
            aside.replace(target)
            store.sync(run)
    except TrainingError:
        aside.unlink(missing_ok=True)
        raise


def restore(run: Path, job: Job) -> tuple[Progress, dict[str, Any]]:
    """What the run's checkpoint says: how far it came, and the learner's state.

    Raises TrainingError where the checkpoint is damaged, or is of another job.
    """
    content = _read(run)
    if not isinstance(content, dict) or content.keys() != {"job", "progress", "learner"}:
        raise TrainingError(f"{path_in(run)} is not a checkpoint of this version; remove {run} and start again")
    try:
        saved, progress = from_json(Job, content["job"]), from_json(Progress, content["progress"])
    except (SchemaError, RecipeError) as error:
        raise TrainingError(
            f"{path_in(run)} is of another version of the zoo ({error}); remove {run} and start again"
        ) from None
    if differences := saved.differences(job):
        raise TrainingError(
            f"the run in {run} can't be resumed as another one: it has {'; '.join(differences)}. "
            "Give the same options again, or another --out"
        )
    return progress, content["learner"]


def _read(run: Path) -> dict[str, Any]:
    path = path_in(run)
    try:
        whole = path.read_bytes()
        digest, saved = whole[:32], whole[32:]
        if hashlib.sha256(saved).digest() != digest:
            raise TrainingError(f"{path} can't be read (its hash is another); remove {run} and start again")
        content: dict[str, Any] = torch.load(io.BytesIO(saved), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainingError(f"there is no checkpoint in {run}; start the run without --resume") from None
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, SchemaError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise TrainingError(f"{path} can't be read ({reason}); remove {run} and start again") from None
    return content


def append_log(run: Path, row: EpochRow) -> None:
    """Add an epoch to the log that can be followed while the run goes on; raises TrainingError."""
    with _written(run), (run / store.LOG).open("a", encoding="utf-8") as log:
        log.write(log_text([row]))


def rewrite_log(run: Path, rows: list[EpochRow]) -> None:
    """Make the log speak of exactly these epochs: a killed run may have logged one that is trained again.

    Raises TrainingError.
    """
    path = run / store.LOG
    aside = path.with_suffix(".partial")
    with _written(run):
        aside.write_text(log_text(rows), encoding="utf-8")
        aside.replace(path)


@contextlib.contextmanager
def _written(run: Path) -> Iterator[None]:
    """Tell a person where a run can't be written; raises TrainingError."""
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"the run in {run} can't be written ({error.strerror}); what it had saved is whole: "
            "make room and give the same command with --resume"
        ) from None
