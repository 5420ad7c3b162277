"""Into a hub, and out of one.

What is published says of itself what is so: its card is the one of its facts, and no path of this machine is in it.
"""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import Final

import msgspec

from zoo.errors import FolderError, HubError, HubWarning, PluginError
from zoo.hub.address import is_address, parse_model
from zoo.hub.find import is_path
from zoo.hub.protocol import Hub, Pushed
from zoo.hub.published import Published
from zoo.hub.schemes import open_hub
from zoo.record import card, curve, store
from zoo.record.job import Job
from zoo.record.lock import alone
from zoo.record.paths import path_of
from zoo.record.replace import file_written_aside, written_aside
from zoo.record.types import UNKNOWN_LICENSE, Record, Trained
from zoo.spec import Model

LICENSE: Final = re.compile(r"[a-z0-9]+(?:[.+-][a-z0-9]+)*")


def unlicensed(name: str) -> str:
    """What is said to whoever would publish weights without a license."""
    return (
        f"{name} was trained on pictures of somebody's own, and may not be used by others until its license is said: "
        "give --license, as the Hub spells it: apache-2.0, cc-by-4.0, …"
    )


def push(folder: Path, *, hub: str | None = None) -> Pushed:
    """Publish a model folder under its model's name; raises FolderError or HubError.

    A card and a curve that are missing, or were rendered from something else, are rendered anew in the folder first. A
    card that a person edited is kept, and a HubWarning says so.
    """
    folder, target = path_of(folder), open_hub(hub)
    config = store.read_record(folder)  # the hub checks the files as it takes them
    store.require_weights(folder, config)
    _require_publishable(config, target)
    render(folder, config)
    return target.push(folder, config.name)


def relicense(folder: Path, license: str) -> Record:  # noqa: A002 - what it is called everywhere
    """Write another license into the record of a model folder; its other files stay as they are. Raises FolderError."""
    folder = path_of(folder)
    with alone(folder):
        config = msgspec.structs.replace(store.check(folder), license=license)
        _write(folder / store.CONFIG, store.encode(config))
        return config


def render(folder: Path, config: Record) -> card.State:
    """Render the card and the curve of a model folder anew where they are missing or stale; say which the card was.

    Where no plugin here knows the model's architecture and data set nothing is changed. Raises FolderError.
    """
    model = Published(config, folder)
    try:
        known = model.known
    except PluginError:
        return "current"
    if not isinstance(known, Model):
        return "current"  # its card has the title of a data set that nobody here knows
    rows, there = model.log(), store.presentation(folder)
    if isinstance(config, Trained) and not rows:
        raise FolderError(f"{folder / store.LOG} has no epoch; fetch or train the model again")
    text = card.render(config, rows, known)
    state: card.State = "stale"
    if store.README in there:
        written = store.read_regular(folder, store.README, store.PRESENTATION_BYTES)
        state = card.state(written.decode("utf-8", errors="replace"), text)
    if state == "stale":
        _write(folder / store.README, text.encode())
    if state == "edited":
        warnings.warn(
            HubWarning(f"{folder / store.README} was edited by a person and is published as it is"), stacklevel=3
        )
    if rows and store.CURVE not in there:
        _write(folder / store.CURVE, curve.draw(config.name, rows).encode())
    return state


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


def _write(path: Path, content: bytes) -> None:
    try:
        with file_written_aside(path) as file:
            file.write(content)
    except OSError as error:
        raise FolderError(f"{path} can't be written: {error.strerror}; make room") from None


def _require_publishable(config: Record, target: Hub) -> None:
    if isinstance(config, Trained) and config.pictures is not None and config.license == UNKNOWN_LICENSE:
        raise HubError(unlicensed(config.name))
    if isinstance(config, Trained):
        require_public(config.job, target)
    target.require_writable(config.name)


def _is_local(address: str) -> bool:
    return is_path(address) or (is_address(address) and parse_model(address).scheme == "file")


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
