"""The logs of runs, whether they are finished and published or still going on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from zoo.errors import FolderError
from zoo.hub.find import is_path
from zoo.hub.published import published
from zoo.record import store
from zoo.record.paths import path_of
from zoo.record.types import EpochRow, require_trained


def logs(runs: Iterable[str | Path]) -> dict[str, list[EpochRow]]:
    """Each run's log, under a name that tells it from the others.

    A run is a model's name, the path of a model folder or of an unfinished run, or an address in a hub.
    Raises what `published` raises, and FolderError where a run has finished no epoch yet.
    """
    found: dict[str, list[EpochRow]] = {}
    for run in runs:
        label, rows = _log(run)
        if not rows:
            raise FolderError(f"the run {run} has finished no epoch yet; there is nothing to draw")
        found[str(run) if label in found else label] = rows
    return found


def _log(run: str | Path) -> tuple[str, list[EpochRow]]:
    if is_path(run):
        path = path_of(run)
        for one in (path, path.parent / f"{path.name}.run"):
            if (one / store.LOG).is_file() and not (one / store.CONFIG).is_file():
                return one.name, store.read_log(one)
    model = published(run)
    job = require_trained(model.config).job
    return f"{model.config.name} {job.recipe_name} seed {job.seed}", model.log()
