"""Datasets by address, `KIND:REST`: the zoo's own kinds, and entry points of the group `zoo.datasets`."""

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
    """The folder that datasets are read from and downloaded to.

    Args:
        data: The folder that a person named, `~` expanded; without it ZOO_DATA, else `data/` in the cache.
    """
    named = data or os.environ.get("ZOO_DATA")
    return path_of(named) if named else cache() / "data"


def is_address(text: str) -> bool:
    """Whether a text is an address, `KIND:REST`; the name of a dataset has no colon."""
    return ":" in text


def open_collection(address: str, root: Path) -> Collection:
    """The images at an address, none of them read yet.

    Args:
        address: KIND:REST.
        root: The folder of datasets.

    Raises:
        DataError: There are no images.
        PluginError: A plugin's kind can't be used.
    """
    if not is_address(address):
        raise DataError(f"{address[:200]!r} is not the address of images; for a folder write folder:{address[:200]}")
    kind, _, rest = address.partition(":")
    opens = KINDS.load(kind)
    with KINDS.guarded(kind):
        collection = opens(rest, root)
    if not isinstance(collection, Collection):
        raise PluginError(f"{KINDS.what} {kind}: it gives a {type(collection).__name__}, expected {KINDS.expected}")
    return collection


@dataclass(frozen=True)
class DatasetRequest:
    """A dataset by name or address, and how its images are split."""

    address: str  # KIND:REST; the name of a declared dataset, or empty, for images that are nobody's own
    test_part: float | None = None  # the part of them that becomes the test set, if none is set apart
    skip_bad: bool = False  # leave out images that can't be read
