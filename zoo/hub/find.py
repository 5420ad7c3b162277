"""From a name, a path or an address to where a model is, and to its folder on this machine.

A name is a name and a path is a path, whatever lies here: what begins with a scheme is an address, what has a
separator or begins with `.` or `~` is a path (and so is a pathlib.Path), all else is a name. A folder called as
a model is meant by `./NAME`; who gives the name is told so.

Weights of a name come from the hub that is named; without one from ZOO_HUB's, and from the catalogue where
that one does not have the model. (A push goes to the hub that is named, else to ZOO_HUB's, else to `hf://`.)
"""

from __future__ import annotations

import contextlib
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from zoo import registry
from zoo.errors import FolderError, HubError, NameWarning, NotFound, NotPublished, OtherFormat, UnknownModel
from zoo.folder import store
from zoo.folder.config import Config
from zoo.folder.paths import is_folder, path_of
from zoo.hub.address import Address, is_address, parse_model
from zoo.hub.catalogue import catalogue, variants
from zoo.hub.elsewhere import Elsewhere, elsewhere
from zoo.hub.protocol import Holding, Hub
from zoo.hub.schemes import open_hub


@dataclass(frozen=True)
class InHub:
    """A model in a hub that is open."""

    hub: Hub
    name: str
    revision: str | None


# A model folder on this machine, a model in a hub, or one in another library's repository.
Located = Path | InHub | Elsewhere


def locate(name_or_path_or_hub_id: str | Path, *, hub: str | None = None, revision: str | None = None) -> Located:
    """Where a model is; nothing is fetched yet. Raises NotFound, HubError, FolderError or UnknownModel."""
    text = str(name_or_path_or_hub_id)
    if is_address(text):
        if hub is not None:
            raise HubError(f"{text!r} names its hub itself; leave out {hub}")
        return _at(parse_model(text).at(revision))
    if is_path(name_or_path_or_hub_id):
        for said in (hub, revision):
            if said is not None:
                raise HubError(f"{text} is a path, which is in no hub and has no revisions; leave out {said}")
        path = path_of(name_or_path_or_hub_id)
        if path.is_file():
            raise FolderError(
                f"{path} is a file, and no model folder; give the folder that it is in, {path.parent}, or a file of "
                f"weights by itself with: zoo eval MODEL --weights {path}"
            )
        if not is_folder(path):
            raise FolderError(f"there is no folder {path}; a model in a hub is hf://namespace/name")
        return path
    name = full_name(text, hub)
    return InHub(source_of(name, hub, revision), name, revision)


def facts(located: Located) -> Config:
    """The facts of what is there; fetches no weights. Raises NotFound, HubError or FolderError.

    OtherFormat where it is a repository of another library's: `taken` takes that.
    """
    if isinstance(located, Elsewhere):
        return located.config
    if isinstance(located, Path):
        return store.read_config(located)
    return located.hub.facts(located.name, located.revision)


def taken(located: Located, found: OtherFormat) -> Elsewhere:
    """The model of another library's repository that was found there; raises what `elsewhere` raises."""
    if isinstance(located, InHub) and isinstance(located.hub, Holding):
        return elsewhere(found, located.hub, located.hub.address.model(located.name))
    return elsewhere(found, None, None)


def fetch(located: Located, *, weights: bool = True) -> Path:
    """The folder on this machine of what is there; without `weights`, none are fetched for it.

    Weights that it only pins are not in it: see `fetch_weights`. Raises NotFound, HubError or FolderError.
    """
    if isinstance(located, Path):
        return located
    if isinstance(located, Elsewhere):
        return located.fetch() if weights else located.folder
    return located.hub.pull(located.name, located.revision, weights=weights)


def fetch_weights(located: Located, config: Config) -> Path:
    """The folder on this machine with the weights of what is there: its own, or the one that it pins.

    `config` are the facts of what is there. Of a folder that is pinned the weights alone are used, and
    held against those facts. Raises NotFound, HubError, FolderError or HashMismatch.
    """
    folder = fetch(located)
    if not config.may_lack_weights or not store.is_missing(folder / store.WEIGHTS):
        return folder
    if config.pin is None:
        return _from_their_author(located, folder, config)
    if not is_address(config.pin.hub) or (address := parse_model(config.pin.hub)).scheme == "file":
        raise FolderError(f"{folder} pins its weights to {config.pin.hub!r}; expected hf://namespace/name")
    if not _may_pin(located, address):
        require_allowed(config.pin.hub, f"the file of weights of {config.name}")
    pinned = _at(address.at(config.pin.revision))
    fetched = pinned.hub.pull(pinned.name, pinned.revision)
    store.read_weights(fetched, config)
    return fetched


def require_allowed(named: str, what: str) -> None:
    """Refuse to ask a hub, or to read a path, that somebody's folder names and nobody here has allowed.

    Allowed is what ZOO_TRUST lists, hubs' and models' addresses and paths, a comma between two; a
    name is always. `what` is said in the error: whose teacher, whose weights. Raises HubError.
    """
    if not is_name(named) and not is_trusted(named):
        raise HubError(
            f"{what} is said to be at {named}; nothing is fetched there unasked: to allow it, list it in ZOO_TRUST"
        )


def is_trusted(named: str) -> bool:
    """Whether ZOO_TRUST lists a model's address, its hub's, or a path."""
    place = str(parse_model(named).hub) if is_address(named) else named
    trusted = {one.strip().rstrip("/") for one in os.environ.get("ZOO_TRUST", "").split(",")}
    return bool(trusted & {named.rstrip("/"), place})


def source_of(name: str, hub: str | None, revision: str | None) -> Hub:
    """The hub that a model's weights come from: the one named, else ZOO_HUB's, else the catalogue.

    Raises NotPublished where none is named and the catalogue has no weights, or what asking ZOO_HUB's raises.
    """
    if hub is not None:
        return open_hub(hub)
    shipped = catalogue()
    in_catalogue = is_folder(shipped.path / name)
    if os.environ.get("ZOO_HUB"):
        own = open_hub()
        falls_back = in_catalogue and not _has(own, name, revision) and _has(shipped, name, revision)
        return shipped if falls_back else own
    if in_catalogue:
        return shipped
    base, tag = tagged(name)
    if tag is not None:
        there = ", ".join(variants(base)) or "none"
        raise NotFound(f"the catalogue has no weights of {name}; of other people's for {base} it has {there}")
    what, kind = (name, NotPublished) if revision is None else (f"{name} at revision {revision}", NotFound)
    others = f" (other people's are there: {', '.join(variants(name))})" if variants(name) else ""
    raise kind(
        f"the catalogue has no weights of {what}{others}; name the hub that has them (--hub, hub=…, or ZOO_HUB), "
        f"or train it: zoo train {name}"
    )


def tagged(name: str) -> tuple[str, str | None]:
    """A name as a model's full name, and the tag of other people's weights for it, `NAME.TAG`, where it has one.

    Raises UnknownModel.
    """
    try:
        return registry.resolve(name), None
    except UnknownModel:
        base, dot, tag = name.rpartition(".")
        if not dot:
            raise
        with contextlib.suppress(UnknownModel):
            return registry.resolve(base), tag
        raise


def is_path(name_or_path_or_hub_id: str | Path) -> bool:
    """Whether it is a path: no address, and with a separator in it or a `.` or `~` at its beginning."""
    if isinstance(name_or_path_or_hub_id, Path):
        return True
    text, separators = name_or_path_or_hub_id, [one for one in (os.sep, os.altsep) if one]
    return not is_address(text) and (text.startswith((".", "~")) or any(one in text for one in separators))


def is_name(name_or_path_or_hub_id: str | Path) -> bool:
    """Whether it is a name: no path and no address."""
    return not is_path(name_or_path_or_hub_id) and not is_address(str(name_or_path_or_hub_id))


def full_name(name: str, hub: str | None) -> str:
    """The full name where a plugin knows the model; `hub` or ZOO_HUB's may have models that no plugin here knows.

    A folder here that is called so is not meant, and a NameWarning says by what it would be. Raises UnknownModel.
    """
    is_folder_too = bool(name) and is_folder(Path(name))
    try:
        base, tag = tagged(name)
        full = base if tag is None else f"{base}.{tag}"
    except UnknownModel as error:
        if hub is None and not os.environ.get("ZOO_HUB"):
            hint = f"; ./{name} is a folder here: give ./{name} to mean it" if is_folder_too else ""
            raise UnknownModel(f"{error}{hint}") from None
        full = name
    if is_folder_too:
        warnings.warn(NameWarning(f"./{name} is a folder here too; give ./{name} to mean it"), stacklevel=3)
    return full


def place(source: Hub, name: str) -> str:
    """Where a model's weights are, in a word: the catalogue, or an address in a hub."""
    return "catalogue" if source.address == catalogue().address else str(source.address.model(name))


def _at(address: Address) -> InHub:
    assert address.name is not None
    return InHub(open_hub(address), address.name, address.revision)


def _from_their_author(located: Located, folder: Path, config: Config) -> Path:
    """The folder in the cache with weights that their author published, fetched and converted."""
    from zoo.hub import others

    assert config.origin is not None
    if not _is_shipped(located):
        require_allowed(config.origin.address, f"the file of weights of {config.name}")
    return others.whole(folder, config)


def _is_shipped(located: Located) -> bool:
    """Whether what is there is the catalogue's."""
    if isinstance(located, Path):
        return located.resolve().parent == catalogue().path.resolve()
    return isinstance(located, InHub) and located.hub.address == catalogue().address


def _may_pin(located: Located, address: Address) -> bool:
    """Whether what is there may have its weights at that address unasked: the catalogue, and the very hub it is in."""
    return _is_shipped(located) or (isinstance(located, InHub) and located.hub.address == address.hub)


def _has(hub: Hub, name: str, revision: str | None) -> bool:
    try:
        hub.facts(name, revision)
    except NotFound:
        return False
    return True
