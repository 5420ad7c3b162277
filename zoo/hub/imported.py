"""Converts weights of other authors to model folders, and caches the converted weights.

ZOO_CACHE/converted/NAME-ID/    the model folder of a record whose weights are downloaded from another address
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo import registry
from zoo.errors import FolderError, HashMismatch
from zoo.hub.download import Fetched, fetch
from zoo.record import store
from zoo.record.lock import alone
from zoo.record.paths import cache
from zoo.record.replace import written_aside
from zoo.record.types import File, Imported, Record
from zoo.spec import Architecture, Dataset

if TYPE_CHECKING:
    from torch import nn

    from zoo.nets.conversion import Rule

WAIT = 600  # seconds to wait for another process that converts the same weights
Normalisation = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std, one value per channel


@dataclass(frozen=True, eq=False)
class Converted:
    """A net with weights of another author.

    Args:
        net: The net, in evaluation mode.
        mapped: How the names of the tensors were mapped to those of the net.
        tensors_sha256: A hash of the tensors in the file.
    """

    net: nn.Module
    mapped: str
    tensors_sha256: str


def convert(
    architecture: Architecture, sizes: Dataset | Record, file: Fetched, rename: Sequence[Rule] = ()
) -> Converted:
    """Load the weights in a file into a net.

    Args:
        architecture: The architecture of the net.
        sizes: The dataset or record with the input size and the classes of the net.
        file: The file of weights.
        rename: Rules that are applied to the names of the tensors first.

    Raises:
        WeightsError: The file can't be read, or its tensors do not fit the net.
    """
    from zoo.nets import conversion
    from zoo.nets.build import to_be_filled
    from zoo.nets.weights import tensors_sha256

    net = to_be_filled(architecture, sizes)
    tensors = conversion.read(file.content, file.name)
    fitted = conversion.fitted(net, tensors, architecture.renamings, rename)
    net.load_state_dict(fitted.state_dict)
    return Converted(net.eval(), fitted.how, tensors_sha256(tensors))


def dump(net: nn.Module, name: str, by: str, original_sha256: str, normalisation: Normalisation) -> bytes:
    """Return the net's weights as safetensors, with the author and the normalization in the metadata."""
    from zoo.nets import weights

    mean, std = map(json.dumps, normalisation)
    metadata = {"name": name, "by": by, "original_sha256": original_sha256, "mean": mean, "std": std}
    return weights.dump(net, metadata)


def downloaded(folder: Path, record: Record) -> Path:
    """Return a copy of a model folder in the cache, with the weights, which are downloaded and converted once.

    Raises HubError, HashMismatch, WeightsError or FolderError.
    """
    target = cache() / "converted" / f"{record.name}-{store.identity(folder)[:16]}"
    if _is_complete(target, record):  # without a lock, which a read-only cache does not allow
        return target
    with alone(target, wait=WAIT):
        if _is_complete(target, record):
            return target
        content = _weights(record)
        with written_aside(target) as aside:
            store.copy_files(folder, aside, weights=False)
            (aside / store.WEIGHTS).write_bytes(content)
    return target


def _weights(record: Record) -> bytes:
    """Download the weights of a record, and convert them if the file is not the record's model.safetensors."""
    download = record.download
    assert download is not None
    file = fetch(download.address, sha256=download.sha256 if len(download.sha256) == 64 else None, bytes=download.bytes)
    if File.of(file.content) == record.weights:
        return file.content
    # A first download was checked against the digits in its name. A copy in the cache is checked by its tensors.
    if not download.tensors_sha256 and not download.is_of(file.sha256):
        raise HashMismatch(
            f"{download.address} has SHA-256 {file.sha256}, expected one that begins with {download.sha256}; "
            "it is damaged or another file"
        )
    if not isinstance(record, Imported):
        raise HashMismatch(f"{download.address} has other weights than {record.name} was published with")
    architecture = registry.recorded(record.architecture, record.plugin_distribution)
    converted = convert(architecture, record, file, record.source.rename or ())
    if download.tensors_sha256 not in ("", converted.tensors_sha256):
        raise HashMismatch(
            f"{download.address} has tensors with SHA-256 {converted.tensors_sha256}, "
            f"expected {download.tensors_sha256}; it is another file"
        )
    content = dump(converted.net, record.name, record.source.by, download.sha256, (record.mean, record.std))
    if File.of(content) != record.weights:
        raise HashMismatch(
            f"{download.address} is converted to other bytes than those that {record.name} was published with; "
            "update the zoo and its plugins"
        )
    return content


def _is_complete(folder: Path, record: Record) -> bool:
    """Whether a folder in the cache has this record and its weights."""
    try:
        return store.check_whole(folder) == record
    except FolderError:
        return False
