"""Which trackers there are: the zoo's own, and entry points of the group `zoo.reports`, named as the tracker.

    [project.entry-points."zoo.reports"]
    jsonl = "zoo_jsonl:JsonLines"

The value is called with the `Watched` of a run and returns its `Report` (`zoo.training.watch`). A tracker's module
is imported when it is asked for. No plugin can take the place of the zoo's own.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from importlib.metadata import EntryPoint
from typing import Final

from zoo import plugins
from zoo.errors import PluginError, TrainingError
from zoo.training.watch import Tracker

GROUP: Final = "zoo.reports"
# Each is an extra, and takes a module, of its own name.
OWN: Final = {"tensorboard": "zoo.training.tensorboard:TensorBoard"}


def names() -> list[str]:
    """The names of all trackers, the zoo's own first; imports none of them."""
    return plugins.names(GROUP, OWN)


def trackers(wanted: Iterable[str]) -> dict[str, Tracker]:
    """The trackers of these names.

    Raises TrainingError where there is none of a name, or it is not installed, PluginError where a plugin's can't be
    used.
    """
    return {name: _tracker(name) for name in dict.fromkeys(wanted)}


def _tracker(name: str) -> Tracker:
    if name in OWN:
        if importlib.util.find_spec(name) is None:
            raise TrainingError(f"--track {name} needs {name}: pip install 'residual-zoo[{name}]'")
        own: Tracker = EntryPoint(name, OWN[name], GROUP).load()
        return own
    claim = plugins.only_claim(GROUP, name, "tracker")
    if claim is None:
        raise TrainingError(f"there is no tracker {name[:100]!r}; there are {', '.join(names())}")
    found = plugins.imported(claim, f"tracker {name}")
    if not callable(found):
        raise PluginError(
            f"tracker {name}: {claim.value} of plugin {claim.distribution} can't be called; it should make a report of "
            f"what is watched, mend its entry in [project.entry-points.{GROUP!r}]"
        )
    tracker: Tracker = found
    return tracker
