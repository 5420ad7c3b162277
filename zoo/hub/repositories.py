"""Other libraries' repositories as models: the record is made from their config.json, the weights stay where they are.

Nothing is written: what the plugin of that kind reads out of config.json (`zoo.formats`) is checked as a model folder's
record is; the weights are loaded strictly, and their hash is the one that the Hub has of the file at that commit, or
on this machine the file's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from zoo import formats, registry
from zoo.decoding import SchemaError
from zoo.errors import BuildError, FolderError, NotFound, PluginError
from zoo.formats import Foreign
from zoo.hub.address import Address
from zoo.hub.protocol import InHub, Repositories
from zoo.record import store
from zoo.record.job import Versions
from zoo.record.types import MOST_CHANNELS, MOST_CLASSES, MOST_PIXELS, UNKNOWN_LICENSE, Download, File, Imported, Source
from zoo.spec import Architecture

MOST = 2**34  # bytes of weights
CARD_BYTES = 64 * 2**10  # as far as a card is read
LICENSE = re.compile(r"^license:\s*['\"]?([a-z0-9][a-z0-9.+-]{0,63})['\"]?\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Repository:
    """A model in another library's repository: its record, what builds its net, and the folder on this machine."""

    record: Imported
    architecture: Architecture
    folder: Path


def repository(folder: Path, kind: str, commit: InHub | None) -> Repository:
    """The model of another library's repository, whose config.json is in `folder`.

    `commit` says where it is in a hub, None for a folder of this machine. Raises PluginError where nothing here reads
    that kind, FolderError for what can't be a model's, NotFound where it has no weights, or HubError.
    """
    named = str(folder) if commit is None else str(_address(commit))
    try:
        foreign = formats.read(kind, store.document(folder))
        weights = _weights(folder, commit)
        record = _record(foreign, _license(folder, commit), weights, commit)
        store.encode(record)  # bounds what a stranger wrote
    except (SchemaError, ValueError, FolderError) as error:
        raise FolderError(f"{named} is no model that the zoo can take from {kind}: {error}") from None
    except (PluginError, BuildError) as error:
        raise type(error)(f"{named}: {error}") from None
    return Repository(record, foreign.architecture, folder)


def _record(foreign: Foreign, license: str, weights: File, commit: InHub | None) -> Imported:  # noqa: A002
    """The record, as of somebody else's weights that nobody here has measured."""
    architecture = foreign.architecture
    by = "somebody" if commit is None else commit.hub.address.location
    tag = re.sub(r"[^a-z0-9_-]+", "-", by.lower()).strip("-_")[:40] or "somebody"
    return Imported(
        name=f"{architecture.name}_{foreign.dataset}.{tag}",
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
            by=by,
            revision="" if commit is None else commit.revision,
            threads=1,
            versions=Versions(torch="", numpy="", zoo="", plugin=registry.provider(architecture)),
        ),
        download=None if commit is None else _download(commit, weights),
    )


def _download(commit: InHub, weights: File) -> Download:
    address = f"{_address(commit)}/{store.WEIGHTS}@{commit.revision}"
    return Download(address=address, file=store.WEIGHTS, sha256=weights.sha256, bytes=weights.bytes)


def _address(commit: InHub) -> Address:
    return commit.hub.address.model(commit.name)


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


def _weights(folder: Path, commit: InHub | None) -> File:
    """The hash and size of the weights: those that the hub has, or of the file in a folder of this machine."""
    if commit is not None:
        assert isinstance(commit.hub, Repositories)
        return commit.hub.weights_file(commit.name, commit.revision)
    if store.is_missing(folder / store.WEIGHTS):
        raise FolderError(f"{folder} has no {store.WEIGHTS}; other files of weights are not read")
    return File.of(store.read_regular(folder, store.WEIGHTS, MOST))


def _license(folder: Path, commit: InHub | None) -> str:
    """The license that the repository's card names; UNKNOWN_LICENSE where it names none."""
    try:
        if commit is not None:
            folder = commit.fetch([store.README])
        text = store.read_regular(folder, store.README, CARD_BYTES).decode(errors="replace")
    except (FolderError, NotFound):
        return UNKNOWN_LICENSE
    header = text.partition("---\n")[2].partition("\n---")[0]
    said = LICENSE.search(header)
    return said[1] if said else UNKNOWN_LICENSE
