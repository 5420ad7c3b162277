"""The check of a hub against the protocol of hubs (`zoo.hub.protocol`)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from zoo.errors import NotFound, ZooError
from zoo.hub import Hub, Listed, open_hub
from zoo.hub.resolve import published
from zoo.record import store
from zoo.record.types import require_trained
from zoo.testing.require import require

METHODS = ("require_writable", "resolve", "fetch", "publish", "revisions", "models")


def check_hub(hub: Hub, folder: Path) -> None:
    """Publish a model folder and then a changed copy of it, and check every method of the hub.

    Checks that

    - the record and each file are returned unchanged, for the newest revision and by id;
    - publishing the same files again changes nothing;
    - a missing model, revision or file raises NotFound;
    - the list of models is sorted and complete, and `open_hub` opens the hub by its address.

    It can't check that `resolve` fetches config.json only, and `fetch` the named files only. Test this too.

    Args:
        hub: The hub, which is written to. It may have other models, but not the one in the folder.
        folder: A complete folder of a model that the zoo trained.

    Raises:
        AssertionError: A check failed.

    Examples:
        >>> from pathlib import Path
        >>> from zoo.hub import open_hub
        >>> from zoo.testing import check_hub
        >>> check_hub(open_hub("file:hub"), Path("runs/resnet8_digits"))
    """
    for method in METHODS:
        require(callable(getattr(hub, method, None)), f"{type(hub).__name__} should have a method {method}")
    older, newer = _contents(folder)
    name = store.record_of(older).name
    _check_missing_model(hub, name)
    hub.require_writable(name)

    first = hub.publish(name, older)
    model = hub.address.model(name)
    require(first.address == model, f"publish gives the address {first.address}, it should be {model}")
    require(not first.repaired, f"{model} is new, so that publish should have repaired nothing")
    _check_published(hub, older, name)
    _check_listed(hub, older, name)
    require(hub.revisions(name) == [first.revision], f"{model} should have one revision, the published one")

    again = hub.publish(name, older)
    require(again == first, f"{model}: the same files again should be {first.revision}, not {again.revision}")
    require(hub.revisions(name) == [first.revision], f"{model}: the same files again should change nothing")

    second = hub.publish(name, newer)
    require(second.revision != first.revision, f"{model}: other files should be another revision")
    both = [second.revision, first.revision]
    require(hub.revisions(name) == both, f"{model} should have two revisions, newest first")
    _check_published(hub, newer, name)
    _check_published(hub, newer, name, second.revision)
    _check_published(hub, older, name, first.revision)
    _check_listed(hub, newer, name)
    _require_not_found(lambda: hub.resolve(name, "no-such-revision"), "resolve of a revision that is not there")
    _require_not_found(lambda: hub.fetch(name, second.revision, ["no-such-file"]), "fetch of a file that is not there")
    _check_address(hub, name)


def _contents(folder: Path) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The files of a model folder, and the same files with a record that has a longer training time."""
    files = dict(published(folder).files())
    record = require_trained(store.record_of(files))
    training = msgspec.structs.replace(record.training, train_seconds=record.training.train_seconds + 1)
    return files, {**files, store.CONFIG: store.encode(msgspec.structs.replace(record, training=training))}


def _check_missing_model(hub: Hub, name: str) -> None:
    _require_not_found(lambda: hub.resolve(name), "resolve of a model that is not there")
    _require_not_found(lambda: hub.revisions(name), "revisions of a model that is not there")
    require(name not in {model.name for model in hub.models()}, f"{hub.address} lists {name}, which can't be resolved")


def _check_published(hub: Hub, files: Mapping[str, bytes], name: str, revision: str | None = None) -> None:
    """Check the record and the files of a revision, by default of the newest."""
    model = hub.address.model(name).at(revision)
    resolved = hub.resolve(name, revision)
    require(resolved.record == store.record_of(files), f"{model}: the record should be the one that was published")
    require(hub.resolve(name, resolved.id) == resolved, f"{model}: the id {resolved.id} should give the same again")
    for force_download in (False, True):
        for file, content in files.items():
            path = hub.fetch(name, resolved.id, [file], force_download=force_download) / file
            require(path.is_file(), f"{model}: the fetched folder lacks {file}")
            require(path.read_bytes() == content, f"{model}: the fetched {file} is not the published one")
    folder = hub.fetch(name, resolved.id, list(files))
    missing = [file for file in files if not (folder / file).is_file()]
    require(not missing, f"{model}: all files were fetched at once, but the folder lacks {', '.join(missing)}")


def _check_listed(hub: Hub, files: Mapping[str, bytes], name: str) -> None:
    models = hub.models()
    listed = [model for model in models if model.name == name]
    require(len(listed) == 1, f"{hub.address} should list {name} once, not {len(listed)} times")
    record = Listed.of(hub.address.model(name), store.record_of(files))
    for field in dataclasses.fields(Listed):
        actual, expected = getattr(listed[0], field.name), getattr(record, field.name)
        # A card may have rounded values.
        same = math.isclose(actual, expected, abs_tol=0.005) if isinstance(expected, float) else actual == expected
        require(same, f"{hub.address} lists {name} with {field.name} {actual}, it should be {expected}")
    names = [model.name for model in models]
    require(names == sorted(names), f"{hub.address} should list its models by name")
    for pattern, fits in ((f"{name[:3]}*", True), ("no-such-*", False)):
        matches = name in {model.name for model in hub.models(pattern)}
        require(matches is fits, f"{hub.address} should{'' if fits else ' not'} list {name} for the pattern {pattern}")


def _check_address(hub: Hub, name: str) -> None:
    message = f"the hub that is opened by the address {hub.address} should have the same revisions of {name}"
    try:
        same = open_hub(str(hub.address)).revisions(name) == hub.revisions(name)
    except ZooError as error:
        raise AssertionError(f"{message}: {error}") from error
    require(same, message)


def _require_not_found(call: Callable[[], object], description: str) -> None:
    try:
        call()
    except NotFound:
        return
    except Exception as error:
        raise AssertionError(f"{description} should be a NotFound, not {type(error).__name__}: {error}") from error
    raise AssertionError(f"{description} should be a NotFound; nothing was raised")
