"""Into a hub, and out of one.

There is one way in, for `zoo push` and for `--push` of train, export and import: the folder is checked, its card made
the card of its record, and the hub stores the files, comparing what it has.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from zoo.errors import FolderError, HubError, NotFound, PluginError
from zoo.folder import card, store
from zoo.folder.config import UNKNOWN_LICENSE, Config
from zoo.folder.job import Job
from zoo.folder.lock import alone
from zoo.folder.paths import path_of
from zoo.folder.replace import written_aside
from zoo.hub.address import Address, parse
from zoo.hub.protocol import CardState, Hub, Pushed
from zoo.hub.resolve import Published, published
from zoo.spec import Model

LICENSE: Final = re.compile(r"[a-z0-9]+(?:[.+-][a-z0-9]+)*")
CARD_BYTES: Final = 2**24


def publish(folder: Path, hub: Hub) -> Pushed:
    """Publish a model folder under its model's name; raises FolderError or HubError.

    Each file is read once, its hash checked. A stale card is rendered anew, one that a person edited is kept.
    """
    model = published(path_of(folder))
    record = model.config
    if model.other is not None:
        raise FolderError(f"{folder} is another library's repository, and no model folder")
    require_publishable(record, hub)
    files = dict(model.files(weights=hub.address.scheme != "file" or not record.may_lack_weights))
    if record.origin is None and not model.log():
        raise FolderError(f"{folder / store.LOG} has no epoch; fetch or train the model again")
    files[store.README], state = _card(model, files.get(store.README))
    if state != "edited" and (theirs := _edited_card(hub, record.name)) is not None:
        files[store.README], state = theirs, "edited"
    pushed = hub.publish(record.name, files)
    return pushed if pushed.card == "edited" else replace(pushed, card=state)


def require_publishable(record: Config, hub: Hub) -> None:
    """Refuse what should not be published, and a hub that would not take it; raises HubError."""
    if record.pictures is not None and record.license == UNKNOWN_LICENSE:
        raise HubError(unlicensed(record.name))
    if record.job is not None:
        require_public(record.job, hub)
    hub.require_writable(record.name)


def unlicensed(name: str) -> str:
    """The message for weights that can't be published without a license."""
    return (
        f"{name} was trained on pictures of somebody's own, and may not be used by others until its license is said: "
        "give a license, as the Hub spells it: apache-2.0, cc-by-4.0, …"
    )


def require_public(job: Job, hub: Hub) -> None:
    """Refuse a job that names a path of this machine, where the hub is not a folder of it itself; raises HubError."""
    named = {"teacher": job.recipe.teacher}
    named |= {what: one.address for what, one in (("teacher", job.teacher), ("start", job.start)) if one is not None}
    for what, address in named.items():
        if address is not None and _is_local(address) and hub.address.scheme != "file":
            raise HubError(
                f"{job.name} can't be published: its {what} {address} is a path of this machine; "
                f"publish the {what} first, and train with the address that it has then"
            )


def _is_local(text: str) -> bool:
    reference = parse(text)
    return isinstance(reference, Path) or (isinstance(reference, Address) and reference.scheme == "file")


def _card(model: Published, text: bytes | None) -> tuple[bytes, CardState]:
    """The card to publish: the one that is there, where it is current or a person edited it, else rendered anew.

    Where no plugin here has the data set, nobody here can render it, and it is published as it is.
    """
    try:
        known = model.known
    except PluginError:
        return text or b"", "current"
    if text is not None and not isinstance(known, Model):
        return text, "current"
    rendered = card.write(model.config, model.log(), known).encode()
    if text is None or (text != rendered and not _is_edited(text, model.config)):
        return rendered, "rendered"
    return text, "current" if text == rendered else "edited"


def _is_edited(text: bytes, record: Config) -> bool:
    """Whether a person edited a card that the zoo rendered."""
    return record.files.get(store.README) != store.file_facts(text)


def _edited_card(hub: Hub, name: str) -> bytes | None:
    """The card of the newest revision in a hub, where a person edited it there."""
    try:
        newest = hub.resolve(name)
        text = store.read_regular(hub.fetch(name, newest.id, [store.README]), store.README, CARD_BYTES)
    except (NotFound, FolderError):
        return None
    return text if _is_edited(text, newest.record) else None


def pull(model: Published, out: Path | None = None) -> Path:
    """Copy a published model, every file, hashes checked, to `out` (`./NAME`); nothing where it is there already.

    Raises FolderError or HubError.
    """
    target = path_of(out or model.config.name)
    with alone(target):
        if os.path.lexists(target):
            if not _is(target, model):
                raise FolderError(f"{target} is there already; remove it or name another folder")
            return target
        with written_aside(target) as aside:
            for file, content in model.files():
                (aside / file).parent.mkdir(parents=True, exist_ok=True)
                (aside / file).write_bytes(content)
    return target


def _is(folder: Path, model: Published) -> bool:
    """Whether a folder is that model's, whole."""
    try:
        there = published(folder)
        there.check(weights=True)
    except (FolderError, HubError):
        return False
    return there.config == model.config
