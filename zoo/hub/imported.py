"""Other people's weights as models: fetched from their author, brought under the zoo's names, kept in the cache.

ZOO_CACHE/converted/NAME-ID/    the model folder, with weights, of a record that says where they can be fetched
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import UNSET

from zoo import registry
from zoo.errors import FolderError, HashMismatch
from zoo.hub.download import DIGITS, Fetched, fetch, file_name
from zoo.record import card, store
from zoo.record.job import Versions
from zoo.record.lock import alone
from zoo.record.paths import cache, path_of
from zoo.record.replace import written_aside
from zoo.record.types import Claim, Download, File, Imported, Record, Source, is_tag
from zoo.spec import Architecture, Dataset, Model

if TYPE_CHECKING:
    from torch import nn

    from zoo.nets.conversion import Rule

WAIT = 600  # seconds, for another process that converts the same weights
Normalisation = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std, one each a channel


@dataclass(frozen=True, kw_only=True)
class Credit:
    """Whose weights they are, and what their author says of them."""

    by: str
    license: str  # as the Hub spells it
    address: str = ""  # where their file is published, where a copy of it is taken in
    revision: str = ""
    citation: str = ""
    claim: Claim | None = None


@dataclass(frozen=True)
class Computing:
    """What computes here: threads of the processor, and the versions of the software."""

    threads: int
    versions: Versions


@dataclass(frozen=True, eq=False)
class Converted:
    """A net with somebody else's weights, how their names were mapped, and a hash of the tensors."""

    net: nn.Module
    mapped: str
    tensors_sha256: str


def download_of(address: str, fetched: Fetched, done: Converted) -> Download | None:
    """Where weights can be fetched that were imported from a file; None without an address.

    The file may be a copy, saved anew, of the one at the address: then the address's name begins the hash of that one.
    """
    if not address:
        return None
    digits, name = DIGITS.search(file_name(address)), file_name(address)
    if digits is not None and not fetched.sha256.startswith(digits[1]):
        return Download(address=address, file=name, sha256=digits[1], tensors_sha256=done.tensors_sha256)
    return Download(
        address=address, file=name, sha256=fetched.sha256, bytes=fetched.size, tensors_sha256=done.tensors_sha256
    )


def record(
    model: Model,
    tag: str,
    credit: Credit,
    normalisation: Normalisation,
    computing: Computing,
    done: Converted,
    download: Download | None,
    content: bytes,
    rename: Sequence[Rule] = (),
) -> Imported:
    """The record of somebody's weights for a model, before they were measured; raises FolderError."""
    from zoo.nets.build import count

    return Imported(
        name=f"{model.name}.{tag}",
        architecture=model.architecture.name,
        dataset=model.dataset.name,
        classes=model.dataset.classes,
        input_size=model.dataset.input_size,
        resizing=model.dataset.resizing,
        mean=normalisation[0],
        std=normalisation[1],
        parameters=count(done.net),
        license=credit.license,
        paper=model.architecture.paper,
        files={store.WEIGHTS: File.of(content)},
        source=Source(
            by=credit.by,
            revision=credit.revision,
            citation=credit.citation,
            claim=credit.claim,
            mapped=done.mapped,
            rename=tuple(rename) or UNSET,
            threads=computing.threads,
            versions=computing.versions,
        ),
        download=download,
    )


def require_sound(model: Model, tag: str, normalisation: Normalisation) -> None:
    """Refuse a tag or a normalisation that can't be, before anything is fetched; raises FolderError."""
    if not is_tag(tag):
        raise FolderError(f"a tag should be of a-z, 0-9, '_' and '-', not {tag!r}; name another tag")
    channels = model.dataset.input_size[0]
    for what, values in zip(("mean", "std"), normalisation, strict=True):
        if len(values) != channels:
            raise FolderError(f"{what} should have {channels} numbers, one per channel, not {len(values)}")


def converted(
    architecture: Architecture, sees: Dataset | Record, fetched: Fetched, rename: Sequence[Rule] = ()
) -> Converted:
    """The net with the weights of a file, for what `sees` says of images and classes; raises WeightsError.

    The rules of `rename` are applied to the names of its tensors first.
    """
    from zoo.nets import conversion
    from zoo.nets.build import to_be_filled
    from zoo.nets.weights import tensors_sha256

    net = to_be_filled(architecture, sees)
    tensors = conversion.read(fetched.content, fetched.name)
    fitted = conversion.fitted(net, tensors, architecture.renamings, rename)
    net.load_state_dict(fitted.state_dict)
    return Converted(net.eval(), fitted.how, tensors_sha256(tensors))


def dump(net: nn.Module, name: str, by: str, original_sha256: str, normalisation: Normalisation) -> bytes:
    """The net's weights as safetensors, with whose they are and how images are normalised as metadata."""
    from zoo.nets import weights

    mean, std = map(json.dumps, normalisation)
    metadata = {"name": name, "by": by, "original_sha256": original_sha256, "mean": mean, "std": std}
    return weights.dump(net, metadata)


def tag_of(credit: Credit) -> str:
    """The tag of somebody's weights where none is given: the author's name, as far as a tag can be that."""
    return re.sub(r"[^a-z0-9_-]+", "-", credit.by.lower()).strip("-_")[:40]


def write_new(target: Path, config: Record, model: Model, content: bytes) -> tuple[Path, Record]:
    """Write a whole model folder where there is nothing yet; raises FolderError."""
    target = path_of(target)
    with alone(target):
        if os.path.lexists(target):
            raise FolderError(f"{target} is there already; remove it or name another folder")
        with written_aside(target) as aside:
            files = {store.README: card.render(config, [], model).encode(), store.WEIGHTS: content}
            return target, store.write(aside, config, files)


def downloaded(folder: Path, config: Record) -> Path:
    """The model folder in the cache, with weights, of `folder`, which has none: fetched and converted once.

    Raises HubError, HashMismatch, WeightsError or FolderError.
    """
    target = cache() / "converted" / f"{config.name}-{store.identity(folder)[:16]}"
    if _is_whole(target, config):  # also in a cache that can't be written
        return target
    with alone(target, wait=WAIT):
        if _is_whole(target, config):
            return target
        content = _weights(config)
        with written_aside(target) as aside:
            store.copy_files(folder, aside, weights=False)
            (aside / store.WEIGHTS).write_bytes(content)
    return target


def _weights(config: Record) -> bytes:
    """The weights of a record from where they can be fetched, as they are in its folder."""
    download = config.download
    assert download is not None
    known_hash = download.sha256 if len(download.sha256) == 64 else None
    fetched = fetch(download.address, sha256=known_hash, bytes=download.bytes)
    if File.of(fetched.content) == config.weights:
        return fetched.content
    # A first download was checked against the digits in its name. A copy in the cache is checked by its tensors.
    if not download.tensors_sha256 and not download.is_of(fetched.sha256):
        raise HashMismatch(
            f"{download.address} has SHA-256 {fetched.sha256}, expected one that begins with {download.sha256}; "
            "it is damaged or another file"
        )
    if not isinstance(config, Imported):
        raise HashMismatch(f"{download.address} has other weights than {config.name} was published with")
    architecture = registry.recorded(config.architecture, config.plugin_distribution)
    done = converted(architecture, config, fetched, config.source.rename or ())
    if download.tensors_sha256 not in ("", done.tensors_sha256):
        raise HashMismatch(
            f"{download.address} has tensors with SHA-256 {done.tensors_sha256}, expected {download.tensors_sha256}; "
            "it is another file"
        )
    content = dump(done.net, config.name, config.source.by, download.sha256, (config.mean, config.std))
    if File.of(content) != config.weights:
        raise HashMismatch(
            f"{download.address} is converted to other bytes than those that {config.name} was published with; "
            "update the zoo and its plugins"
        )
    return content


def _is_whole(folder: Path, config: Record) -> bool:
    """Whether the cache has the weights, and they are those of the record."""
    try:
        return store.check_whole(folder) == config
    except FolderError:
        return False
