"""Into a hub, and out of one.

There is one way in, for `zoo push` and for `--push` of train, export and import: the folder is checked, its card made
the card of its record, and the hub stores the files, comparing what it has.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from zoo import registry
from zoo.errors import FolderError, HubError, NotFound, PluginError, UnknownModel
from zoo.hub.address import Address, parse
from zoo.hub.catalogue import catalogue
from zoo.hub.protocol import Cards, Hub, Pushed, Revision
from zoo.hub.resolve import Published, published
from zoo.record import card, curve, store
from zoo.record.job import Job
from zoo.record.lock import alone
from zoo.record.paths import path_of
from zoo.record.replace import write_file, written_aside
from zoo.record.types import UNKNOWN_LICENSE, Environment, EpochRow, File, Record, Results, Trained, Training
from zoo.spec import Model

# The ids that the Hub takes in a card: https://huggingface.co/docs/hub/repositories-licenses
_LICENSES: Final = """
afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0
bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0
cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0
cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0
cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2
fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0 grok2-community h-research intel-research isc lgpl
lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl
odc-by ofl-1.1 openmdw-1.0 openrail openrail++ osl-3.0 pddl postgresql unlicense wtfpl zlib
"""
LICENSES: Final = frozenset(_LICENSES.split())


def sound_license(given: str) -> str:
    """The license as it was given: an id of the Hub or the address of its text (https://); raises HubError."""
    if given not in LICENSES and not re.fullmatch(r"https://[^\s/]+\S*", given):
        raise HubError(
            "license should be a Hugging Face license id, apache-2.0 or cc-by-4.0, or the https:// address of a text, "
            f"not {given!r}"
        )
    return given


def publish(folder: Path, hub: Hub) -> Pushed:
    """Publish a model folder under its model's name; raises FolderError or HubError.

    Each file is read once, its hash checked. A card that was not edited is rendered for the hub; an edited one is kept.
    """
    folder = path_of(folder)
    model = published(folder)
    record = model.config
    model.require_record()
    if hub.address.scheme != "file" or record.download is None:
        store.require_weights(folder, record)
    require_publishable(record, hub)
    files = dict(model.files(weights=False))
    if store.WEIGHTS in files:
        store.require_sound_weights(files[store.WEIGHTS], record, folder / store.WEIGHTS)
    log = model.log()
    shown, state = _presentation(model, hub, log, files)
    files |= shown
    newest = _newest(hub, record.name)
    if newest is not None:
        _require_order(record, newest.record.classes, f"{hub.address.model(record.name)} was published with")
    if state != "edited" and newest is not None and (theirs := _edited_card(hub, record.name, newest.id)) is not None:
        files[store.README], state = theirs, "edited"
    if isinstance(hub, Cards) and store.README in files:
        hub.require_card(record.name, files[store.README].decode(errors="replace"))
    pushed = hub.publish(record.name, files)
    return pushed if pushed.card == "edited" else replace(pushed, card=state)


def require_publishable(record: Record, hub: Hub) -> None:
    """Refuse what should not be published, and a hub that would not take it; raises HubError."""
    if isinstance(record, Trained):
        if record.pictures is not None and record.license == UNKNOWN_LICENSE:
            raise HubError(unlicensed(record.name))
        require_public(record.job, hub)
        _require_whole_test_set(record)
    with contextlib.suppress(UnknownModel, PluginError):
        declared = registry.dataset(record.dataset)
        _require_order(record, declared.classes, f"{declared.name} as it is declared here")
    hub.require_writable(record.name)


def require_card(model: Model, job: Job, license: str, hub: Hub) -> None:  # noqa: A002
    """Refuse a training whose card the hub would refuse, whatever its results are; raises HubError."""
    if not isinstance(hub, Cards):
        return
    channels, file = model.dataset.input_size[0], File("0" * 64, 0)
    row = EpochRow(epoch=1, lr=0.0, train_loss=0.0, train_top1=0.0, train_seconds=0.0)
    record = Trained(
        name=model.name,
        architecture=job.architecture,
        dataset=job.dataset,
        classes=model.dataset.classes,
        input_size=model.dataset.input_size,
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        resizing=model.dataset.resizing,
        parameters=model.parameters or 1,
        license=license,
        paper=model.architecture.paper,
        files={store.WEIGHTS: file, store.LOG: file},
        job=job,
        recipe_sha256=job.recipe.sha256(),
        training=Training(epochs=job.recipe.epochs, train_seconds=0.0),
        results=Results(0.0, 0.0, 0.0, 1),
        environment=Environment(device="", python="", commit=None),
        pictures=model.dataset.pictures,
    )
    hub.require_card(model.name, card.render(record, [row], model, _address(hub, model.name)))


def _require_order(record: Record, classes: Sequence[str], other: str) -> None:
    """Refuse other classes than `other` has, unless the images are somebody's own; raises HubError."""
    is_own = isinstance(record, Trained) and record.pictures is not None
    if is_own or record.classes == tuple(classes):
        return
    wrong = "its classes in another order" if sorted(record.classes) == sorted(classes) else "other classes"
    raise HubError(f"{record.name} has {wrong} than {other}; publish it as a model of another dataset")


def _require_whole_test_set(record: Trained) -> None:
    """Refuse a model that was tested on a part of its test set (`limit_test`); raises HubError."""
    images = record.pictures.test_images if record.pictures else 0
    with contextlib.suppress(UnknownModel, PluginError):
        images = images or registry.dataset(record.dataset).test_images
    if record.results.test_images < images:
        raise HubError(
            f"{record.name} was tested on {record.results.test_images:,} of {images:,} test images, which is not its "
            "accuracy; train it without limit_test"
        )


def unlicensed(name: str) -> str:
    """The message for weights that can't be published without a license."""
    return (
        f"{name} was trained on your own images and has no license; "
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


def relicense(folder: Path, license: str) -> Record:  # noqa: A002 - what it is called everywhere
    """Write another license into the record of a model folder; its other files stay as they are. Raises FolderError."""
    folder = path_of(folder)
    with alone(folder):
        record = msgspec.structs.replace(store.check(folder), license=license)
        try:
            write_file(folder / store.CONFIG, store.encode(record))
        except OSError as error:
            raise FolderError(f"{folder / store.CONFIG} can't be written: {error.strerror}; make room") from None
        return record


def _presentation(
    model: Published, hub: Hub, log: Sequence[EpochRow], files: Mapping[str, bytes]
) -> tuple[dict[str, bytes], card.State]:
    """Render a card and a curve that are missing, and a card that is stale.

    The published card names the model's address in the hub, the folder's own card the folder. A card that a person
    edited stays, and so does any card where no plugin here declares the dataset.

    Returns:
        The files to publish in the place of the folder's, and the state of the folder's card.
    """
    record, shown, own = model.config, dict[str, bytes](), dict[str, bytes]()
    state: card.State = "current"
    if log and store.CURVE not in files:
        shown[store.CURVE] = own[store.CURVE] = curve.draw(record.name, log).encode()
    with contextlib.suppress(PluginError):
        if isinstance(model.declared, Model) or store.README not in files:
            text, published_text, in_catalogue = (
                card.render(record, log, model.declared, address, shows_errors=store.ERRORS in files)
                for address in (None, _address(hub, record.name), record.name)
            )
            state = _state(files.get(store.README), text, published_text, in_catalogue)
            if state == "stale":
                own[store.README] = text.encode()
            if state != "edited":
                shown[store.README] = published_text.encode()
    for file, content in own.items():
        with contextlib.suppress(OSError):  # the folder may be read-only
            write_file(model.source.fetch([]) / file, content)
    return shown, state


def _state(content: bytes | None, *expected: str) -> card.State:
    """The state of a card that is current where it is any of the expected texts; a missing card is stale."""
    if content is None:
        return "stale"
    states = [card.state(content.decode(errors="replace"), text) for text in expected]
    return "current" if "current" in states else states[0]


def _address(hub: Hub, name: str) -> str:
    """The address of a model in a hub, as a card has it: the name alone for the catalogue."""
    address = hub.address
    if address.scheme != "file":
        return str(address.model(name))
    path = path_of(address.place).absolute()
    return name if path.resolve() == catalogue().path.resolve() else str(replace(address, place=str(path)).model(name))


def _newest(hub: Hub, name: str) -> Revision | None:
    """The newest revision in a hub; None where there is none that can be read."""
    try:
        return hub.resolve(name)
    except (NotFound, FolderError):
        return None


def _edited_card(hub: Hub, name: str, revision: str) -> bytes | None:
    """The card of a revision in a hub, where a person edited it there."""
    try:
        folder = hub.fetch(name, revision, [store.README])
        text = store.read_regular(folder, store.README, store.PRESENTATION_BYTES)
    except (NotFound, FolderError):
        return None
    return text if card.state(text.decode(errors="replace"), "") == "edited" else None


def pull(model: Published, out: Path | None = None) -> Path:
    """Copy a published model, every file, hashes checked, to `out` (`./NAME`); nothing where it is there already.

    Raises FolderError or HubError.
    """
    model.require_record()
    model.log()  # raises FolderError, before anything is written
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
