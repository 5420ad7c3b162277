"""From a name, a path or an address to where a model is, and to its folder on this machine.

Weights of a name come from the hub that is named; without one from the catalogue, then from ZOO_HUB.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from zoo import registry
from zoo.errors import FolderError, HubError, NotFound, UnknownModel
from zoo.folder import store
from zoo.folder.config import Config
from zoo.hub.address import Address, is_address, parse_model
from zoo.hub.catalogue import catalogue
from zoo.hub.protocol import Hub
from zoo.hub.schemes import open_hub
from zoo.spec import NAME


@dataclass(frozen=True)
class InHub:
    """A model in a hub that is open."""

    hub: Hub
    name: str
    revision: str | None


# A model folder on this machine, or a model in a hub.
Located = Path | InHub


def locate(name_or_path_or_hub_id: str | Path, *, hub: str | None = None, revision: str | None = None) -> Located:
    """Where a model is; nothing is fetched yet. Raises NotFound, HubError, FolderError or UnknownModel."""
    text = str(name_or_path_or_hub_id)
    if is_address(text):
        if hub is not None:
            raise HubError(f"{text!r} names its hub itself; leave out {hub}")
        return _at(parse_model(text).at(revision))
    if not is_name(name_or_path_or_hub_id):
        path = Path(name_or_path_or_hub_id).expanduser()
        if not path.is_dir():
            raise FolderError(f"there is no folder {path}; a model in a hub is hf://namespace/name")
        return path
    name = full_name(text, hub)
    return InHub(source_of(name, hub, revision), name, revision)


def facts(located: Located) -> Config:
    """The facts of what is there; fetches no weights. Raises NotFound, HubError or FolderError."""
    return (
        store.read_config(located) if isinstance(located, Path) else located.hub.facts(located.name, located.revision)
    )


def fetch(located: Located, *, weights: bool = True) -> Path:
    """The folder on this machine of what is there; without `weights`, none are fetched for it.

    Raises NotFound, HubError or FolderError.
    """
    if isinstance(located, Path):
        return located
    path = located.hub.pull(located.name, located.revision, weights=weights)
    return _with_weights(path) if weights else path


def source_of(name: str, hub: str | None, revision: str | None) -> Hub:
    """The hub that a model's weights come from: the one named, else the catalogue, else ZOO_HUB's."""
    if hub is not None:
        return open_hub(hub)
    if revision is None and (catalogue().path / name).is_dir():
        return catalogue()
    if os.environ.get("ZOO_HUB"):
        return open_hub()
    what = name if revision is None else f"{name} at revision {revision}"
    raise NotFound(
        f"the catalogue has no weights of {what}; name the hub that has them (--hub, hub=…, or ZOO_HUB), "
        f"or train it: zoo train {name}"
    )


def is_name(name_or_path_or_hub_id: str | Path) -> bool:
    """Whether it can be a model's name, and is no path and no address."""
    return isinstance(name_or_path_or_hub_id, str) and bool(NAME.fullmatch(name_or_path_or_hub_id))


def full_name(name: str, hub: str | None) -> str:
    """The full name where a plugin knows the model; `hub` or ZOO_HUB's may have models that no plugin here knows."""
    try:
        return registry.resolve(name)
    except UnknownModel:
        if hub is None and not os.environ.get("ZOO_HUB"):
            raise
        return name


def place(source: Hub, name: str) -> str:
    """Where a model's weights are, in a word: the catalogue, or an address in a hub."""
    return "catalogue" if source.address == catalogue().address else str(source.address.model(name))


def _at(address: Address) -> InHub:
    assert address.name is not None
    return InHub(open_hub(address), address.name, address.revision)


def _with_weights(path: Path) -> Path:
    """The folder itself, or the one in a hub that has the weights it only pins; held against the pin."""
    config = store.read_config(path)
    if config.pin is None or (path / store.WEIGHTS).is_file():
        return path
    if not is_address(config.pin.hub):
        raise FolderError(f"{path} pins its weights to {config.pin.hub!r}; expected hf://namespace/name")
    pinned = _at(parse_model(config.pin.hub).at(config.pin.revision))
    fetched = pinned.hub.pull(pinned.name, pinned.revision)
    store.read_weights(fetched, config)
    return fetched
