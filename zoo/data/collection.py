"""Data sets by address, `KIND:REST`: the zoo's own kinds, and entry points of the group `zoo.datasets`.

A kind's module is imported when it is asked for. No plugin can take the place of the zoo's own.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Final

from zoo import plugins
from zoo.errors import DataError, PluginError, ZooError
from zoo.registry import close_to
from zoo.spec import Collection

GROUP: Final = "zoo.datasets"
OWN: Final = {
    "folder": "zoo.data.images:open_folder",
    "torchvision": "zoo.data.torchvision_datasets:open_set",
}


def kinds() -> list[str]:
    """The names of all kinds, the zoo's own first; imports none of them."""
    return plugins.names(GROUP, OWN)


def is_address(text: str) -> bool:
    """Whether a text is `KIND:REST`, of whatever kind; a name of a data set has no colon."""
    return ":" in text


def open_collection(address: str, root: Path) -> Collection:
    """The pictures at an address, none of them looked at; `root` is the folder that data sets are in.

    Raises DataError where there are none, PluginError where a plugin's kind can't be used.
    """
    kind, _, rest = address.partition(":")
    if kind in OWN:
        own: Collection = EntryPoint(kind, OWN[kind], GROUP).load()(rest, root)
        return own
    claim = plugins.only_claim(GROUP, kind, "kind of data set")
    if claim is None:
        close = close_to(kind, kinds())
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(kinds())}"
        raise DataError(f"there is no kind of data set {kind[:100]!r}; {hint}")
    opens = plugins.imported(claim, address)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found: object = opens(rest, root)
    except ZooError:
        raise
    except (Exception, SystemExit) as error:  # a plugin may fail in any way
        raise plugins.failing(claim, address, "can't open it", error) from error
    if not isinstance(found, Collection):
        raise PluginError(
            f"{address}: {claim.value} of plugin {claim.distribution} gives a {type(found).__name__}, expected a "
            "zoo.spec.Collection; mend it"
        )
    return found


@dataclass(frozen=True)
class DatasetRequest:
    """Which data set a person asks for, and how images of their own become its halves."""

    address: str  # KIND:REST; a declared data set's name, or nothing, where they are nobody's own
    test_part: float | None = None  # of them that are the test set, where nobody has set any apart
    skip_bad: bool = False  # leave out what can't be read
