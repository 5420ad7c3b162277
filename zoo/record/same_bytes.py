"""Whether two trainings of one job should have ended with the very same weights, and why not."""

from __future__ import annotations

from zoo.record.job import Job
from zoo.record.types import Trained


def obstacles(here: Trained, there: Trained) -> list[str]:
    """Why the weights made here can't be expected to be the bytes made there: a phrase each, none where they can.

    What decides them is the job, versions and threads included, and the processor's name.
    """
    ours, theirs = here, there
    found = [
        f"{name.removeprefix('versions ')} {_said(value)} there, {_said(other)} here"
        for name, value, other in theirs.job.pairs(ours.job)
        if value != other and not (name == "versions numpy" and not _mixes(theirs.job))
    ]
    if theirs.environment.device != ours.environment.device:
        found.append(f"{theirs.environment.device} there, {ours.environment.device} here")
    if theirs.job.device != "cpu" and not theirs.job.deterministic:
        found.append("--fast there, which never gives the same bytes twice")
    return found


def _mixes(job: Job) -> bool:
    """Whether numpy drew anything: mixup, CutMix and cutout only."""
    recipe = job.recipe
    return bool(recipe.mixup or recipe.cutmix or recipe.cutout)


def _said(value: object) -> str:
    return "unknown" if value == "" else str(value)
