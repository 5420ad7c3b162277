"""A kind of hub held against what every hub has to do (`zoo.hub.protocol`)."""

from __future__ import annotations

import dataclasses
import functools
import math
import tempfile
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
    """Publish a model folder twice, the second time changed, and make sure that the hub does all that a hub has to do.

    The record and each named file are had back byte for byte, now and by revision; the same files again change
    nothing; what is not there is NotFound. `folder` is a whole model folder, weights included. The hub is written to;
    it may hold other models, but not yet this one. That `resolve` fetches config.json alone, and `fetch` the named
    files alone, can't be seen from here: test it too. Raises AssertionError.

    Example:
        >>> from pathlib import Path
        >>> from zoo.hub import open_hub
        >>> from zoo.testing import check_hub
        >>> check_hub(open_hub("file:empty"), Path("runs/resnet8_digits"))
    """
    for method in METHODS:
        require(callable(getattr(hub, method, None)), f"{type(hub).__name__} should have a method {method}")
    with tempfile.TemporaryDirectory(prefix="zoo-") as scratch:
        older, newer = _files(folder), _files(_changed(folder, Path(scratch) / "newer"))
        name = store.record_of(older).name
        _check_absent(hub, name)
        hub.require_writable(name)

        first = hub.publish(name, older)
        wanted = hub.address.model(name)
        require(first.address == wanted, f"publish gives the address {first.address}, it should be {wanted}")
        require(not first.repaired, f"{wanted} was not there yet, and nothing of it can have been repaired")
        _check_published(hub, older, name)
        _check_listed(hub, older, name)
        require(hub.revisions(name) == [first.revision], f"{wanted} should have the revision that was published, alone")

        again = hub.publish(name, older)
        require(again == first, f"{wanted}: the same files again should be {first.revision}, not {again.revision}")
        require(hub.revisions(name) == [first.revision], f"{wanted}: the same files again should change nothing")

        second = hub.publish(name, newer)
        expected = [second.revision, first.revision]
        require(second.revision != first.revision, f"{wanted}: other files should be another revision")
        require(hub.revisions(name) == expected, f"{wanted} should have two revisions, newest first")
        _check_published(hub, newer, name)
        _check_published(hub, newer, name, second.revision)
        _check_published(hub, older, name, first.revision)
        _check_listed(hub, newer, name)
        _check_missing(hub, name, second.revision)
        _check_address(hub, name)


def _check_absent(hub: Hub, name: str) -> None:
    asks: tuple[Callable[[str], object], ...] = (hub.resolve, hub.revisions)
    for ask in asks:
        _require_error(NotFound, functools.partial(ask, name), f"{ask.__name__} of a model that is not there")
    require(name not in {one.name for one in hub.models()}, f"{hub.address} lists {name}, which can't be resolved")


def _check_published(hub: Hub, files: Mapping[str, bytes], name: str, revision: str | None = None) -> None:
    """What is there, now or at a revision, should be this record, and each of its files by itself."""
    what = hub.address.model(name).at(revision)
    resolved = hub.resolve(name, revision)
    require(resolved.record == store.record_of(files), f"{what}: the record should be the one that was published")
    require(hub.resolve(name, resolved.id) == resolved, f"{what}: the id {resolved.id} should give the same again")
    for anew in (False, True):
        for file, content in files.items():
            folder = hub.fetch(name, resolved.id, [file], anew=anew)
            require((folder / file).is_file(), f"{what}: fetched, it lacks {file}")
            require(
                (folder / file).read_bytes() == content, f"{what}: fetched, it has another {file} than was published"
            )
    folder = hub.fetch(name, resolved.id, list(files))
    lacking = [file for file in files if not (folder / file).is_file()]
    require(not lacking, f"{what}: all files fetched at once, it lacks {', '.join(lacking)}")


def _check_listed(hub: Hub, files: Mapping[str, bytes], name: str) -> None:
    listed = [one for one in hub.models() if one.name == name]
    require(len(listed) == 1, f"{hub.address} should list {name} once, not {len(listed)} times")
    wanted = Listed.of(hub.address.model(name), store.record_of(files))
    for field in dataclasses.fields(Listed):
        found, expected = getattr(listed[0], field.name), getattr(wanted, field.name)
        # A card may round.
        same = math.isclose(found, expected, abs_tol=0.005) if isinstance(expected, float) else found == expected
        require(same, f"{hub.address} lists {name} with {field.name} {found}, it should be {expected}")
    names = [one.name for one in hub.models()]
    require(names == sorted(names), f"{hub.address} should list its models by name")
    for pattern, fits in ((f"{name[:3]}*", True), ("no-such-*", False)):
        matching = name in {one.name for one in hub.models(pattern)}
        require(matching is fits, f"{hub.address} should list {name} for {pattern} where that matches, and only there")


def _check_missing(hub: Hub, name: str, revision: str) -> None:
    what = "resolve of a revision that is not there"
    _require_error(NotFound, lambda: hub.resolve(name, "no-such-revision"), what)
    what = "fetch of a file that is not there"
    _require_error(NotFound, lambda: hub.fetch(name, revision, ["no-such-file"]), what)


def _check_address(hub: Hub, name: str) -> None:
    what = f"the hub that is opened by the address {hub.address} should have the same revisions of {name}"
    try:
        same = open_hub(str(hub.address)).revisions(name) == hub.revisions(name)
    except ZooError as error:
        raise AssertionError(f"{what}: {error}") from error
    require(same, what)


def _require_error(expected: type[ZooError], ask: Callable[[], object], what: str) -> None:
    try:
        ask()
    except expected:
        return
    except Exception as error:
        raise AssertionError(f"{what} should be a {expected.__name__}, not {type(error).__name__}: {error}") from error
    raise AssertionError(f"{what} should be a {expected.__name__}; nothing was raised")


def _files(folder: Path) -> dict[str, bytes]:
    return dict(published(folder).files())


def _changed(folder: Path, target: Path) -> Path:
    """Another whole folder of the same model: it took a second longer."""
    target.mkdir()
    store.write_files(_files(folder), target)
    record = require_trained(store.read_record(target))
    training = msgspec.structs.replace(record.training, train_seconds=record.training.train_seconds + 1)
    (target / store.CONFIG).write_bytes(store.encode(msgspec.structs.replace(record, training=training)))
    return target
