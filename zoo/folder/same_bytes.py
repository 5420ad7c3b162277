"""Whether two trainings of one job should have ended with the very same weights, and why not."""

from __future__ import annotations

from zoo.folder.config import Config


def obstacles(here: Config, there: Config) -> list[str]:
    """Why the weights made here can't be expected to be the bytes made there: a phrase each, none where they can.

    What decides them is the job, versions and threads included, and the processor's name.
    """
    found = [
        f"{name.removeprefix('versions ')} {_said(value)} there, {_said(other)} here"
        for name, value, other in there.job.pairs(here.job)
        if value != other and not (name == "versions numpy" and not _mixes(there))
    ]
    if there.environment.device != here.environment.device:
        found.append(f"{there.environment.device} there, {here.environment.device} here")
    if there.job.device != "cpu" and not there.job.deterministic:
        found.append("--fast there, which never gives the same bytes twice")
    return found


def _mixes(config: Config) -> bool:
    """Whether numpy drew anything: mixup, CutMix and cutout only."""
    recipe = config.job.recipe
    return bool(recipe.mixup or recipe.cutmix or recipe.cutout)


def _said(value: object) -> str:
    return "unknown" if value == "" else str(value)
