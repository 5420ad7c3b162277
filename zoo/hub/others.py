"""Other people's weights: under the zoo's names and in its container, kept in the cache once they were converted.

ZOO_CACHE/converted/NAME-ID/    a whole model folder, of one that only says where its weights are
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo import registry
from zoo.errors import FolderError, HashMismatch
from zoo.folder import card, store
from zoo.folder.config import Claim, Config, Provenance
from zoo.folder.gate import TAG
from zoo.folder.job import Versions
from zoo.folder.lock import alone
from zoo.folder.paths import cache, path_of
from zoo.folder.replace import written_aside
from zoo.hub.download import Fetched, fetch
from zoo.spec import Architecture, Dataset, Model

if TYPE_CHECKING:
    from torch import nn

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
class Original:
    """The file as its author published it; of one that nobody here had, the first 8 digits of its SHA-256."""

    name: str
    sha256: str
    bytes: int | None = None
    mapped: str = ""  # how the names of its tensors became the net's


@dataclass(frozen=True)
class Computing:
    """What computes here: threads of the processor, and the versions of the software."""

    threads: int
    versions: Versions


@dataclass(frozen=True, eq=False)
class Converted:
    """A net with somebody else's weights, in evaluation mode, and in one line how the names of its tensors came."""

    net: nn.Module
    mapped: str


def facts(
    model: Model,
    tag: str,
    credit: Credit,
    original: Original,
    normalisation: Normalisation,
    computing: Computing,
) -> Config:
    """The facts of somebody's weights for a model, as long as nobody has had them; raises FolderError."""
    from zoo.nets.build import parameters

    if not TAG.fullmatch(tag):
        raise FolderError(f"a tag should be of a-z, 0-9, '_' and '-', not {tag!r}; give one with --tag")
    channels = model.dataset.input_size[0]
    for what, values in zip(("mean", "std"), normalisation, strict=True):
        if len(values) != channels:
            raise FolderError(f"{what} should have {channels} numbers, one a channel, not {len(values)}")
    return Config(
        name=f"{model.name}.{tag}",
        architecture=model.architecture.name,
        dataset=model.dataset.name,
        classes=model.dataset.classes,
        input_size=model.dataset.input_size,
        resizing=model.dataset.resizing,
        mean=normalisation[0],
        std=normalisation[1],
        parameters=parameters(model),
        license=credit.license,
        paper=model.architecture.paper,
        job=None,
        recipe_sha256=None,
        training=None,
        results=None,
        environment=None,
        known_answers=(),
        files={},
        origin=Provenance(
            by=credit.by,
            address=credit.address,
            file=original.name,
            sha256=original.sha256,
            bytes=original.bytes,
            revision=credit.revision,
            citation=credit.citation,
            claim=credit.claim,
            mapped=original.mapped,
            threads=computing.threads,
            versions=computing.versions,
        ),
    )


def converted(architecture: Architecture, sees: Dataset | Config, fetched: Fetched) -> Converted:
    """The net with the weights of a file, for what `sees` says of images and classes; raises WeightsError."""
    from zoo.nets import foreign
    from zoo.nets.build import to_be_filled

    net = to_be_filled(architecture, sees)
    tensors = foreign.read(fetched.content, fetched.name)
    ordered_on = None if foreign.is_safetensors(fetched.content) else sees.input_size
    fitted = foreign.fitted(net, tensors, architecture.renamings, ordered_on=ordered_on)
    net.load_state_dict(fitted.state_dict)
    return Converted(net.eval(), fitted.how)


def dump(net: nn.Module, config: Config) -> bytes:
    """The net's weights as safetensors, with whose they are and how images are normalised as metadata."""
    from zoo.nets import weights

    assert config.origin is not None
    metadata = {"name": config.name, "by": config.origin.by, "original_sha256": config.origin.sha256}
    return weights.dump(net, metadata | {"mean": json.dumps(config.mean), "std": json.dumps(config.std)})


def tag_of(credit: Credit) -> str:
    """The tag of somebody's weights where none is given: the author's name, as far as a tag can be that."""
    return re.sub(r"[^a-z0-9_-]+", "-", credit.by.lower()).strip("-_")[:40]


def write_new(target: Path, config: Config, known: Model | Architecture, content: bytes) -> tuple[Path, Config]:
    """Write a whole model folder where there is nothing yet; raises FolderError."""
    target = path_of(target)
    with alone(target):
        if os.path.lexists(target):
            raise FolderError(f"{target} is there already; remove it or name another folder with --out")
        with written_aside(target) as aside:
            return target, write(aside, config, known, content)


def write(folder: Path, config: Config, known: Model | Architecture, content: bytes | None) -> Config:
    """Write a model folder into an empty folder, its card too; without `content`, one that has no weights yet."""
    if content is not None:
        config = dataclasses.replace(config, files={store.WEIGHTS: store.file_facts(content)})
    files = {store.README: card.write(config, [], known).encode()}
    return store.write(folder, config, files if content is None else {**files, store.WEIGHTS: content})


def whole(folder: Path, config: Config) -> Path:
    """The whole model folder of one that only says where its weights are: fetched and converted once.

    Raises HubError, HashMismatch, WeightsError or FolderError.
    """
    assert config.origin is not None
    origin = config.origin
    place = cache() / "converted" / f"{config.name}-{store.identity(folder)[:16]}"
    with alone(place):
        if _is_whole(place, config):
            return place
        known_hash = origin.sha256 if len(origin.sha256) == 64 else None
        fetched = fetch(origin.address, sha256=known_hash, bytes=origin.bytes)
        if not fetched.sha256.startswith(origin.sha256):
            raise HashMismatch(
                f"{origin.address} has SHA-256 {fetched.sha256}, expected one that begins with {origin.sha256}; "
                "it is damaged or another file"
            )
        architecture = registry.recorded(config.architecture, config.plugin_distribution)
        done = converted(architecture, config, fetched)
        origin = dataclasses.replace(origin, sha256=fetched.sha256, bytes=fetched.size, mapped=done.mapped)
        had = dataclasses.replace(config, origin=origin)
        content = dump(done.net, had)
        expected = config.files.get(store.WEIGHTS)
        if expected not in (None, store.file_facts(content)):
            raise HashMismatch(
                f"{origin.address} is converted to other bytes than those that {config.name} was published with; "
                "update the zoo and its plugins"
            )
        with written_aside(place) as aside:
            write(aside, had, architecture, content)
    return place


def _is_whole(place: Path, config: Config) -> bool:
    """Whether the cache has the weights, and they are those of the facts."""
    try:
        kept = store.check_whole(place)
    except FolderError:
        return False
    return kept.name == config.name and config.files.get(store.WEIGHTS) in (None, kept.weights)
