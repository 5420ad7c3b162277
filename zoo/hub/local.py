"""A folder of model folders as a hub: `file:PATH`.

    HUB/NAME/config.json, README.md, …      a copy of the newest revision, to browse, to copy, for git
    HUB/NAME/.revisions/ids                 the ids of the revisions, one a line, newest last
    HUB/NAME/.revisions/ID/…                the files of a revision

A revision's folder is written aside and renamed once; the files that its record names never change, and are shared
with nothing. A reader reads `ids`, one small file that is replaced by a rename, and then files of one revision alone,
so readers never wait and never see two revisions mixed. Whatever people do to the copy, no revision is touched.

Without a readable `.revisions` (a model folder that was copied there, or that git has) HUB/NAME itself is the only
revision. A hub that has a file `ids.json` is a catalogue: git keeps its history, and a push writes HUB/NAME alone.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import shutil
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from zoo import registry
from zoo.errors import FolderError, HashMismatch, HubError, HubWarning, NotFound
from zoo.hub.address import Address, not_a_hub
from zoo.hub.protocol import Listed, Pushed, Revision
from zoo.record import store
from zoo.record.lock import alone
from zoo.record.paths import LONGEST, is_folder, path_of
from zoo.record.replace import ASIDE, write_file, written_aside
from zoo.record.types import PRESENTATION, Record, Summary
from zoo.spec import NAME

IDS: Final = "ids.json"  # of a catalogue: every model's id by its name
KEPT = ".revisions"
ID = re.compile(r"[0-9a-f]{64}")
WAIT = 60  # seconds, for another process that publishes the same model


def open_folder(address: Address) -> FolderHub:
    """The hub at `file:PATH`; raises HubError where no path is named."""
    if not address.place:
        raise not_a_hub(address)
    return FolderHub(path_of(address.place))


class FolderHub:
    """The hub `file:PATH`; with `ids`, every model has to be the one of the id that is there for its name."""

    def __init__(self, path: Path, ids: Mapping[str, str] | None = None) -> None:
        self.path = path
        self._ids = ids

    @property
    def address(self) -> Address:
        """`file:` and the path."""
        return Address("file", str(self.path))

    # -- reading -----------------------------------------------------------------------------------

    def resolve(self, name: str, revision: str | None = None) -> Revision:
        """The model at a revision, which the first digits of its id name; raises HashMismatch for a changed record."""
        located = self._located(name, revision)
        if located is None:
            raise NotFound(f"{self.address} has no model {name}{self._close_to(name)}")
        folder, identity = located
        config, record = self._read(name, folder)
        actual = store.identity_of({store.CONFIG: config})
        if identity is not None and actual != identity:
            raise HashMismatch(f"{folder} is not revision {identity[:12]} any more: its config.json was changed")
        if self._ids is not None and actual != self._ids.get(name):
            raise HashMismatch(f"{self.path / name} is not the model that came with this zoo; install the zoo again")
        if identity is None and revision is not None:
            self._chosen(name, [actual], revision)
        return Revision(record, actual)

    def _located(self, name: str, revision: str | None = None) -> tuple[Path, str | None] | None:
        """The folder of a revision and its id; HUB/NAME and None where no revisions are kept; None without a model."""
        _require_name(name)
        folder = os.path.join(self.path, name)  # noqa: PTH118 - a Path of each file takes most of a listing's time
        revisions = f"{folder}/{KEPT}"
        ids = _read_ids(revisions)
        if revision is None:
            identity = next((identity for identity in reversed(ids) if _exists(revisions, identity)), None)
            if ids and identity != ids[-1]:
                instead = f"revision {identity[:12]}" if identity else f"{folder} itself"
                message = f"{folder} is listed with revision {ids[-1][:12]}, which is not there; {instead} is used"
                warnings.warn(HubWarning(message), stacklevel=4)
        else:
            ids = [identity for identity in ids if _exists(revisions, identity)]
            identity = self._chosen(name, ids, revision) if ids else None
        if identity is not None:
            return Path(revisions, identity), identity
        return None if store.is_missing(f"{folder}/{store.CONFIG}") else (Path(folder), None)

    def _read(self, name: str, folder: Path) -> tuple[bytes, Record]:
        """The record in a folder, as it is there and decoded; raises HubError for another model's."""
        config = store.config_bytes(folder)
        record = store.record_of({store.CONFIG: config}, folder)
        self._require_named(name, record)
        return config, record

    def _require_named(self, name: str, record: Record | Summary) -> None:
        if record.name != name:
            raise HubError(f"{self.address.model(name)} holds the model {record.name}, expected {name}")

    def fetch(self, name: str, revision: str, files: Iterable[str], *, anew: bool = False) -> Path:
        """The revision's folder itself; there is no other copy to be fetched `anew`."""
        folder = self.path / name / KEPT / revision
        if not folder.is_dir():  # HUB/NAME may be another revision by now
            folder = self.path / name
            if store.identity(folder) != revision:
                raise NotFound(f"{folder} has no revision {revision[:12]} any more; try again")
        for file in files:
            if store.is_missing(folder / file):
                raise NotFound(f"{folder} has no {file}; publish the model again")
        return folder

    def revisions(self, name: str) -> list[str]:
        """The ids of a model's revisions, newest first."""
        newest = self.resolve(name).id
        return list(reversed(_Revisions(self.path / name).ids())) or [newest]

    def dates(self, name: str) -> dict[str, datetime]:
        """When each revision was written into this folder, by the time of its record; none where none are kept."""
        folder = self.path / name / KEPT
        configs = {identity: folder / identity / store.CONFIG for identity in _Revisions(self.path / name).ids()}
        return {identity: datetime.fromtimestamp(path.stat().st_mtime, UTC) for identity, path in configs.items()}

    def models(self, pattern: str | None = None) -> list[Listed]:
        """The models, by name; what can't be loaded is passed over with a warning, unless it is no model at all."""
        listed, address = [], self.address
        for name in sorted(self._names()):
            if pattern is not None and not fnmatch.fnmatchcase(name, pattern):
                continue
            try:
                located = self._located(name)
                if located is None:
                    continue  # a folder of something else
                record = store.read_summary(located[0])
                self._require_named(name, record)
                _require_weights(located[0], record)
            except (FolderError, HubError) as error:
                warnings.warn(HubWarning(str(error)), stacklevel=2)
                continue
            listed.append(Listed.of(address.model(name), record))
        return listed

    def _names(self) -> list[str]:
        try:
            with os.scandir(self.path) as entries:
                return [entry.name for entry in entries if NAME.fullmatch(entry.name) and _may_be_folder(entry)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise HubError(f"{self.address} can't be read: {error.strerror}") from None

    def _chosen(self, name: str, ids: list[str], revision: str | None) -> str:
        """The newest id, or the only one that begins with these digits; raises NotFound."""
        if revision is None:
            return ids[-1]
        fitting = [identity for identity in ids if identity.startswith(revision)]
        if len(fitting) != 1 or not revision:
            newest = ", ".join(identity[:12] for identity in ids[:-6:-1])
            wrong = "has several revisions that begin with" if fitting else "has no revision"
            raise NotFound(f"{self.address.model(name)} {wrong} {revision!r}; it has {newest}")
        return fitting[0]

    def _close_to(self, name: str) -> str:
        """Up to three models with a name like that."""
        close = registry.close_to(name, self._names())
        return f"; it has {', '.join(close)}" if close else "; list the hub to see what it has"

    # -- writing -----------------------------------------------------------------------------------

    def require_writable(self, name: str) -> None:
        """Make sure that the folder can be made and written; raises HubError."""
        _require_name(name)
        there = store.ground(self.path)
        if os.access(there, os.F_OK) and not is_folder(there):
            raise HubError(f"{self.address} can't be a hub: {there} is a file; name a folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise HubError(f"{self.address} can't be written: no permission in {there}; name another folder")

    def publish(self, name: str, files: Mapping[str, bytes]) -> Pushed:
        """Write a revision, then its id, then the copy; what is there already is compared, and repaired."""
        self.require_writable(name)
        identity, folder = store.identity_of(files), self.path / name
        revisions, repaired = _Revisions(folder), []
        with self._writing(name):
            cards = revisions.cards()
            if not (self.path / IDS).exists():
                revisions.keep_unkept()
                cards |= revisions.cards()
                repaired += revisions.add(identity, files)
            changed, is_edited = _refresh(folder, identity, files, cards)
            repaired += [file for file in changed if file not in repaired]
        return Pushed(self.address.model(name), identity, tuple(repaired), "edited" if is_edited else "current")

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        """One writer of a model at a time; what a writer that was killed has left is removed."""
        folder = self.path / name
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(alone(folder, "published", wait=WAIT))
            except FolderError as error:
                raise HubError(str(error)) from None
            try:
                for left in list(folder.rglob(f".*{ASIDE}")):
                    shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
                yield
            except FolderError as error:
                raise HubError(str(error)) from None
            except OSError as error:
                raise HubError(f"{self.address} can't be written: {error.strerror or error}") from error


class _Revisions:
    """The folder `.revisions` of a model folder in a hub."""

    def __init__(self, folder: Path) -> None:
        self._model = folder
        self._folder = folder / KEPT

    def ids(self) -> list[str]:
        """The ids of the revisions that are there, newest last."""
        return [identity for identity in _read_ids(str(self._folder)) if _exists(str(self._folder), identity)]

    def cards(self) -> set[bytes]:
        """The README.md of every revision."""
        return {path.read_bytes() for path in self._folder.glob(f"*/{store.README}")}

    def keep_unkept(self) -> None:
        """Keep the model folder itself as the first revision, where a person or git put it there and it is sound."""
        if self.ids() or store.is_missing(self._model / store.CONFIG):
            return
        with contextlib.suppress(FolderError):
            self.add(store.identity(self._model), store.read_files(self._model))

    def add(self, identity: str, files: Mapping[str, bytes]) -> list[str]:
        """Write a revision and make it the newest; returns what was there and damaged, and is sound again."""
        target, repaired = self._folder / identity, []
        if target.is_dir():
            for file, content in files.items():
                if _differs(target / file, content):
                    write_file(target / file, content)
                    repaired += [] if file in PRESENTATION else [file]
        else:
            with written_aside(target) as aside:
                store.write_files(files, aside)
        ids = self.ids()
        if ids[-1:] != [identity]:
            lines = [*(line for line in ids if line != identity), identity]
            write_file(self._folder / "ids", "".join(f"{line}\n" for line in lines).encode())
        return repaired


def _may_be_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or can't be told: reading it says why."""
    try:
        return entry.is_dir()
    except OSError:
        return True


def _read_ids(revisions: str) -> list[str]:
    """The ids that a folder `.revisions` lists, newest last; empty without a list. Raises FolderError."""
    path = f"{revisions}/ids"
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return [line for line in file.read().split() if ID.fullmatch(line)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise FolderError(f"{path} can't be read: {error.strerror}") from None


def _exists(revisions: str, identity: str) -> bool:
    return not store.is_missing(f"{revisions}/{identity}")


def _require_weights(folder: Path, record: Summary) -> None:
    """Raise FolderError for weights that are missing, unless the record has a download of them, or cut off."""
    path = f"{folder}/{store.WEIGHTS}"
    try:
        size = os.stat(path).st_size  # noqa: PTH116
    except FileNotFoundError:
        if record.download is None:
            raise FolderError(f"{folder} has no {store.WEIGHTS}; publish the model again") from None
        return
    except OSError as error:
        raise FolderError(f"{path} can't be read: {error.strerror}") from None
    if store.WEIGHTS in record.files and size != record.files[store.WEIGHTS].bytes:
        expected = record.files[store.WEIGHTS].bytes
        raise FolderError(f"{path} has {size:,} bytes, expected {expected:,}; publish the model again")


def _refresh(
    folder: Path, identity: str, files: Mapping[str, bytes], cards: Collection[bytes]
) -> tuple[list[str], bool]:
    """Make the copy that of the newest revision, file by file; returns what was repaired, and whether its card is kept.

    Of what the revision before had and this one has not, the files are removed; nothing else is. A README.md that a
    person edited is kept, unless it is one of `cards`, those of the revisions.
    """
    before: list[str] = []
    was_same = not store.is_missing(folder / store.CONFIG)
    with contextlib.suppress(FolderError):
        record = store.read_record(folder)
        before = [*record.files, *PRESENTATION]
        was_same = store.identity(folder) == identity
    repaired: list[str] = []
    is_edited = _is_edited(folder / store.README, {*cards, files.get(store.README, b"")})
    mine = {store.README} if is_edited else set()
    for file in files.keys() - {store.CONFIG} - mine:
        if _differs(folder / file, files[file]):
            write_file(folder / file, files[file])
            repaired += [file] if was_same and file not in PRESENTATION else []
    for file in set(before) - files.keys() - mine:
        _remove(folder, file)
    # The record comes last: a copy that was not finished has another one, and is made anew by the next push.
    if _differs(folder / store.CONFIG, files[store.CONFIG]):
        write_file(folder / store.CONFIG, files[store.CONFIG])
        repaired += [store.CONFIG] if was_same else []
    return sorted(repaired), is_edited


def _is_edited(path: Path, cards: Collection[bytes]) -> bool:
    from zoo.record import card  # a listing does without

    return (
        path.is_file()
        and (text := path.read_bytes()) not in cards
        and card.state(text.decode(errors="replace"), "") == "edited"
    )


def _differs(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() != content
    except OSError:
        return True


def _remove(folder: Path, file: str) -> None:
    """Remove a file, and the folders in the model folder that are empty then."""
    path = folder / file
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        while (path := path.parent) != folder:
            path.rmdir()


def _require_name(name: str) -> None:
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise HubError(f"{name[:100]!r} can't be a model's name; expected a-z, 0-9, '.', '_' and '-', up to {LONGEST}")
