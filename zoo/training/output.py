"""The output of a training: its model folder, the directory of its run, and the rules for what is there already.

A run is kept beside the model folder that it becomes: `OUT.run/` holds the checkpoint and the log, `OUT/` appears when
all is done. One process at a time trains for an output. Nothing that the zoo did not write is ever removed.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zoo.errors import FolderError, TrainingError
from zoo.record import store
from zoo.record.job import Job
from zoo.record.lock import alone
from zoo.record.types import Trained, require_trained
from zoo.training import checkpoint, distributed


@dataclass(frozen=True)
class Output:
    """A model folder to be made, and what happens to an unfinished run or a model folder that is there.

    By default both are refused. With `resume` those of the same training are continued or taken, with `overwrite` they
    are replaced; with both, those of another training are replaced.
    """

    folder: Path
    resume: bool = False
    overwrite: bool = False

    @property
    def run(self) -> Path:
        """The folder of the run, until it is finished."""
        return self.folder.with_name(f"{self.folder.name}.run")

    @property
    def events(self) -> Path:
        """The folder for files of trackers."""
        return self.folder.with_name(f"{self.folder.name}.events")

    def of_seed(self, seed: int) -> Output:
        """The output of another seed's training."""
        return replace(self, folder=self.folder.with_name(f"{self.folder.name}-seed{seed}"))

    def begun(self) -> list[Job]:
        """The jobs that can be resumed: that of the run, then that of the model folder."""
        if not self.resume:
            return []
        job = checkpoint.job_in(self.run)
        jobs = [] if job is None else [job]
        with contextlib.suppress(FolderError):
            jobs.append(require_trained(store.read_record(self.folder)).requested_job)
        return jobs

    def continues(self, job: Job) -> bool:
        """Whether the run continues from a checkpoint; one of another job is an error, or replaced by `overwrite`."""
        if not self.resume or not checkpoint.path_in(self.run).exists():
            return False
        return not self.overwrite or self._has_run_of(job)

    def require(self, job: Job) -> None:
        """Make sure that a training of this job may write here, before anything else is done.

        Raises TrainingError if a model folder, an unfinished run, or a file that is not the zoo's would be lost.
        """
        _require_own(self.folder, _files_of(self.folder), "a model folder")
        _require_own(self.run, [path.name for path in checkpoint.files_in(self.run)], "a run")
        if self.resume:
            if self._finished(job) is None and self.continues(job):
                checkpoint.restore(self.run, job)
            return
        if self.overwrite:
            return
        if _is_taken(self.folder):
            raise TrainingError(f"{self.folder} is there already; name another folder (out), or replace it (overwrite)")
        if self.run.exists():
            raise TrainingError(
                f"there is an unfinished run in {self.run}; continue it (resume) or start again (overwrite)"
            )

    def finished(self, job: Job) -> Trained | None:
        """The record of a finished training of this job, if there is one; raises TrainingError for another job's.

        What a kill has left of its run is removed; the checkpoint of another job stays.
        """
        config = self._finished(job)
        if config is not None and distributed.share().is_first and self._has_run_of(job):
            self.clear()
        return config

    def _finished(self, job: Job) -> Trained | None:
        if not self.resume or not _is_taken(self.folder):
            return None
        # A run that replaces the folder says by its checkpoint whether it is of this job.
        is_replaced = self.overwrite or self.continues(job)
        try:
            config = require_trained(store.check(self.folder))
        except FolderError:
            if is_replaced:
                return None
            raise
        differences = config.requested_job.differences(job)
        if not differences:
            return config
        if is_replaced:
            return None
        raise TrainingError(
            f"{self.folder} is finished, and another training: it has {'; '.join(differences)}. "
            "Give the same options again, name another folder (out), or replace it too (overwrite)"
        )

    def _has_run_of(self, job: Job) -> bool:
        """Whether the run has no checkpoint, or one of this job."""
        if not checkpoint.path_in(self.run).exists():
            return True
        begun = checkpoint.job_in(self.run)
        return begun is not None and not begun.differences(job)

    def clear(self) -> None:
        """Remove the folder of the run."""
        for path in checkpoint.files_in(self.run):
            path.unlink()
        if self.run.exists():
            self.run.rmdir()

    def make_room(self, job: Job, parameters: int) -> None:
        """Make the folder of the run of a net with that many parameters; raises TrainingError."""
        if not self.continues(job):
            self.clear()
        # Two checkpoints (weights and up to two moments each) and a model folder, in fp32.
        needed, free = 4 * parameters * (2 * 3 + 1) + 2**20, shutil.disk_usage(store.ground(self.run)).free
        if free < needed:
            what = f"{self.folder} needs {needed / 2**20:,.0f} MiB, its disk has {free / 2**20:,.0f} MiB left"
            raise TrainingError(f"{what}; make room or name another folder (out)")
        try:
            self.run.mkdir(exist_ok=True)
        except OSError as error:
            raise TrainingError(f"{self.run} can't be written ({error.strerror}); name another folder (out)") from None


@contextlib.contextmanager
def owned(outputs: Sequence[Output]) -> Iterator[None]:
    """Hold the locks of these outputs, so that no other process trains for them.

    Raises TrainingError if another process does, or if a folder can't be made.
    """
    with contextlib.ExitStack() as held:
        for folder in (output.folder for output in outputs):
            if folder.name in ("", ".."):
                raise TrainingError(f"out should name a folder to be made, not {str(folder)!r}; give ./NAME")
            try:
                held.enter_context(alone(folder, "trained"))
            except FolderError as error:
                raise TrainingError(str(error)) from None
        yield


def _is_taken(folder: Path) -> bool:
    """Whether anything is there that could be lost; an empty folder may be filled."""
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


def _files_of(folder: Path) -> tuple[str, ...]:
    """The files of a model folder; none if it is not one."""
    if not (folder / store.CONFIG).is_file():
        return ()
    with contextlib.suppress(FolderError):
        return (*store.FILES, *store.read_record(folder).files)
    return store.FILES


def _require_own(folder: Path, files: Sequence[str], what: str) -> None:
    """Refuse a folder that holds anything but these files; raises TrainingError."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise TrainingError(f"{folder} is a file, and no place for {what}; name another folder (out)")
    if strange := sorted(_others(folder, files)):
        more = f" and {len(strange) - 1:,} more" if len(strange) > 1 else ""
        raise TrainingError(
            f"{folder} holds {strange[0]}{more}, which the zoo did not write; name another folder (out)"
        )


def _others(folder: Path, files: Sequence[str], below: str = "") -> Iterator[str]:
    """Names in a folder other than these files; a folder with none of these files in it is named as a whole."""
    for entry in folder.iterdir():
        name = f"{below}{entry.name}"
        if entry.is_dir() and not entry.is_symlink() and any(one.startswith(f"{name}/") for one in files):
            yield from _others(entry, files, f"{name}/")
        elif name not in files or not entry.is_file():
            yield name
