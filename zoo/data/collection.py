"""Images by address, `KIND:REST`: the zoo's own kinds, and entry points of the group `zoo.datasets`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zoo.errors import DataError, PluginError
from zoo.plugins import Group
from zoo.record.paths import cache, path_of
from zoo.spec import Collection

KINDS: Final = Group[Callable[[str, Path], object]](
    "zoo.datasets",
    "kind of dataset",
    "a function (rest: str, root: Path) that returns a zoo.plugin.Collection",
    own={"folder": "zoo.data.images:open_folder", "torchvision": "zoo.data.torchvision_datasets:open_set"},
    unknown=DataError,
)


def root_of(data: str | Path | None = None) -> Path:
    """The folder that datasets are read from and downloaded to: `data`, else ZOO_DATA, else `data/` in the cache."""
    path = data or os.environ.get("ZOO_DATA")
    return path_of(path) if path else cache() / "data"


def is_address(text: str) -> bool:
    """Whether a text is an address, `KIND:REST`, and not the name of a dataset."""
    return ":" in text


def open_collection(address: str, root: Path) -> Collection:
    """Open the images at an address, without reading them.

    Args:
        address: The address, `KIND:REST`.
        root: The folder of datasets.

    Raises:
        DataError: There is no such kind, or there are no images at the address.
        PluginError: The plugin of the kind fails, or returns something else.
    """
    if not is_address(address):
        raise DataError(f"{address[:200]!r} is not an address, KIND:REST; for a folder use folder:{address[:200]}")
    kind, _, rest = address.partition(":")
    open_kind = KINDS.load(kind)
    with KINDS.guarded(kind):
        collection = open_kind(rest, root)
    if not isinstance(collection, Collection):
        raise PluginError(f"{KINDS.what} {kind}: it returns a {type(collection).__name__}, expected {KINDS.expected}")
    return collection


@dataclass(frozen=True)
class DatasetRequest:
    """The address of images, and how they are split."""

    address: str  # KIND:REST
    test_part: float | None = None  # fraction of the images to hold out, if there is no test set
    skip_bad: bool = False  # whether to leave out images that can't be read
