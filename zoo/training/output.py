"""The output of a training: its model folder, the folder of its run, and the rules for existing files.

The folder of the run, `OUT.run/`, is beside the model folder. It has the checkpoint and the log until the model folder
`OUT/` is written at the end. Only one process at a time trains into an output. Files that the zoo did not write are
never removed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import FolderError, TrainingError
from zoo.record import store
from zoo.record.job import Job
from zoo.record.lock import alone
from zoo.record.types import Trained, require_trained
from zoo.training import checkpoint, distributed
from zoo.training.checkpoint import Progress


@dataclass(frozen=True)
class Output:
    """The model folder to write, and the rules for an existing run or model folder.

    By default a training refuses to start if one exists. With `resume`, it continues the unfinished run or returns the
    finished model, if that is of the same job. With `overwrite`, it replaces both. With `resume` and `overwrite`, it
    replaces only those of another job. With `allow_other_environment`, jobs that differ only in the machine, the
    precision or the versions count as the same.
    """

    folder: Path
    resume: bool = False
    overwrite: bool = False
    allow_other_environment: bool = False

    @property
    def run(self) -> Path:
        """The folder of the unfinished run, with its checkpoint and log."""
        return self.folder.with_name(f"{self.folder.name}.run")

    @property
    def events(self) -> Path:
        """The folder for the files of trackers."""
        return self.folder.with_name(f"{self.folder.name}.events")

    def resumable(self) -> list[Job]:
        """The jobs of the run and of the model folder, if `resume` is set."""
        if not self.resume:
            return []
        job = checkpoint.job_in(self.run)
        jobs = [] if job is None else [job]
        with contextlib.suppress(FolderError):
            jobs.append(require_trained(store.read_record(self.folder)).requested_job)
        return jobs

    def continues(self, job: Job) -> bool:
        """Whether a training of this job reads the run's checkpoint; `restore` raises if that is of another job."""
        if not self.resume or not (self.run / checkpoint.CHECKPOINT).exists():
            return False
        return not self.overwrite or self._has_run_of(job)

    def require(self, job: Job, device: str) -> None:
        """Check that a training of this job, on the device of this name, may write here.

        Raises:
            TrainingError: A model folder, an unfinished run, or a file that the zoo did not write would be lost.
        """
        _require_own(self.folder, _files_of(self.folder), "a model folder")
        _require_own(self.run, [path.name for path in checkpoint.files_in(self.run)], "a run")
        if self.resume:
            if self._finished(job) is None and self.continues(job):
                self.restore(job, device)
            return
        if self.overwrite:
            return
        if _has_files(self.folder):
            raise TrainingError(
                f"{self.folder} exists already; set out to another folder, or set overwrite to replace it"
            )
        if self.run.exists():
            raise TrainingError(
                f"there is an unfinished run in {self.run}; set resume to continue it, or overwrite to start again"
            )

    def restore(self, job: Job, device: str) -> tuple[Progress, dict[str, Any]]:
        """The progress and the learner's state to continue from; raises what `checkpoint.restore` raises."""
        return checkpoint.restore(self.run, job, device, allow_other_environment=self.allow_other_environment)

    def finished(self, job: Job) -> Trained | None:
        """The record of the model folder, if `resume` is set and a training of this job has finished there.

        The folder of its run is removed, which a killed process may have left.

        Raises:
            TrainingError: The model folder is of another job, and is not to be replaced.
            FolderError: The model folder is damaged, and is not to be replaced.
        """
        record = self._finished(job)
        is_first = distributed.share().is_first
        if record is not None and is_first and self._has_run_of(job) and not self._run_starts_elsewhere(record):
            self.clear()
        return record

    def _finished(self, job: Job) -> Trained | None:
        if not self.resume or not _has_files(self.folder):
            return None
        # An unfinished run beside a model folder was started with overwrite.
        is_replaced = self.overwrite or self.continues(job)
        try:
            record = require_trained(store.check(self.folder))
        except FolderError:
            if is_replaced:
                return None
            raise
        differences = self._differences(record.requested_job, job)
        is_of_run = job.start != record.requested_job.start and self._run_starts_elsewhere(record)
        if not differences and not (is_of_run and self._has_run_of(job)):
            return record
        if is_replaced:
            return None
        raise TrainingError(
            f"{self.folder} is a finished model of another training: it has {'; '.join(differences)}. "
            "Give the same options again, set out to another folder, or set overwrite to replace it"
        )

    def _run_starts_elsewhere(self, record: Trained) -> bool:
        """Whether the run starts from another address than the record.

        With the same weights at both addresses their jobs do not differ, but the licenses may.
        """
        unfinished = checkpoint.job_in(self.run)
        return unfinished is not None and unfinished.start != record.requested_job.start

    def _has_run_of(self, job: Job) -> bool:
        """Whether the run has no checkpoint, or one of this job."""
        if not (self.run / checkpoint.CHECKPOINT).exists():
            return True
        saved = checkpoint.job_in(self.run)
        return saved is not None and not self._differences(saved, job)

    def _differences(self, saved: Job, job: Job) -> list[str]:
        return saved.differences(job, environment=not self.allow_other_environment)

    def clear(self) -> None:
        """Remove the folder of the run."""
        for path in checkpoint.files_in(self.run):
            path.unlink()
        if self.run.exists():
            self.run.rmdir()

    def make_run(self, job: Job) -> None:
        """Make the folder of the run, empty unless the training continues; raises TrainingError if it can't be made."""
        if not self.continues(job):
            self.clear()
        try:
            self.run.mkdir(exist_ok=True)
        except OSError as error:
            raise TrainingError(f"{self.run} can't be written ({error.strerror}); set out to another folder") from None


@contextlib.contextmanager
def locked(outputs: Sequence[Output]) -> Iterator[None]:
    """Lock these outputs, so that no other process trains into them.

    Raises:
        TrainingError: Another process has locked an output, or its folder can't be made.
    """
    with contextlib.ExitStack() as locks:
        for folder in (output.folder for output in outputs):
            if folder.name in ("", ".."):
                raise TrainingError(f"out should be the path of a new folder, not {str(folder)!r}; give ./NAME")
            try:
                locks.enter_context(alone(folder, "trained"))
            except FolderError as error:
                raise TrainingError(str(error)) from None
        yield


def _has_files(folder: Path) -> bool:
    """Whether the path is a file, or a folder that is not empty."""
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


def _files_of(folder: Path) -> tuple[str, ...]:
    """The names of the files of a model folder; none if it is not one."""
    if not (folder / store.CONFIG).is_file():
        return ()
    with contextlib.suppress(FolderError):
        return (*store.FILES, *store.read_record(folder).files)
    return store.FILES


def _require_own(folder: Path, files: Sequence[str], what: str) -> None:
    """Raise TrainingError if the folder has any other files than these."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise TrainingError(f"{folder} is a file, not {what}; set out to another folder")
    if others := sorted(_others(folder, files)):
        more = f" and {len(others) - 1:,} more" if len(others) > 1 else ""
        raise TrainingError(f"{folder} has {others[0]}{more}, which the zoo did not write; set out to another folder")


def _others(folder: Path, files: Sequence[str], prefix: str = "") -> Iterator[str]:
    """Paths in a folder other than these files; a folder with none of these files is one path."""
    for entry in folder.iterdir():
        name = f"{prefix}{entry.name}"
        if entry.is_dir() and not entry.is_symlink() and any(file.startswith(f"{name}/") for file in files):
            yield from _others(entry, files, f"{name}/")
        elif name not in files or not entry.is_file():
            yield name
