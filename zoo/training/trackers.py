"""Which trackers there are: the zoo's own, and entry points of the group `zoo.reports`, named as the tracker.

    [project.entry-points."zoo.reports"]
    jsonl = "zoo_jsonl:JsonLines"

The value is called with the `Watched` of a run and returns its `Report` (`zoo.training.watch`). A tracker's module
is imported when it is asked for. No plugin can take the place of the zoo's own.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from zoo.errors import PluginError, TrainingError
from zoo.plugins import left_out, normal
from zoo.training.watch import Tracker

GROUP: Final = "zoo.reports"
# Each is an extra, and takes a module, of its own name.
OWN: Final = {"tensorboard": "zoo.training.tensorboard:TensorBoard"}


def names() -> list[str]:
    """The names of all trackers, the zoo's own first; imports none of them."""
    return [*OWN, *sorted({point.name for point in _declared()} - OWN.keys())]


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
    claims = [point for point in _declared() if point.name == name]
    if not claims:
        raise TrainingError(f"there is no tracker {name[:100]!r}; there are {', '.join(names())}")
    distributions = sorted(_distribution(point) for point in claims)
    if len(claims) > 1:
        raise PluginError(
            f"both {' and '.join(distributions)} claim the tracker {name}; "
            f"remove one of them with: pip uninstall {distributions[-1]}"
        )
    return _of_plugin(claims[0], distributions[0])


def _of_plugin(point: EntryPoint, distribution: str) -> Tracker:
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for what was asked for
            found = point.load()
    except (Exception, SystemExit) as error:  # a plugin may fail in any way
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise PluginError(
            f"tracker {point.name}: plugin {distribution} can't be imported ({reason}); "
            f"repair it, or remove it with: pip uninstall {distribution}"
        ) from error
    if not callable(found):
        raise PluginError(
            f"tracker {point.name}: {point.value} of plugin {distribution} can't be called; it should make a report of "
            f"what is watched, mend its entry in [project.entry-points.{GROUP!r}]"
        )
    tracker: Tracker = found
    return tracker


def _declared() -> list[EntryPoint]:
    return [point for point in entry_points(group=GROUP) if normal(_distribution(point)) not in left_out()]


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value
