"""Data sets by address, `KIND:REST`: the zoo's own kinds, and entry points of the group `zoo.datasets`.

A kind's module is imported when it is asked for. No plugin can take the place of the zoo's own.
"""

from __future__ import annotations

import contextlib
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final

from zoo.errors import DataError, PluginError, ZooError
from zoo.registry import close_to
from zoo.spec import Collection

GROUP: Final = "zoo.datasets"
OWN: Final = {
    "folder": "zoo.data.folder:open_folder",
    "torchvision": "zoo.data.of_torchvision:open_set",
}


def kinds() -> list[str]:
    """The names of all kinds, the zoo's own first; imports none of them."""
    return [*OWN, *sorted({point.name for point in entry_points(group=GROUP)} - OWN.keys())]


def is_address(text: str) -> bool:
    """Whether a text is `KIND:REST`, of whatever kind; a name of a data set has no colon."""
    return ":" in text


def open_collection(address: str, root: Path) -> Collection:
    """The pictures at an address, none of them looked at; `root` is the folder that data sets are in.

    Raises DataError where there are none, PluginError where a plugin's kind can't be used.
    """
    kind, _, rest = address.partition(":")
    point = _point(kind)
    whose = "the zoo" if kind in OWN else f"plugin {point.dist.name if point.dist else point.value}"
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found: object = point.load()(rest, root)
    except ZooError:
        raise
    except (Exception, SystemExit) as error:  # a plugin may fail in any way
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise PluginError(f"data sets of kind {kind}, of {whose}: {address} can't be opened ({reason})") from error
    if not isinstance(found, Collection):
        raise PluginError(
            f"data sets of kind {kind}, of {whose}: gives a {type(found).__name__}, expected a zoo.spec.Collection"
        )
    return found


def _point(kind: str) -> EntryPoint:
    if kind in OWN:
        return EntryPoint(kind, OWN[kind], GROUP)
    claims = [point for point in entry_points(group=GROUP) if point.name == kind]
    if not claims:
        close = close_to(kind, kinds())
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(kinds())}"
        raise DataError(f"there is no kind of data set {kind[:100]!r}; {hint}")
    if len(claims) > 1:
        names = sorted(point.dist.name if point.dist else point.value for point in claims)
        raise PluginError(f"{' and '.join(names)} claim the kind of data set {kind}; remove all but one of them")
    return claims[0]
