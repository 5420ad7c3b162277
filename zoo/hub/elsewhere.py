"""A model in another library's repository: its facts as a Record, its weights where they are.

It is taken as it is, and nothing is written: the facts are what the plugin of that kind reads out of its config.json
(`zoo.formats`), held to the same gate as a model folder's; the weights are loaded as a folder's are, strictly, and
their hash is the one that the Hub has of the file at that commit, or on this machine the file's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from zoo import formats, registry
from zoo.decoding import SchemaError
from zoo.errors import BuildError, FolderError, HashMismatch, NotFound, OtherFormat, PluginError
from zoo.formats import Foreign
from zoo.hub.address import Address
from zoo.hub.protocol import Holding
from zoo.record import store
from zoo.record.job import Versions
from zoo.record.types import MOST_CHANNELS, MOST_CLASSES, MOST_PIXELS, UNKNOWN_LICENSE, Download, File, Imported, Source
from zoo.spec import Architecture

MOST = 2**34  # bytes of weights
CARD_BYTES = 64 * 2**10  # as far as a card is read
LICENSE = re.compile(r"^license:\s*['\"]?([a-z0-9][a-z0-9.-]{0,63})['\"]?\s*$", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Held:
    """Where a repository is held: a hub, its name in it, and a commit."""

    hub: Holding
    address: Address
    commit: str

    @property
    def name(self) -> str:
        """The repository's, in the hub."""
        assert self.address.name is not None
        return self.address.name


@dataclass(frozen=True, eq=False)
class Elsewhere:
    """A model in another library's repository, on this machine or in a hub."""

    folder: Path  # on this machine, where its config.json is
    held: Held | None  # None where that folder is all there is
    config: Imported
    architecture: Architecture

    @property
    def place(self) -> str:
        """Where it is: its whole path, or its address at the commit."""
        return str(self.folder.absolute()) if self.held is None else str(self.held.address.at(self.held.commit))

    def fetch(self) -> Path:
        """The folder with the weights in it, as the hub has hashed them; what is damaged is fetched again, once.

        Raises HashMismatch, NotFound, HubError or FolderError.
        """
        if self.held is None:
            return self.folder
        for anew in (False, True):
            path = self.held.hub.other_file(self.held.name, self.held.commit, store.WEIGHTS, anew=anew)
            try:
                store.read_file(path.parent, self.config, store.WEIGHTS)
                break
            except HashMismatch:
                if anew:
                    raise
        return path.parent


def elsewhere(found: OtherFormat, hub: Holding | None, address: Address | None) -> Elsewhere:
    """The model of a repository that was found where a model folder was looked for.

    `hub` and `address` are where it is held, None for a folder of this machine. Raises PluginError where nothing
    here reads that kind, FolderError for what can't be a model's, NotFound where it has no weights, or HubError.
    """
    folder = found.folder
    held = None if hub is None or address is None else Held(hub, address, folder.name)
    named = str(folder) if held is None else str(held.address)
    try:
        foreign = formats.read(found.kind, store.document(folder))
        weights = _local(folder) if held is None else held.hub.other_weights(held.name, held.commit)
        config = _config(foreign, _stated(folder, held), weights, held)
        store.encode(config)  # bounds what a stranger wrote
    except (SchemaError, ValueError, FolderError) as error:
        raise FolderError(f"{named} is no model that the zoo can take from {found.kind}: {error}") from None
    except (PluginError, BuildError) as error:
        raise type(error)(f"{named}: {error}") from None
    return Elsewhere(folder, held, config, foreign.architecture)


def _config(foreign: Foreign, license: str, weights: File, held: Held | None) -> Imported:  # noqa: A002
    """The facts as a model folder has them, of somebody else's weights that nobody here has measured."""
    architecture = foreign.architecture
    return Imported(
        name=f"{architecture.name}_{foreign.dataset}.{_tag(held)}",
        architecture=architecture.name,
        dataset=foreign.dataset,
        classes=foreign.classes,
        input_size=foreign.input_size,
        mean=foreign.mean,
        std=foreign.std,
        resizing=foreign.resizing,
        parameters=_parameters(foreign, weights),
        license=foreign.license or license,
        paper=architecture.paper,
        files={store.WEIGHTS: weights},
        source=Source(
            by="somebody" if held is None else held.address.place,
            revision="" if held is None else held.commit,
            threads=1,
            versions=Versions(torch="", numpy="", zoo="", plugin=registry.provider(architecture)),
        ),
        download=None if held is None else _download(held, weights),
    )


def _download(held: Held, weights: File) -> Download:
    address = f"{held.address}/{store.WEIGHTS}@{held.commit}"
    return Download(address=address, file=store.WEIGHTS, sha256=weights.sha256, bytes=weights.bytes)


def _tag(held: Held | None) -> str:
    """Whose weights they are, as far as a tag can say it."""
    return re.sub(r"[^a-z0-9_-]+", "-", held.address.place.lower() if held else "").strip("-_")[:40] or "somebody"


def _parameters(foreign: Foreign, weights: File) -> int:
    """How many trainable values its net has, counted without memory; raises SchemaError.

    What has more values than the file can have, of two bytes each, is refused before any is allocated.
    """
    from zoo.nets.build import outline

    channels, height, width = foreign.input_size
    for what, value, most in (
        ("channels", channels, MOST_CHANNELS),
        ("pixels a side", max(height, width), MOST_PIXELS),
        ("classes", len(foreign.classes), MOST_CLASSES),
    ):
        if not 1 <= value <= most:
            raise SchemaError(f"it should have from 1 to {most:,} {what}, not {value:,}")
    values, trainable = outline(foreign.architecture, foreign.input_size, len(foreign.classes))
    if not 2 * values <= weights.bytes <= MOST:
        raise SchemaError(f"its {store.WEIGHTS} has {weights.bytes:,} bytes, and its net {values:,} values")
    return trainable


def _local(folder: Path) -> File:
    """The weights' file in a folder of this machine, as it is; raises FolderError."""
    if store.is_missing(folder / store.WEIGHTS):
        raise FolderError(f"{folder} has no {store.WEIGHTS}; other files of weights are not read")
    return store.file_facts(store.read_regular(folder, store.WEIGHTS, MOST))


def _stated(folder: Path, held: Held | None) -> str:
    """The license that the repository's card names; UNKNOWN_LICENSE where it names none."""
    try:
        if held is not None:
            folder = held.hub.other_file(held.name, held.commit, store.README).parent
        text = store.read_regular(folder, store.README, CARD_BYTES).decode(errors="replace")
    except (FolderError, NotFound):
        return UNKNOWN_LICENSE
    header = text.partition("---\n")[2].partition("\n---")[0]
    said = LICENSE.search(header)
    return said[1] if said else UNKNOWN_LICENSE
