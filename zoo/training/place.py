"""Where a training leaves its model folder, and what is done with what is there already.

While it trains, a run is kept beside the model folder it will become: `OUT.run/` holds the
checkpoint and the log, `OUT/` appears when all is done.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zoo.errors import TrainingError
from zoo.folder import store
from zoo.folder.config import Config
from zoo.folder.job import Job
from zoo.folder.replace import recover
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
    def resumes(self) -> bool:
        """Whether there is a checkpoint to go on from, and it is asked for."""
        return self.mode == "resume" and checkpoint.path_in(self.run).exists()

    def beside(self, seed: int) -> Place:
        """The place of another seed's model."""
        return Place(self.folder.with_name(f"{self.folder.name}-seed{seed}"), self.mode)

    def require(self) -> None:
        """Refuse what would be lost, a model folder or an unfinished run; raises TrainingError.

        What a killed process has left beside the folder is cleared, or taken back, first.
        """
        recover(self.folder)
        if self.mode != "fresh":
            return
        if self.folder.exists():
            raise TrainingError(f"{self.folder} is there already; name another folder with --out, or give --overwrite")
        if self.run.exists():
            raise TrainingError(f"there is an unfinished run in {self.run}; go on with --resume or give --overwrite")

    def finished(self, job: Job) -> Config | None:
        """What is finished there where it may be taken as it is; raises TrainingError where it is another job's."""
        if self.mode != "resume" or not self.folder.exists():
            return None
        config = store.check(self.folder)
        if differences := config.asked.differences(job):
            raise TrainingError(
                f"{self.folder} is finished, and another training: it has {'; '.join(differences)}. "
                "Give the same options again, or another --out"
            )
        return config

    def make_room(self, parameters: int) -> None:
        """Make the folder of the run, for a net of so many parameters; raises TrainingError."""
        self.require()
        if self.run.exists() and self.mode != "resume":
            shutil.rmtree(self.run)
        # Two checkpoints (weights and up to two moments each) and a model folder, in fp32.
        needed, free = 4 * parameters * (2 * 3 + 1) + 2**20, shutil.disk_usage(store.ground(self.run)).free
        if free < needed:
            what = f"{self.folder} needs {needed / 2**20:,.0f} MiB, its disk has {free / 2**20:,.0f} MiB left"
            raise TrainingError(f"{what}; make room or name another folder with --out")
        try:
            self.run.mkdir(parents=True, exist_ok=True)
            (self.run / "writable").touch()
            (self.run / "writable").unlink()
        except OSError as error:
            raise TrainingError(
                f"{self.run} can't be written ({error.strerror}); name another folder with --out"
            ) from None


def mode_of(*, resume: bool, overwrite: bool) -> Mode:
    """The mode that two words of a command line mean; raises TrainingError for both at once."""
    if resume and overwrite:
        raise TrainingError("give --resume to go on or --overwrite to start again, not both")
    return "resume" if resume else "overwrite" if overwrite else "fresh"
