"""A folder of model folders as a hub: `file:PATH`.

    HUB/NAME/config.json, README.md, …      a copy of the newest revision, to browse, to copy, for git
    HUB/NAME/.revisions/ids                 the ids of the revisions, one a line, newest last
    HUB/NAME/.revisions/ID/…                the files of a revision

A revision's folder is written under a temporary name and renamed once. The files that its record names never change
and share no inode with other files. A reader reads `ids`, a small file that is replaced by a rename, and then only
files of one revision. So readers never wait and never mix two revisions, and edits to the copy change no revision.

If `.revisions` is missing (the model folder was copied there, or checked out by git), HUB/NAME itself is the only
revision. A hub with a file `ids.json` is a catalogue: git keeps its history, and a push writes only HUB/NAME.
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

IDS: Final = "ids.json"  # in a catalogue: the id of each model, by name
KEPT = ".revisions"
ID = re.compile(r"[0-9a-f]{64}")
WAIT = 60  # seconds to wait for another process that publishes the same model


def open_folder(address: Address) -> FolderHub:
    """Open the hub at `file:PATH`; raises HubError if the address has no path."""
    if not address.location:
        raise not_a_hub(address)
    return FolderHub(path_of(address.location))


class FolderHub:
    """The hub `file:PATH`. If `ids` is given, the record of each model must have the id that `ids` has for its name."""

    def __init__(self, path: Path, ids: Mapping[str, str] | None = None) -> None:
        self.path = path
        self._ids = ids

    @property
    def address(self) -> Address:
        """The address `file:PATH`."""
        return Address("file", str(self.path))

    # -- reading -----------------------------------------------------------------------------------

    def resolve(self, name: str, revision: str | None = None) -> Revision:
        """Return a model's record at a revision, which may be given by the first digits of its id.

        Raises NotFound, FolderError, HubError, or HashMismatch if the record was changed after it was published.
        """
        located = self._locate(name, revision)
        if located is None:
            raise NotFound(f"{self.address} has no model {name}{self._suggestion(name)}")
        folder, identity = Path(located[0]), located[1]
        config = store.config_bytes(folder)
        record = store.record_of({store.CONFIG: config}, folder)
        self._require_named(name, record)
        actual = store.identity_of({store.CONFIG: config})
        if identity is not None and actual != identity:
            raise HashMismatch(
                f"{folder} is not revision {identity[:12]}: its config.json was changed; publish the model again"
            )
        if self._ids is not None and actual != self._ids.get(name):
            raise HashMismatch(f"{folder} was changed after the zoo was installed; install the zoo again")
        if identity is None and revision is not None:
            self._select(name, [actual], revision)
        return Revision(record, actual)

    def _locate(self, name: str, revision: str | None = None) -> tuple[str, str | None] | None:
        """The folder and the id of a revision; None if there is no such model.

        If the hub keeps no revisions of the model, the folder is HUB/NAME and the id None.
        """
        _require_name(name)
        folder = os.path.join(self.path, name)  # noqa: PTH118 - Path objects would slow down a listing
        revisions = f"{folder}/{KEPT}"
        ids = _read_ids(revisions)
        if revision is None:
            identity = next((identity for identity in reversed(ids) if _exists(revisions, identity)), None)
            if ids and identity != ids[-1]:
                used = f"revision {identity[:12]}" if identity else f"{folder} itself"
                message = f"{revisions}/ids names revision {ids[-1][:12]}, which is missing; {used} is used instead"
                warnings.warn(HubWarning(message), stacklevel=4)
        else:
            ids = [identity for identity in ids if _exists(revisions, identity)]
            identity = self._select(name, ids, revision) if ids else None
        if identity is not None:
            return f"{revisions}/{identity}", identity
        return None if store.is_missing(f"{folder}/{store.CONFIG}") else (folder, None)

    def _require_named(self, name: str, record: Record | Summary) -> None:
        if record.name != name:
            raise HubError(
                f"{self.address.model(name)} contains the model {record.name}, expected {name}; rename the folder"
            )

    def fetch(self, name: str, revision: str, files: Iterable[str], *, anew: bool = False) -> Path:
        """Return the revision's folder; `anew` has no effect, because there is no other copy."""
        folder = self.path / name / KEPT / revision
        if not folder.is_dir():  # another process may have published since `resolve`
            folder = self.path / name
            if store.identity(folder) != revision:
                raise NotFound(f"{folder} no longer has revision {revision[:12]}; load the model again")
        for file in files:
            if store.is_missing(folder / file):
                raise NotFound(f"{folder} has no {file}; publish the model again")
        return folder

    def revisions(self, name: str) -> list[str]:
        """The ids of a model's revisions, newest first."""
        newest = self.resolve(name).id
        return list(reversed(_Revisions(self.path / name).ids())) or [newest]

    def dates(self, name: str) -> dict[str, datetime]:
        """The modification time of each revision's config.json, by id; empty if the hub keeps no revisions."""
        folder = self.path / name / KEPT
        configs = {identity: folder / identity / store.CONFIG for identity in _Revisions(self.path / name).ids()}
        return {identity: datetime.fromtimestamp(path.stat().st_mtime, UTC) for identity, path in configs.items()}

    def models(self, pattern: str | None = None) -> list[Listed]:
        """The models, sorted by name. Warns about models that can't be loaded; ignores folders of other things."""
        models, address = [], self.address
        for name in sorted(self._names()):
            if pattern is not None and not fnmatch.fnmatchcase(name, pattern):
                continue
            try:
                located = self._locate(name)
                if located is None:
                    continue
                record = store.read_summary(located[0])
                self._require_named(name, record)
                _require_weights(located[0], record)
            except (FolderError, HubError) as error:
                warnings.warn(HubWarning(str(error)), stacklevel=2)
                continue
            models.append(Listed.of(address.model(name), record))
        return models

    def _names(self) -> list[str]:
        try:
            with os.scandir(self.path) as entries:
                return [entry.name for entry in entries if NAME.fullmatch(entry.name) and _may_be_folder(entry)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise HubError(f"{self.address} can't be read: {error.strerror}") from None

    def _select(self, name: str, ids: list[str], revision: str) -> str:
        """The only id that begins with these digits; raises NotFound if there is none or several."""
        matching = [identity for identity in ids if identity.startswith(revision)]
        if len(matching) != 1 or not revision:
            newest = ", ".join(identity[:12] for identity in ids[:-6:-1])
            problem = "has several revisions that begin with" if matching else "has no revision"
            raise NotFound(f"{self.address.model(name)} {problem} {revision!r}; it has {newest}")
        return matching[0]

    def _suggestion(self, name: str) -> str:
        """The end of an error message: up to three models with similar names."""
        close = registry.close_to(name, self._names())
        return (
            f"; did you mean {' or '.join(close)}?"
            if close
            else f"; list its models with: zoo list --hub {self.address}"
        )

    # -- writing -----------------------------------------------------------------------------------

    def require_writable(self, name: str) -> None:
        """Raise HubError if the hub's folder can't be created or written to."""
        _require_name(name)
        existing = store.ground(self.path)
        if os.access(existing, os.F_OK) and not is_folder(existing):
            raise HubError(f"{self.address} can't be a hub: {existing} is a file; name a folder")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise HubError(f"{self.address} can't be written: no permission in {existing}; name another folder")

    def publish(self, name: str, files: Mapping[str, bytes]) -> Pushed:
        """Write a revision, then its id, then the copy. Existing files are compared and, if they differ, rewritten."""
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
        """Hold the lock of a model, and remove temporary files that a killed writer left."""
        folder = self.path / name
        try:
            with alone(folder, "published", wait=WAIT):
                for path in list(folder.rglob(f".*{ASIDE}")):
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
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
        """The ids of the revisions that exist, newest last."""
        return [identity for identity in _read_ids(str(self._folder)) if _exists(str(self._folder), identity)]

    def cards(self) -> set[bytes]:
        """The README.md of every revision."""
        return {path.read_bytes() for path in self._folder.glob(f"*/{store.README}")}

    def keep_unkept(self) -> None:
        """Save the model folder as the first revision if it is valid and was put there without `publish`."""
        if self.ids() or store.is_missing(self._model / store.CONFIG):
            return
        with contextlib.suppress(FolderError):
            self.add(store.identity(self._model), store.read_files(self._model))

    def add(self, identity: str, files: Mapping[str, bytes]) -> list[str]:
        """Write a revision and make it the newest; returns the files that were damaged and are now repaired."""
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
    """Whether an entry is a folder. True if the system can't tell: reading it then raises the error."""
    try:
        return entry.is_dir()
    except OSError:
        return True


def _read_ids(revisions: str) -> list[str]:
    """The ids in the file `ids` of a folder `.revisions`, newest last; empty if it is missing. Raises FolderError."""
    path = f"{revisions}/ids"
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - twice as fast as Path.read_text
            return [line for line in file.read().decode(errors="replace").split() if ID.fullmatch(line)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise FolderError(f"{path} can't be read: {error.strerror}") from None


def _exists(revisions: str, identity: str) -> bool:
    return not store.is_missing(f"{revisions}/{identity}")


def _require_weights(folder: str, record: Summary) -> None:
    """Raise FolderError if the weights have the wrong size, or are missing and the record names no download."""
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
    """Update the copy in HUB/NAME to the newest revision, file by file.

    Files of the previous revision that the new one lacks are removed; other files stay. A README.md that a person
    edited is kept, unless it equals one of `cards`, the cards of the revisions.

    Returns:
        The files that were repaired, and whether an edited card was kept.
    """
    previous: list[str] = []
    was_same = not store.is_missing(folder / store.CONFIG)
    with contextlib.suppress(FolderError):
        record = store.read_record(folder)
        previous = [*record.files, *PRESENTATION]
        was_same = store.identity(folder) == identity
    repaired: list[str] = []
    is_edited = _is_edited(folder / store.README, {*cards, files.get(store.README, b"")})
    kept = {store.README} if is_edited else set()
    for file in files.keys() - {store.CONFIG} - kept:
        if _differs(folder / file, files[file]):
            write_file(folder / file, files[file])
            repaired += [file] if was_same and file not in PRESENTATION else []
    for file in set(previous) - files.keys() - kept:
        _remove(folder, file)
    # The record comes last, so that the next push sees an unfinished copy by its old record and writes it again.
    if _differs(folder / store.CONFIG, files[store.CONFIG]):
        write_file(folder / store.CONFIG, files[store.CONFIG])
        repaired += [store.CONFIG] if was_same else []
    return sorted(repaired), is_edited


def _is_edited(path: Path, cards: Collection[bytes]) -> bool:
    from zoo.record import card  # a listing does not need it

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
    """Remove a file, and its parent folders in the model folder if they are now empty."""
    path = folder / file
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        while (path := path.parent) != folder:
            path.rmdir()


def _require_name(name: str) -> None:
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise HubError(f"{name[:100]!r} can't be a model's name; expected a-z, 0-9, '.', '_' and '-', up to {LONGEST}")
