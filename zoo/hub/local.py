"""A folder as a hub: `file:PATH`.

    HUB/NAME/config.json, README.md, …      a copy of the newest revision, to browse, copy or put under git
    HUB/NAME/.revisions/ids                 the ids of the revisions, one per line, newest last
    HUB/NAME/.revisions/ID/…                the files of a revision

The folder of a revision is written under a temporary name and renamed once. Its files are not hard links, and the files
that its record names never change. A reader reads `ids`, which is replaced by a rename, and then files of one revision
only. So readers never wait and never mix revisions, and edits of the copy change no revision.

Without `.revisions` (a model folder that was copied or checked out by git), HUB/NAME itself is the only revision. A hub
with a file `ids.json` is a catalogue: git keeps its history, and publishing writes only HUB/NAME.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import shutil
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from zoo.errors import FolderError, HashMismatch, HubError, HubWarning, NotFound, did_you_mean
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
    """The hub `file:PATH`.

    Args:
        path: The folder.
        ids: The expected id of each model's record by name; None to accept any record.
    """

    def __init__(self, path: Path, ids: Mapping[str, str] | None = None) -> None:
        self.path = path
        self._ids = ids

    @property
    def address(self) -> Address:
        """The address `file:PATH`."""
        return Address("file", str(self.path))

    # -- reading -----------------------------------------------------------------------------------

    def resolve(self, name: str, revision: str | None = None) -> Revision:
        """Return a revision of a model; `revision` is an id or its first digits.

        Raises NotFound, FolderError, HubError, or HashMismatch if the record was changed after it was published.
        """
        located = self._locate(name, revision)
        if located is None:
            raise NotFound(f"{self.address} has no model {name}{self._hint(name)}")
        folder, identity = Path(located[0]), located[1]
        config = store.config_bytes(folder)
        record = store.record_of({store.CONFIG: config}, folder)
        self._require_same_name(name, record)
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
        """The folder and the id of a revision, or HUB/NAME and None if there is no `.revisions`; None if no model."""
        _require_valid(name)
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

    def _require_same_name(self, name: str, record: Record | Summary) -> None:
        if record.name != name:
            raise HubError(
                f"{self.address.model(name)} contains the model {record.name}, expected {name}; rename the folder"
            )

    def fetch(self, name: str, revision: str, files: Iterable[str], *, force_download: bool = False) -> Path:
        """Return the folder of a revision; `force_download` has no effect, because there is no other copy."""
        folder = self.path / name / KEPT / revision
        if not folder.is_dir():  # `resolve` used HUB/NAME
            folder = self.path / name
            if store.identity(folder) != revision:
                raise NotFound(f"{folder} no longer has revision {revision[:12]}; load the model again")
        for file in files:
            if store.is_missing(folder / file):
                raise NotFound(f"{folder} has no {file}; publish the model again")
        return folder

    def revisions(self, name: str) -> list[str]:
        """Return the ids of a model's revisions, newest first."""
        newest = self.resolve(name).id
        return _kept_ids(self.path / name)[::-1] or [newest]

    def dates(self, name: str) -> dict[str, datetime]:
        """Return the modification time of each revision's config.json by id; empty if there is no `.revisions`."""
        folder = self.path / name
        configs = {identity: folder / KEPT / identity / store.CONFIG for identity in _kept_ids(folder)}
        return {identity: datetime.fromtimestamp(path.stat().st_mtime, UTC) for identity, path in configs.items()}

    def models(self, pattern: str | None = None) -> list[Listed]:
        """List the models sorted by name. Leaves out models that can't be loaded, with a warning, and other folders."""
        models, address = [], self.address
        for name in sorted(self._names()):
            if pattern is not None and not fnmatch.fnmatchcase(name, pattern):
                continue
            try:
                located = self._locate(name)
                if located is None:
                    continue
                record = store.read_summary(located[0])
                self._require_same_name(name, record)
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

    def _hint(self, name: str) -> str:
        """The end of the message about a missing model."""
        if not is_folder(self.path):
            return f", because there is no folder {self.path}; check the path"
        return f"; {did_you_mean(name, self._names(), f'list its models with: zoo list --hub {self.address}')}"

    # -- writing -----------------------------------------------------------------------------------

    def require_writable(self, name: str) -> None:
        """Raise HubError if the name is invalid, or if the hub's folder can't be created or written to."""
        _require_valid(name)
        existing = store.ground(self.path)
        if os.access(existing, os.F_OK) and not is_folder(existing):
            raise HubError(f"{self.address} can't be a hub: {existing} is a file; name a folder")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise HubError(f"{self.address} can't be written: no permission in {existing}; name another folder")

    def publish(self, name: str, files: Mapping[str, bytes]) -> Pushed:
        """Write the revision, then its id, then the copy. Existing files are compared, and replaced if they differ."""
        self.require_writable(name)
        identity, folder = store.identity_of(files), self.path / name
        keeps_revisions = not (self.path / IDS).exists()
        repaired: set[str] = set()
        with self._writing(name):
            if keeps_revisions:
                _keep_copy(folder)
            cards = {path.read_bytes() for path in (folder / KEPT).glob(f"*/{store.README}")}
            if keeps_revisions:
                repaired |= _add_revision(folder, identity, files)
            is_edited = _is_edited(folder / store.README, {*cards, files.get(store.README, b"")})
            repaired |= _update_copy(folder, identity, files, {store.README} if is_edited else set())
        return Pushed(self.address.model(name), identity, tuple(sorted(repaired)), "edited" if is_edited else "current")

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        """Hold the lock of a model, and remove the temporary files of a killed process."""
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


def _require_valid(name: str) -> None:
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise HubError(f"{name[:100]!r} can't be a model's name; expected a-z, 0-9, '.', '_' and '-', up to {LONGEST}")


def _may_be_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder; True if the system can't tell, so that reading it raises the error."""
    try:
        return entry.is_dir()
    except OSError:
        return True


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


# -- the revisions of a model ----------------------------------------------------------------------


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


def _kept_ids(folder: Path) -> list[str]:
    """The ids of the revisions in a model folder that exist, newest last."""
    revisions = str(folder / KEPT)
    return [identity for identity in _read_ids(revisions) if _exists(revisions, identity)]


def _keep_copy(folder: Path) -> None:
    """Add the model folder as the first revision, if it is valid and was put there without `publish`."""
    if _kept_ids(folder) or store.is_missing(folder / store.CONFIG):
        return
    with contextlib.suppress(FolderError):
        _add_revision(folder, store.identity(folder), store.read_files(folder))


def _add_revision(folder: Path, identity: str, files: Mapping[str, bytes]) -> set[str]:
    """Write a revision and make it the newest; returns the files that were damaged or missing."""
    target, repaired = folder / KEPT / identity, set()
    if target.is_dir():
        for file, content in files.items():
            if _differs(target / file, content):
                write_file(target / file, content)
                repaired.add(file)
    else:
        with written_aside(target) as aside:
            store.write_files(files, aside)
    ids = _kept_ids(folder)
    if ids[-1:] != [identity]:
        lines = [*(line for line in ids if line != identity), identity]
        write_file(folder / KEPT / "ids", "".join(f"{line}\n" for line in lines).encode())
    return repaired - set(PRESENTATION)


def _update_copy(folder: Path, identity: str, files: Mapping[str, bytes], kept: Set[str]) -> set[str]:
    """Update HUB/NAME to the newest revision, except the files in `kept`; returns the files that were damaged.

    Files that only the previous record names are removed. Other files stay.
    """
    previous: set[str] = set()
    was_same = not store.is_missing(folder / store.CONFIG)
    with contextlib.suppress(FolderError):
        record = store.read_record(folder)
        previous = {*record.files, *PRESENTATION}
        was_same = store.identity(folder) == identity
    changed = {file for file in files.keys() - kept if _differs(folder / file, files[file])}
    for file in changed - {store.CONFIG}:
        write_file(folder / file, files[file])
    for file in previous - files.keys() - kept:
        _remove(folder, file)
    # The record comes last, so that the next push sees an unfinished copy by its old record and writes it again.
    if store.CONFIG in changed:
        write_file(folder / store.CONFIG, files[store.CONFIG])
    return changed - set(PRESENTATION) if was_same else set()


def _is_edited(path: Path, cards: Collection[bytes]) -> bool:
    """Whether a person edited a card; False for the published cards."""
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
