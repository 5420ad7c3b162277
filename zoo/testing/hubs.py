"""A kind of hub held against what every hub has to do (`zoo.hub.protocol`)."""

from __future__ import annotations

import dataclasses
import functools
import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from zoo.errors import FolderError, NotFound, ZooError
from zoo.hub import Hub, Listed, open_hub
from zoo.record import store
from zoo.record.types import require_trained

METHODS = ("require_writable", "push", "facts", "pull", "revisions", "models")


def check_hub(hub: Hub, folder: Path) -> None:
    """Publish a model folder twice, the second time changed, and make sure that the hub does all that a hub has to do.

    What was pushed is pulled, listed and told byte for byte, now and by its revision; the same bytes
    again change nothing; what is not there is NotFound; a folder that isn't whole is refused. `folder`
    is a whole model folder, weights included. The hub is written to; it may hold other models, but not
    yet this one. That `facts` fetches no weights can't be seen from here: test it too. Raises AssertionError.
    """
    for method in METHODS:
        assert callable(getattr(hub, method, None)), f"{type(hub).__name__} should have a method {method}"
    with tempfile.TemporaryDirectory(prefix="zoo-") as scratch:
        older, newer = _copy(folder, Path(scratch) / "older"), _changed(folder, Path(scratch) / "newer")
        name = store.read_record(older).name
        _check_absent(hub, name)
        _check_refusals(hub, older, name)
        hub.require_writable(name)

        first = hub.push(older, name)
        wanted = hub.address.model(name)
        assert first.address == wanted, f"push gives the address {first.address}, it should be {wanted}"
        _check_published(hub, older, name)
        _check_listed(hub, older, name)
        assert hub.revisions(name) == [first.revision], f"{wanted} should have the revision that was pushed, alone"

        again = hub.push(older, name)
        assert again == first, f"{wanted}: the same bytes again should be {first.revision}, not {again.revision}"
        assert hub.revisions(name) == [first.revision], f"{wanted}: the same bytes again should change nothing"

        second = hub.push(newer, name)
        expected = [second.revision, first.revision]
        assert second.revision != first.revision, f"{wanted}: other bytes should be another revision"
        assert hub.revisions(name) == expected, f"{wanted} should have two revisions, newest first"
        _check_published(hub, newer, name)
        _check_published(hub, newer, name, second.revision)
        _check_published(hub, older, name, first.revision)
        _check_listed(hub, newer, name)
        _check_missing_revision(hub, name)
        _check_address(hub, name)


def _check_absent(hub: Hub, name: str) -> None:
    asks: tuple[Callable[[str], object], ...] = (hub.facts, hub.pull, hub.revisions)
    for ask in asks:
        _require_error(NotFound, functools.partial(ask, name), f"{ask.__name__} of a model that is not there")
    assert name not in {one.name for one in hub.models()}, f"{hub.address} lists {name}, which can't be pulled"


def _check_refusals(hub: Hub, folder: Path, name: str) -> None:
    """Nothing of a folder that isn't whole, or whose weights aren't the ones it speaks of, should be published."""
    with tempfile.TemporaryDirectory(prefix="zoo-") as scratch:
        lacking, damaged = _copy(folder, Path(scratch) / "lacking"), _copy(folder, Path(scratch) / "damaged")
        (lacking / store.LOG).unlink()
        content = (damaged / store.WEIGHTS).read_bytes()
        (damaged / store.WEIGHTS).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        _require_error(FolderError, lambda: hub.push(lacking, name), f"a push of a folder without {store.LOG}")
        _require_error(FolderError, lambda: hub.push(damaged, name), "a push of a folder with damaged weights")
    _check_absent(hub, name)


def _check_published(hub: Hub, folder: Path, name: str, revision: str | None = None) -> None:
    """What is there, now or at a revision, should be this folder's files, and its facts."""
    what = hub.address.model(name).at(revision)
    config = store.read_record(folder)
    assert hub.facts(name, revision) == config, f"{what}: the facts should be those of the folder that was pushed"
    without = hub.pull(name, revision, weights=False)
    assert store.read_record(without) == config, f"{what}: pulled without weights, it has another {store.CONFIG}"
    assert store.read_log(without) == store.read_log(folder), f"{what}: pulled without weights, it has another log"
    pulled = hub.pull(name, revision)
    for file in store.FILES:
        assert (pulled / file).is_file(), f"{what}: pulled, it lacks {file}"
        same = (pulled / file).read_bytes() == (folder / file).read_bytes()
        assert same, f"{what}: pulled, it has another {file} than was pushed"


def _check_listed(hub: Hub, folder: Path, name: str) -> None:
    listed = [one for one in hub.models() if one.name == name]
    assert len(listed) == 1, f"{hub.address} should list {name} once, not {len(listed)} times"
    wanted = Listed.of(hub.address.model(name), store.read_record(folder))
    for field in dataclasses.fields(Listed):
        found, expected = getattr(listed[0], field.name), getattr(wanted, field.name)
        # A card may round.
        same = math.isclose(found, expected, abs_tol=0.005) if isinstance(expected, float) else found == expected
        assert same, f"{hub.address} lists {name} with {field.name} {found}, it should be {expected}"
    names = [one.name for one in hub.models()]
    assert names == sorted(names), f"{hub.address} should list its models by name"


def _check_missing_revision(hub: Hub, name: str) -> None:
    asks: tuple[Callable[[str, str], object], ...] = (hub.facts, hub.pull)
    for ask in asks:
        what = f"{ask.__name__} of a revision that is not there"
        _require_error(NotFound, functools.partial(ask, name, "no-such-revision"), what)


def _check_address(hub: Hub, name: str) -> None:
    what = f"the hub that is opened by the address {hub.address} should have the same revisions of {name}"
    try:
        same = open_hub(str(hub.address)).revisions(name) == hub.revisions(name)
    except ZooError as error:
        raise AssertionError(f"{what}: {error}") from error
    assert same, what


def _require_error(expected: type[ZooError], ask: Callable[[], object], what: str) -> None:
    try:
        ask()
    except expected:
        return
    except Exception as error:
        raise AssertionError(f"{what} should be a {expected.__name__}, not {type(error).__name__}: {error}") from error
    raise AssertionError(f"{what} should be a {expected.__name__}; nothing was raised")


def _copy(folder: Path, target: Path) -> Path:
    target.mkdir()
    store.copy_files(folder, target)
    store.check(target)
    return target


def _changed(folder: Path, target: Path) -> Path:
    """Another whole folder of the same model: it took a second longer."""
    _copy(folder, target)
    config = require_trained(store.read_record(target))
    training = msgspec.structs.replace(config.training, train_seconds=config.training.train_seconds + 1)
    (target / store.CONFIG).write_bytes(store.encode(msgspec.structs.replace(config, training=training)))
    return target
