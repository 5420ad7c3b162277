"""Publishes a model folder to a hub, and copies a published model to a folder.

`zoo push`, and `--push` of train, export and import, all call `publish`. It checks the folder and renders its card, and
the hub stores the files that differ from its own.
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

# The license ids of the Hugging Face Hub: https://huggingface.co/docs/hub/repositories-licenses
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


def sound_license(license: str) -> str:  # noqa: A002 - the usual word
    """Return a license; raises HubError if it is neither an id of the Hugging Face Hub nor an https:// address."""
    if license not in LICENSES and not re.fullmatch(r"https://[^\s/]+\S*", license):
        raise HubError(
            "license should be a Hugging Face license id, such as apache-2.0, or the https:// URL of a license text, "
            f"not {license!r}"
        )
    return license


def publish(folder: Path, hub: Hub) -> Pushed:
    """Publish a model folder under its model's name.

    Each file is read once, and its hash is checked. The card is rendered with the model's address in the hub, unless a
    person edited it, in the folder or in the hub.

    Args:
        folder: The model folder. A missing or stale card and a missing curve are also written there.
        hub: The hub.

    Returns:
        The address and the revision.

    Raises:
        FolderError: The folder is incomplete or damaged.
        HubError: The model should not be published, or the hub refuses it.
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
    rendered, state = _rendered(model, hub, files)
    files |= rendered
    newest = _newest(hub, record.name)
    if newest is not None:
        _require_order(record, newest.record.classes, f"{hub.address.model(record.name)} was published with")
    if state != "edited" and newest is not None and (edited := _edited_card(hub, record.name, newest.id)) is not None:
        files[store.README], state = edited, "edited"
    if isinstance(hub, Cards) and store.README in files:
        hub.require_card(record.name, files[store.README].decode(errors="replace"))
    pushed = hub.publish(record.name, files)
    return pushed if pushed.card == "edited" else replace(pushed, card=state)


def require_publishable(record: Record, hub: Hub) -> None:
    """Raise HubError if a model should not be published, or if the hub can't be written."""
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
    """Raise HubError if the hub would refuse the card of a model that is yet to be trained."""
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
    hub.require_card(model.name, card.render(record, [row], model, _shown_address(hub, model.name)))


def _require_order(record: Record, classes: Sequence[str], other: str) -> None:
    """Raise HubError if the record has other classes, unless it was trained on an image folder."""
    on_folder = isinstance(record, Trained) and record.pictures is not None
    if on_folder or record.classes == tuple(classes):
        return
    difference = "its classes in another order" if sorted(record.classes) == sorted(classes) else "other classes"
    raise HubError(f"{record.name} has {difference} than {other}; publish it as a model of another dataset")


def _require_whole_test_set(record: Trained) -> None:
    """Raise HubError if a model was evaluated on a part of its test set (`limit_test`)."""
    images = record.pictures.test_images if record.pictures else 0
    with contextlib.suppress(UnknownModel, PluginError):
        images = images or registry.dataset(record.dataset).test_images
    if record.results.test_images < images:
        raise HubError(
            f"{record.name} was tested on {record.results.test_images:,} of {images:,} test images, which is not its "
            "accuracy; train it without limit_test"
        )


def unlicensed(name: str) -> str:
    """The message for a model that can't be published because it has no license."""
    return (
        f"{name} was trained on your own images and has no license; "
        "give a license, as an id of the Hugging Face Hub, such as cc-by-4.0"
    )


def require_public(job: Job, hub: Hub) -> None:
    """Raise HubError if the teacher or the start is a path of this machine and the hub is not a folder."""
    teacher = job.teacher.address if job.teacher else job.recipe.teacher
    start = job.start.address if job.start else None
    for role, address in (("teacher", teacher), ("start", start)):
        if address is not None and _is_local(address) and hub.address.scheme != "file":
            raise HubError(
                f"{job.name} can't be published: its {role} {address} is a path of this machine; "
                f"publish the {role} first, and train with the address that it has then"
            )


def _is_local(text: str) -> bool:
    reference = parse(text)
    return isinstance(reference, Path) or (isinstance(reference, Address) and reference.scheme == "file")


def relicense(folder: Path, license: str) -> Record:  # noqa: A002 - the usual word
    """Write another license into the record of a model folder, and nothing else; raises FolderError."""
    folder = path_of(folder)
    with alone(folder):
        record = msgspec.structs.replace(store.check(folder), license=license)
        try:
            write_file(folder / store.CONFIG, store.encode(record))
        except OSError as error:
            raise FolderError(f"{folder / store.CONFIG} can't be written: {error.strerror}; make room") from None
        return record


def _rendered(model: Published, hub: Hub, files: Mapping[str, bytes]) -> tuple[dict[str, bytes], card.State]:
    """Render the card for the hub and a missing curve. Updates the folder, where the card shows the folder's path.

    An edited card is not rendered, and neither is any card if no installed plugin declares the dataset.

    Returns:
        The rendered files, and the state of the folder's card.
    """
    record, log = model.config, model.log()
    rendered, local = dict[str, bytes](), dict[str, bytes]()  # for the hub, and for the folder
    state: card.State = "current"
    if log and store.CURVE not in files:
        rendered[store.CURVE] = local[store.CURVE] = curve.draw(record.name, log).encode()
    with contextlib.suppress(PluginError):
        if isinstance(model.declared, Model) or store.README not in files:
            own_text, hub_text, catalogue_text = (
                card.render(record, log, model.declared, address, shows_errors=store.ERRORS in files)
                for address in (None, _shown_address(hub, record.name), record.name)
            )
            state = _state(files.get(store.README), own_text, hub_text, catalogue_text)
            if state == "stale":
                local[store.README] = own_text.encode()
            if state != "edited":
                rendered[store.README] = hub_text.encode()
    for file, content in local.items():
        with contextlib.suppress(OSError):  # the folder may be read-only
            write_file(model.source.fetch([]) / file, content)
    return rendered, state


def _state(content: bytes | None, *expected: str) -> card.State:
    """The state of a card, which is current if it equals any of the expected texts; a missing card is stale."""
    if content is None:
        return "stale"
    states = [card.state(content.decode(errors="replace"), text) for text in expected]
    return "current" if "current" in states else states[0]


def _shown_address(hub: Hub, name: str) -> str:
    """The address of a model that its card shows: with an absolute path, or the name for a model of the catalogue."""
    address = hub.address
    if address.scheme != "file":
        return str(address.model(name))
    path = path_of(address.location).absolute()
    if path.resolve() == catalogue().path.resolve():
        return name
    return str(replace(address, location=str(path)).model(name))


def _newest(hub: Hub, name: str) -> Revision | None:
    """The newest revision in a hub; None if there is none that can be read."""
    try:
        return hub.resolve(name)
    except (NotFound, FolderError):
        return None


def _edited_card(hub: Hub, name: str, revision: str) -> bytes | None:
    """The card of a revision in a hub if a person edited it."""
    try:
        folder = hub.fetch(name, revision, [store.README])
        text = store.read_regular(folder, store.README, store.PRESENTATION_BYTES)
    except (NotFound, FolderError):
        return None
    return text if card.state(text.decode(errors="replace"), "") == "edited" else None


def pull(model: Published, out: Path | None = None) -> Path:
    """Copy all files of a published model to a folder, and check their hashes.

    Args:
        model: The model.
        out: The folder to create. By default `./NAME`. Nothing happens if it already contains this model.

    Returns:
        The folder.

    Raises:
        FolderError: A file is damaged, or `out` exists and contains something else.
        HubError: The hub can't be read.
    """
    model.require_record()
    model.log()  # raises FolderError before anything is written
    target = path_of(out or model.config.name)
    with alone(target):
        if os.path.lexists(target):
            if not _contains(target, model):
                raise FolderError(f"{target} is there already; remove it or name another folder")
            return target
        with written_aside(target) as aside:
            for file, content in model.files():
                store.write_files({file: content}, aside)
    return target


def _contains(folder: Path, model: Published) -> bool:
    """Whether a folder contains this model completely."""
    try:
        existing = published(folder)
        existing.check(weights=True)
    except (FolderError, HubError):
        return False
    return existing.config == model.config
