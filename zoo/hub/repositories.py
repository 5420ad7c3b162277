"""Reads repositories of other libraries as models. The record is made from their config.json; nothing is written.

A plugin reads config.json (`zoo.formats`), and the result is checked like the record of a model folder. The weights are
compared with the hash that the Hub reports for the commit; in a folder on this machine, their own hash is used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from zoo import formats, registry
from zoo.decoding import SchemaError
from zoo.errors import BuildError, FolderError, NotFound, PluginError
from zoo.formats import Foreign
from zoo.hub.protocol import InHub, Repositories
from zoo.record import store
from zoo.record.job import Versions
from zoo.record.types import (
    MOST_CHANNELS,
    MOST_CLASSES,
    MOST_PIXELS,
    UNKNOWN_LICENSE,
    Download,
    File,
    Imported,
    Source,
    tag_of,
)
from zoo.spec import Architecture

MOST = 2**34  # bytes of weights
CARD_BYTES = 64 * 2**10  # the largest card that is read
LICENSE = re.compile(r"^license:\s*['\"]?([a-z0-9][a-z0-9.+-]{0,63})['\"]?\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Repository:
    """The record of a model in another library's repository, and the architecture that builds its net."""

    record: Imported
    architecture: Architecture


def read_repository(folder: Path, library: str, source: InHub | None) -> Repository:
    """Read a repository of another library.

    Args:
        folder: A folder with its config.json.
        library: The name of the library, for example "timm".
        source: The repository's commit in a hub; None for a folder on this machine.

    Raises:
        PluginError: No installed plugin reads the repositories of that library.
        FolderError: The repository is not a model that the zoo can load.
        HubError: The hub can't be read, or the repository has no weights (NotFound).
    """
    shown = folder if source is None else source.hub.address.model(source.name)
    try:
        foreign = formats.read(library, store.document(folder))
        weights = _weights(folder, source)
        record = _record(foreign, _license(folder, source), weights, source)
        store.encode(record)  # checks the bounds
    except (SchemaError, ValueError, FolderError) as error:
        raise FolderError(f"{shown}, a repository of {library}, can't be read: {error}") from None
    except (PluginError, BuildError) as error:
        raise type(error)(f"{shown}: {error}") from None
    return Repository(record, foreign.architecture)


def _record(foreign: Foreign, license: str, weights: File, source: InHub | None) -> Imported:  # noqa: A002
    """The record of imported weights that were not measured."""
    architecture = foreign.architecture
    by = "somebody" if source is None else source.hub.address.location
    return Imported(
        name=f"{architecture.name}_{foreign.dataset}.{tag_of(by) or 'somebody'}",
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
            revision="" if source is None else source.revision,
            threads=1,
            versions=Versions(torch="", numpy="", zoo="", plugin=registry.provider(architecture)),
        ),
        download=None if source is None else _download(source, weights),
    )


def _download(source: InHub, weights: File) -> Download:
    address = f"{source.hub.address.model(source.name)}/{store.WEIGHTS}@{source.revision}"
    return Download(address=address, file=store.WEIGHTS, sha256=weights.sha256, bytes=weights.bytes)


def _parameters(foreign: Foreign, weights: File) -> int:
    """Count the trainable parameters of the net without allocating them; raises SchemaError.

    A net with more values than a file of this size can have (two bytes per value) is refused.
    """
    from zoo.nets.build import outline

    channels, height, width = foreign.input_size
    for name, value, most in (
        ("channels", channels, MOST_CHANNELS),
        ("pixels a side", max(height, width), MOST_PIXELS),
        ("classes", len(foreign.classes), MOST_CLASSES),
    ):
        if not 1 <= value <= most:
            raise SchemaError(f"it should have from 1 to {most:,} {name}, not {value:,}")
    values, trainable = outline(foreign.architecture, foreign.input_size, len(foreign.classes))
    if not 2 * values <= weights.bytes <= MOST:
        raise SchemaError(f"its {store.WEIGHTS} has {weights.bytes:,} bytes, and its net {values:,} values")
    return trainable


def _weights(folder: Path, source: InHub | None) -> File:
    """The hash and size of the weights, as the hub reports them or of the file in the folder."""
    if source is not None:
        assert isinstance(source.hub, Repositories)
        return source.hub.weights_file(source.name, source.revision)
    if store.is_missing(folder / store.WEIGHTS):
        raise FolderError(f"{folder} has no {store.WEIGHTS}; other files of weights are not read")
    return File.of(store.read_regular(folder, store.WEIGHTS, MOST))


def _license(folder: Path, source: InHub | None) -> str:
    """The license in the metadata of the repository's card, or UNKNOWN_LICENSE."""
    try:
        if source is not None:
            folder = source.fetch([store.README])
        text = store.read_regular(folder, store.README, CARD_BYTES).decode(errors="replace")
    except (FolderError, NotFound):
        return UNKNOWN_LICENSE
    match = LICENSE.search(text.partition("---\n")[2].partition("\n---")[0])
    return match[1] if match else UNKNOWN_LICENSE
