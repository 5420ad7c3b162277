"""What a folder hub has, without opening what has not changed since it was last listed.

    HUB/.revisions/index.json    of each model's config.json its time and size, and what a listing shows of it

The index only saves time: a row counts where the file still has that time and size, and is read anew where not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import json
import os
import re
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from zoo.decoding import SchemaError, from_json
from zoo.errors import FolderError, HubError, HubWarning
from zoo.hub.address import Address
from zoo.hub.protocol import Listed
from zoo.record import store
from zoo.record.replace import umask
from zoo.spec import NAME

Stamp = tuple[int, int]  # nanoseconds, bytes


def listed(hub: Address, path: Path, pattern: str = "*") -> list[Listed]:
    """The models of the folder hub at `path` whose names match, by name; nothing of the others is read.

    Those that are damaged are passed over with a warning each.
    """
    asked = re.compile(fnmatch.translate(pattern)).match
    known, rows = _read(path), []
    now = {name: row for name, row in known.items() if not asked(name)}
    for name, stamp in sorted(_stamps(path, asked).items()):
        address = hub.model(name)
        if name in known and known[name][0] == stamp and known[name][1].get("name") == name:
            with contextlib.suppress(SchemaError, TypeError):
                row = from_json(_Facts, known[name][1])
                rows.append(row.at(address))
                now[name] = known[name]
                continue
        try:
            row = _Facts.of(Listed.of(address, store.read_record(path / name)))
        except FolderError as error:
            warnings.warn(HubWarning(str(error)), stacklevel=3)
            continue
        rows.append(row.at(address))
        now[name] = (stamp, dataclasses.asdict(row))
    if now != known:
        _write(path, now)
    return rows


@dataclasses.dataclass(frozen=True)
class _Facts:
    """What is kept of a `Listed`: all but where the hub is."""

    name: str
    dataset: str
    parameters: int
    license: str
    test_top1: float | None
    plugin: str

    @classmethod
    def of(cls, one: Listed) -> _Facts:
        return cls(one.name, one.dataset, one.parameters, one.license, one.test_top1, one.plugin)

    def at(self, address: Address) -> Listed:
        return Listed(address=address, **vars(self))


def _stamps(path: Path, asked: Callable[[str], object]) -> dict[str, Stamp]:
    """The config.json of every model that is asked for, by its name: when it was changed, and its size."""
    found = {}
    try:
        with os.scandir(path) as entries:
            names = [entry.name for entry in entries if asked(entry.name) and NAME.fullmatch(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise HubError(f"file:{path} can't be read: {error.strerror}") from None
    for name in names:
        with contextlib.suppress(OSError):
            facts = os.stat(f"{path}/{name}/{store.CONFIG}")  # noqa: PTH116 - a Path takes as long as the call
            found[name] = (facts.st_mtime_ns, facts.st_size)
    return found


def _read(path: Path) -> dict[str, tuple[Stamp, dict[str, object]]]:
    """What the index says, as far as it can be read."""
    try:
        rows = json.loads((path / ".revisions" / "index.json").read_text(encoding="utf-8"))
        return {name: ((stamp[0], stamp[1]), dict(facts)) for name, (stamp, facts) in rows.items()}
    except (OSError, ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return {}


def _write(path: Path, rows: dict[str, tuple[Stamp, dict[str, object]]]) -> None:
    """Leave the index for the next listing, where this hub may be written and was pushed to."""
    place = path / ".revisions"
    with contextlib.suppress(OSError):
        if place.is_dir():
            descriptor, aside = tempfile.mkstemp(dir=place, suffix=".aside")
            os.fchmod(descriptor, 0o666 & ~umask())  # mkstemp's is its owner's alone
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(rows, file)
            Path(aside).replace(place / "index.json")
