"""Into a hub, and out of one.

What is published says of itself what is so: its card is the one of its facts, and no path of this machine is in it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from zoo.errors import FolderError, HubError, PluginError
from zoo.folder import card, store
from zoo.folder.config import UNKNOWN_LICENSE, Config
from zoo.folder.job import Job
from zoo.folder.lock import alone
from zoo.folder.paths import path_of
from zoo.folder.replace import written_aside
from zoo.hub.address import is_address, parse_hub, parse_model
from zoo.hub.find import is_path
from zoo.hub.protocol import Hub, Pinning, Pushed
from zoo.hub.published import Published
from zoo.hub.schemes import open_hub
from zoo.spec import Model

LICENSE: Final = re.compile(r"[a-z0-9]+(?:[.+-][a-z0-9]+)*")


def unlicensed(name: str) -> str:
    """What is said to whoever would publish weights without a license."""
    return (
        f"{name} was trained on pictures of somebody's own, and may not be used by others until its license is said: "
        "give --license, as the Hub spells it: apache-2.0, cc-by-4.0, …"
    )


def push(folder: Path, *, hub: str | None = None, weights_at: str | None = None) -> Pushed:
    """Publish a model folder under its model's name; raises FolderError or HubError.

    With `weights_at`, another hub, the weights are published there (the same bytes again change
    nothing), and `hub`, a folder as the catalogue is one, gets everything but them: their place,
    revision and hash instead.
    """
    folder, target = path_of(folder), open_hub(hub)
    if weights_at is None:
        config = store.read_config(folder)  # the hub checks the files, as it takes them
        if not isinstance(target, Pinning):
            store.require_weights(folder, config)
        _require_publishable(folder, config, target)
        return target.push(folder, config.name)
    if not isinstance(target, Pinning):
        raise HubError(
            f"only a folder can leave weights elsewhere, {target.address} has to have them; leave out {weights_at}"
        )
    elsewhere = open_hub(weights_at)
    if parse_hub(weights_at).scheme == "file":
        raise HubError(f"{weights_at} is of this machine, and a pin is for others; expected hf://namespace")
    config = store.read_config(folder)
    store.require_weights(folder, config)
    for one in (target, elsewhere):
        _require_publishable(folder, config, one)
    return target.push_pinned(folder, config.name, elsewhere.push(folder, config.name))


def require_public(job: Job, target: Hub) -> None:
    """Refuse a job that names a path of this machine, where the hub is not a folder of it itself; raises HubError."""
    named = {"teacher": job.recipe.teacher}
    named |= {what: one.address for what, one in (("teacher", job.teacher), ("start", job.start)) if one is not None}
    for what, address in named.items():
        if address is not None and _is_local(address) and target.address.scheme != "file":
            raise HubError(
                f"{job.name} can't be published: its {what} {address} is a path of this machine; "
                f"publish the {what} first, and train with the address that it has then"
            )


def _require_publishable(folder: Path, config: Config, target: Hub) -> None:
    _require_card(folder, config)
    if config.pictures is not None and config.license == UNKNOWN_LICENSE:
        raise HubError(unlicensed(config.name))
    if config.job is not None:
        require_public(config.job, target)
    target.require_writable(config.name)


def _is_local(address: str) -> bool:
    return is_path(address) or (is_address(address) and parse_model(address).scheme == "file")


def _require_card(folder: Path, config: Config) -> None:
    """Make sure that the card is the one of the facts and the log, where the plugins here can say so."""
    try:
        model = Published(config, folder)
        known = model.known
    except PluginError:
        return
    if not isinstance(known, Model):
        return  # its card has the title of a data set that nobody here knows
    rows = model.log()
    if not rows and config.origin is None:
        raise FolderError(f"{folder / store.LOG} has no epoch; fetch or train the model again")
    text = card.write(config, rows, known).encode()
    if config.files.get(store.README) != store.file_facts(text):
        raise FolderError(
            f"{folder / store.README} is not the card of its {store.CONFIG} and {store.LOG}; "
            f"write it anew with: zoo convert {folder}"
        )


def copy(model: Published, out: Path | None = None) -> Path:
    """Copy a published model folder, whole and hash checked, to `out` (`./NAME`); nothing where it is there already.

    Raises FolderError or HubError.
    """
    target = path_of(out or model.config.name)
    with alone(target):
        if os.path.lexists(target):
            if not _is(target, model):
                raise FolderError(f"{target} is there already; remove it or name another folder with --out")
            return target
        source, weights = model.folder, model.weights
        with written_aside(target) as aside:
            store.copy_files(source, aside)
            if weights != source:
                (aside / store.WEIGHTS).write_bytes(store.read_weights(weights, model.config))
                store.check_whole(aside)
    return target


def _is(folder: Path, model: Published) -> bool:
    """Whether a folder is that model's, whole."""
    try:
        return store.check_whole(folder) == model.config and store.identity(folder) == store.identity(model.folder)
    except FolderError:
        return False
