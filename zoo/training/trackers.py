"""Which trackers there are: the zoo's own, and entry points of the group `zoo.reports`, named as the tracker.

    [project.entry-points."zoo.reports"]
    jsonl = "zoo_jsonl:JsonLines"

The value is called with the `Watched` of a run and returns its `Report` (`zoo.training.watch`).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import Final

from zoo.errors import TrainingError
from zoo.plugins import Group
from zoo.training.watch import Tracker

TRACKERS: Final = Group[Tracker](
    "zoo.reports",
    "tracker",
    "a function or a class that is called with a zoo.plugin.Watched and returns a zoo.plugin.Report",
    own={"tensorboard": "zoo.training.tensorboard:TensorBoard"},  # each is an extra, and needs a module, of its name
    unknown=TrainingError,
)


def trackers(wanted: Iterable[str]) -> dict[str, Tracker]:
    """The trackers of these names.

    Raises TrainingError where there is none of a name, or it is not installed, PluginError where a plugin's can't be
    used.
    """
    names = list(dict.fromkeys(wanted))
    for name in names:
        if name in TRACKERS.own and importlib.util.find_spec(name) is None:
            raise TrainingError(f"tracker {name} needs {name}: pip install 'residual-zoo[{name}]'")
    return {name: TRACKERS.load(name) for name in names}
