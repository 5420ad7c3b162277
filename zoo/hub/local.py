"""A folder of model folders as a hub; the catalogue that ships with the zoo is one.

    HUB/resnet20_cifar10/                       the current revision, for people: a model folder
    HUB/.revisions/resnet20_cifar10/0001-ID/    every revision that was pushed, in order, for good

A revision's folder never changes. The current one is that whose id the config.json of HUB/NAME has: one
small file, which a reader reads once, and which a push changes by exchanging HUB/NAME in one step. So
readers never wait, and never see two revisions mixed. Files that revisions have in common are one file
on the disk. Where a model was put there by hand or by git, its folder itself is what is read.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from zoo import registry
from zoo.errors import HashMismatch, HubError, NotFound
from zoo.hub.address import Address, not_a_hub
from zoo.hub.index import listed
from zoo.hub.protocol import Listed, Pushed
from zoo.record import store
from zoo.record.paths import LONGEST, is_folder, path_of
from zoo.record.replace import ASIDE, recover, written_aside
from zoo.record.types import Record
from zoo.spec import NAME

KEPT = ".revisions"


def open_folder(address: Address) -> FolderHub:
    """The hub at `file:PATH`; raises HubError where no path is named."""
    if not address.place:
        raise not_a_hub(address)
    return FolderHub(path_of(address.place))


class FolderHub:
    """The hub `file:PATH`; with `ids`, every model in it has to be the folder of the id that is there for its name."""

    def __init__(self, path: Path, ids: Mapping[str, str] | None = None) -> None:
        self.path = path
        self._ids = ids

    @property
    def address(self) -> Address:
        """`file:` and the path."""
        return Address("file", str(self.path))

    def require_writable(self, name: str) -> None:
        """Make sure that the folder can be made and written; raises HubError."""
        _require_name(name)
        there = store.ground(self.path)
        if os.access(there, os.F_OK) and not is_folder(there):
            raise HubError(f"{self.address} can't be a hub: {there} is a file; name a folder with --hub")
        if not os.access(there, os.W_OK | os.X_OK):
            raise HubError(f"{self.address} can't be written: no permission in {there}; name another folder with --hub")

    def push(self, folder: Path, name: str) -> Pushed:
        """Publish a model folder; the revision before is kept and can be pulled by its id."""
        self.require_writable(name)
        return self._push(store.read_files(folder), name)

    def _push(self, files: Mapping[str, bytes], name: str) -> Pushed:
        new = store.identity_of(files)
        try:
            with self._writing(name):
                if new != self._current(name):
                    kept = self._keep(files, name, new)
                    with written_aside(self.path / name) as aside:
                        _link_files(kept, aside)
        except OSError as error:
            raise HubError(f"{self.address} can't be written: {error.strerror or error}") from error
        return Pushed(self.address.model(name), new)

    def facts(self, name: str, revision: str | None = None) -> Record:
        """Read config.json in the folder that `pull` gives."""
        return store.read_record(self.pull(name, revision))

    def pull(self, name: str, revision: str | None = None, *, weights: bool = True) -> Path:
        """A folder of the hub itself that no push changes; of an earlier revision by the first digits of its id."""
        _require_name(name)
        current, kept = self._served(name), self._kept(name)
        if self._ids is not None and current != self._ids.get(name):
            raise HashMismatch(f"{self.path / name} is not the model that came with this zoo; install the zoo again")
        known = {**kept, current: kept.get(current, self.path / name)}
        if revision is None:
            return known[current]
        fitting = [identity for identity in known if identity.startswith(revision)]
        if len(fitting) != 1 or not revision:
            ids = ", ".join(identity[:12] for identity in self.revisions(name)[:5])
            wrong = "has no revision" if not fitting else "has several revisions that begin with"
            raise NotFound(f"{self.address.model(name)} {wrong} {revision!r}; it has {ids}")
        path = known[fitting[0]]
        if len(fitting[0]) == 64 and store.identity(path) != fitting[0]:  # 40 digits: kept by an earlier zoo
            raise HashMismatch(f"{path} is not revision {fitting[0][:12]} any more: its config.json was changed")
        return path

    def models(self) -> list[Listed]:
        """The models that are there, by name; what is damaged is passed over with a warning."""
        return listed(self.address, self.path)

    def models_like(self, pattern: str) -> list[Listed]:
        """Those whose names match a pattern (`resnet*`); nothing of the others is read."""
        return listed(self.address, self.path, pattern)

    def revisions(self, name: str) -> list[str]:
        """The ids of a model's revisions, newest first."""
        _require_name(name)
        return list(dict.fromkeys([self._served(name), *reversed(self._kept(name))]))

    def _served(self, name: str) -> str:
        """The id of what a reader gets: the current revision, or the newest where a push is between two renames."""
        current = self._current(name) or next(reversed(self._kept(name)), None)
        if current is None:
            raise NotFound(f"{self.address} has no model {name}{self._close_to(name)}")
        return current

    def _current(self, name: str) -> str | None:
        """The id of the current revision: its config.json, one small file, says it; None where there is no model."""
        if store.is_missing(self.path / name / store.CONFIG):
            return None
        return store.identity(self.path / name)

    def _kept(self, name: str) -> dict[str, Path]:
        """The revisions that are kept, by id, oldest first."""
        numbered = sorted((self.path / KEPT / name).glob("[0-9]*-*"), key=lambda one: int(one.name.partition("-")[0]))
        return {one.name.partition("-")[2]: one for one in numbered}

    def _keep(self, files: Mapping[str, bytes], name: str, identity: str) -> Path:
        """Keep a revision for good, and the current one where it is not kept yet; equal files are shared."""
        kept = self._kept(name)
        current = self._current(name)
        if current is not None and current not in kept:
            kept[current] = self._numbered(store.read_files(self.path / name), name, current, kept)
        return kept.get(identity) or self._numbered(files, name, identity, kept)

    def _numbered(self, files: Mapping[str, bytes], name: str, identity: str, kept: dict[str, Path]) -> Path:
        last = max((int(one.name.partition("-")[0]) for one in kept.values()), default=0)
        place = self.path / KEPT / name / f"{last + 1:04d}-{identity}"
        with written_aside(place) as aside:
            store.write_files(files, aside)
            for before in kept.values():
                _share_files(before, aside)
        return place

    def _close_to(self, name: str) -> str:
        """Up to three models with a name like that, however many there are."""
        there = (
            [one.name for one in os.scandir(self.path) if one.is_dir() and NAME.fullmatch(one.name)]
            if self.path.is_dir()
            else []
        )
        close = registry.close_to(name, there)
        return f"; it has {', '.join(close)}" if close else f"; see what it has with: zoo list --hub {self.address}"

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        """One writer at a time; what a writer that was killed has left is cleared."""
        from filelock import FileLock

        (self.path / KEPT / name).mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / KEPT / ".lock"):
            recover(self.path / name)
            for left in (self.path / KEPT / name).glob(f".*{ASIDE}"):
                shutil.rmtree(left)
            yield


def _link_files(source: Path, target: Path) -> None:
    """The same files once more, without their bytes where the file system can."""
    for path in source.rglob("*"):
        if path.is_file():
            (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            try:
                (target / path.relative_to(source)).hardlink_to(path)
            except OSError:
                shutil.copyfile(path, target / path.relative_to(source))


def _share_files(before: Path, new: Path) -> None:
    """Let the files of a new revision that are those of one before be the same files on the disk."""
    earlier, now = store.read_record(before).files, store.read_record(new).files
    for name, facts in now.items():
        if earlier.get(name) == facts and (before / name).is_file() and (new / name).is_file():
            shared = new / f"{name}.shared"
            with contextlib.suppress(OSError):  # no links on this file system
                shared.hardlink_to(before / name)
                shared.replace(new / name)


def _require_name(name: str) -> None:
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise HubError(f"{name[:100]!r} can't be a model's name; expected a-z, 0-9, '.', '_' and '-', up to {LONGEST}")
