"""A folder of model folders as a hub; the catalogue that ships with the zoo is one.

    HUB/resnet20_cifar10/                       the current revision: a model folder
    HUB/.revisions/resnet20_cifar10/0001-…/     the ones before, in order

A push writes the new folder aside and renames twice: the current one to the revisions, the new one
into its place. Between the two, and after a crash there, a reader takes the newest of the revisions;
so there is at every moment one whole folder to be had.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import HubError, NotFound
from zoo.folder import store
from zoo.folder.config import Config
from zoo.hub.address import Address, not_a_hub
from zoo.hub.protocol import Listed, Pushed
from zoo.spec import NAME


def open_folder(address: Address) -> FolderHub:
    """The hub at `file:PATH`; raises HubError where no path is named."""
    if not address.place:
        raise not_a_hub(address)
    return FolderHub(Path(address.place).expanduser())


class FolderHub:
    """The hub `file:PATH`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def address(self) -> Address:
        """`file:` and the path."""
        return Address("file", str(self.path))

    def require_writable(self, name: str) -> None:
        """Make sure that the folder can be made and written; raises HubError."""
        _require_name(name)
        there = store.ground(self.path)
        if not there.is_dir():
            raise HubError(f"{self.address} can't be a hub: {there} is a file; name a folder with --hub")
        if not os.access(there, os.W_OK | os.X_OK):
            raise HubError(f"{self.address} can't be written: no permission in {there}; name another folder with --hub")

    def push(self, folder: Path, name: str) -> Pushed:
        """Publish a model folder; the revision before is kept and can be pulled by its id."""
        self.require_writable(name)
        store.check(folder)
        new = store.revision(folder)
        try:
            with self._writing():
                current = self.path / name
                if not current.exists() or store.revision(current) != new:
                    with store.written_aside(self._kept(name) / "incoming") as incoming:
                        store.copy_files(folder, incoming)
                    if current.exists():
                        current.rename(self._place(name, store.revision(current)))
                    (self._kept(name) / "incoming").rename(current)
                    store.sync(self.path)
        except OSError as error:
            raise HubError(f"{self.address} can't be written: {error.strerror or error}") from error
        return Pushed(self.address.model(name), new)

    def push_pinned(self, folder: Path, name: str, weights: Pushed) -> Pushed:
        """Publish a model folder without its weights: their place, revision and hash instead."""
        with tempfile.TemporaryDirectory() as scratch:
            store.copy_pinned(folder, Path(scratch), str(weights.address), weights.revision)
            return self.push(Path(scratch), name)

    def facts(self, name: str, revision: str | None = None) -> Config:
        """Read config.json in the folder that `pull` gives."""
        return store.read_config(self.pull(name, revision))

    def pull(self, name: str, revision: str | None = None, *, weights: bool = True) -> Path:
        """The folder of a model itself, weights and all; of a revision before, by its id or the first digits of it."""
        _require_name(name)
        current = self.path / name
        if revision is None and (current / store.CONFIG).is_file():
            return current
        known = self._revisions(name)
        if revision is None:
            return known[0][1]
        for identity, path in known:
            if identity.startswith(revision):
                return path
        ids = ", ".join(identity[:12] for identity, _ in known)
        raise NotFound(f"{self.address.model(name)} has no revision {revision}; it has {ids}")

    def models(self) -> list[Listed]:
        """The models that are there; a folder that is no model is not one of them."""
        found = []
        for path in sorted(self.path.iterdir()) if self.path.is_dir() else []:
            if path.is_dir() and (path / store.CONFIG).is_file():
                found.append(Listed.of(self.address.model(path.name), store.read_config(path)))
        return found

    def revisions(self, name: str) -> list[str]:
        """The ids of a model's revisions, newest first."""
        _require_name(name)
        return [identity for identity, _ in self._revisions(name)]

    def _revisions(self, name: str) -> list[tuple[str, Path]]:
        kept = sorted((path for path in self._kept(name).glob("[0-9]*")), reverse=True)
        found = [(path.name.partition("-")[2], path) for path in kept]
        current = self.path / name
        with contextlib.suppress(OSError):  # no model folder there, or a push is renaming it just now
            found.insert(0, (store.revision(current), current))
        if not found:
            there = ", ".join(one.name for one in self.models()) or "no model"
            raise NotFound(f"{self.address} has no model {name}; it has {there}")
        return found

    def _kept(self, name: str) -> Path:
        return self.path / ".revisions" / name

    def _place(self, name: str, revision: str) -> Path:
        numbers = [int(path.name.partition("-")[0]) for path in self._kept(name).glob("[0-9]*")]
        return self._kept(name) / f"{max(numbers, default=0) + 1:04d}-{revision}"

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """One writer at a time; what a writer that was killed has left aside is cleared."""
        from filelock import FileLock

        (self.path / ".revisions").mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / ".revisions" / ".lock"):
            for left in (self.path / ".revisions").glob("*/*incoming*"):
                shutil.rmtree(left)
            yield


def _require_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise HubError(f"{name!r} can't be a model's name; expected a-z, 0-9, '.', '_' and '-'")
