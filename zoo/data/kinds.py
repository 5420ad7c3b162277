"""Data sets by address, `KIND:REST`: the zoo's own kinds, and entry points of the group `zoo.datasets`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from zoo.errors import DataError, PluginError
from zoo.plugins import Group
from zoo.spec import Collection

KINDS: Final = Group[Callable[[str, Path], object]](
    "zoo.datasets",
    "kind of data set",
    "a function (rest: str, root: Path) that returns a zoo.plugin.Collection",
    own={"folder": "zoo.data.folder:open_folder", "torchvision": "zoo.data.of_torchvision:open_set"},
    unknown=DataError,
)


def is_address(text: str) -> bool:
    """Whether a text is `KIND:REST`, of whatever kind; a name of a data set has no colon."""
    return ":" in text


def open_collection(address: str, root: Path) -> Collection:
    """The pictures at an address, none of them looked at; `root` is the folder that data sets are in.

    Raises DataError where there are none, PluginError where a plugin's kind can't be used.
    """
    kind, _, rest = address.partition(":")
    opens = KINDS.load(kind)
    with KINDS.guarded(kind):
        collection = opens(rest, root)
    if not isinstance(collection, Collection):
        raise PluginError(f"{KINDS.what} {kind}: it gives a {type(collection).__name__}, expected {KINDS.expected}")
    return collection
