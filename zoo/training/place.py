"""Where a training leaves its model folder, and what is done with what is there already.

While it trains, a run is kept beside the model folder it will become: `OUT.run/` holds the
checkpoint and the log, `OUT/` appears when all is done. One process at a time trains for a place.
Nothing is ever removed there that the zoo did not write.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zoo.errors import FolderError, TrainingError
from zoo.record import store
from zoo.record.job import Job
from zoo.record.lock import alone
from zoo.record.types import Trained, require_trained
from zoo.training import checkpoint

Mode = Literal["fresh", "resume", "overwrite"]


@dataclass(frozen=True)
class Place:
    """A model folder to be made: in an empty place, from where a run was stopped, or over what is there."""

    folder: Path
    mode: Mode = "fresh"

    @property
    def run(self) -> Path:
        """The folder of the run that is on its way."""
        return self.folder.with_name(f"{self.folder.name}.run")

    @property
    def events(self) -> Path:
        """The folder for what trackers write."""
        return self.folder.with_name(f"{self.folder.name}.events")

    @property
    def resumes(self) -> bool:
        """Whether there is a checkpoint to go on from, and it is asked for."""
        return self.mode == "resume" and checkpoint.path_in(self.run).exists()

    def beside(self, seed: int) -> Place:
        """The place of another seed's model."""
        return Place(self.folder.with_name(f"{self.folder.name}-seed{seed}"), self.mode)

    def require(self) -> None:
        """Refuse what would be lost: a model folder or an unfinished run, and whatever is not the zoo's.

        Raises TrainingError.
        """
        _require_own(self.folder, _files_of(self.folder), "a model folder")
        _require_own(self.run, checkpoint.FILES, "a run")
        if self.mode != "fresh":
            return
        if _is_taken(self.folder):
            raise TrainingError(f"{self.folder} is there already; name another folder with --out, or give --overwrite")
        if self.run.exists():
            raise TrainingError(f"there is an unfinished run in {self.run}; go on with --resume or give --overwrite")

    def finished(self, job: Job) -> Trained | None:
        """What is finished there where it may be taken as it is; raises TrainingError where it is another job's."""
        if self.mode != "resume" or not _is_taken(self.folder):
            return None
        config = require_trained(store.check(self.folder))
        differences = config.requested_job.differences(job)
        if not differences:
            return config
        if self.resumes:  # what was begun over it with --overwrite; whether that is this job its checkpoint says
            return None
        raise TrainingError(
            f"{self.folder} is finished, and another training: it has {'; '.join(differences)}. "
            "Give the same options again, or another --out"
        )

    def clear(self) -> None:
        """Remove the folder of the run, of which nothing is needed any more."""
        for name in checkpoint.FILES:
            (self.run / name).unlink(missing_ok=True)
        if self.run.exists():
            self.run.rmdir()

    def make_room(self, parameters: int) -> None:
        """Make the folder of the run, for a net of so many parameters; raises TrainingError."""
        self.require()
        if self.mode != "resume":
            self.clear()
        # Two checkpoints (weights and up to two moments each) and a model folder, in fp32.
        needed, free = 4 * parameters * (2 * 3 + 1) + 2**20, shutil.disk_usage(store.ground(self.run)).free
        if free < needed:
            what = f"{self.folder} needs {needed / 2**20:,.0f} MiB, its disk has {free / 2**20:,.0f} MiB left"
            raise TrainingError(f"{what}; make room or name another folder with --out")
        try:
            self.run.mkdir(exist_ok=True)
        except OSError as error:
            raise TrainingError(
                f"{self.run} can't be written ({error.strerror}); name another folder with --out"
            ) from None


def mode_of(*, resume: bool, overwrite: bool) -> Mode:
    """The mode that two words of a command line mean; raises TrainingError for both at once."""
    if resume and overwrite:
        raise TrainingError("give --resume to go on or --overwrite to start again, not both")
    return "resume" if resume else "overwrite" if overwrite else "fresh"


@contextlib.contextmanager
def owned(places: Sequence[Place]) -> Iterator[None]:
    """Be the one process that trains for these places; what a killed one has left there is cleared, or taken back.

    Raises TrainingError where another process does, or where nothing can be made.
    """
    with contextlib.ExitStack() as held:
        for folder in (place.folder for place in places):
            if folder.name in ("", ".."):
                raise TrainingError(f"--out should name a folder to be made, not {str(folder)!r}; give --out ./NAME")
            try:
                held.enter_context(alone(folder, "trained"))
            except FolderError as error:
                raise TrainingError(str(error)) from None
        yield


def _is_taken(folder: Path) -> bool:
    """Whether anything is there that could be lost; an empty folder may be filled."""
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


def _files_of(folder: Path) -> tuple[str, ...]:
    """The files that a model folder has; none where it isn't one."""
    if not (folder / store.CONFIG).is_file():
        return ()
    with contextlib.suppress(FolderError):
        return (*store.FILES, *store.read_record(folder).files)
    return store.FILES


def _require_own(folder: Path, files: Sequence[str], what: str) -> None:
    """Refuse a place that holds anything but these files; raises TrainingError."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise TrainingError(f"{folder} is a file, and no place for {what}; name another folder with --out")
    if strange := sorted(_others(folder, files)):
        more = f" and {len(strange) - 1:,} more" if len(strange) > 1 else ""
        raise TrainingError(
            f"{folder} holds {strange[0]}{more}, which the zoo did not write; name another folder with --out"
        )


def _others(folder: Path, files: Sequence[str], below: str = "") -> Iterator[str]:
    """What is in a folder beside these files; a folder that none of them is in stands for all that it holds."""
    for entry in folder.iterdir():
        name = f"{below}{entry.name}"
        if entry.is_dir() and not entry.is_symlink() and any(one.startswith(f"{name}/") for one in files):
            yield from _others(entry, files, f"{name}/")
        elif name not in files or not entry.is_file():
            yield name
