"""From a reference to a published model: its record at once, its files when they are needed.

Loading, evaluating, predicting, verifying, reproducing, drawing and teaching all begin here.

Weights of a name come from the hub that is named; without one from ZOO_HUB's, and from the catalogue where that one
does not have the model. A model in a hub is resolved once, to a record and a revision that never changes; files are
fetched by name, from that revision alone, and held against the record when they are read.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from zoo import plugins, registry
from zoo.errors import (
    DataError,
    FolderError,
    HashMismatch,
    HubError,
    HubUnavailable,
    HubWarning,
    NameWarning,
    NotFound,
    NotPublished,
    OtherFormat,
    PluginError,
    UnknownModel,
)
from zoo.hub.address import Address, Name, Reference, parse
from zoo.hub.catalogue import catalogue, variants
from zoo.hub.download import healed
from zoo.hub.protocol import Hub, InHub, Repositories
from zoo.hub.repositories import Repository, repository
from zoo.hub.schemes import open_default, open_hub
from zoo.record import store
from zoo.record.paths import is_folder, path_of
from zoo.record.types import PRESENTATION, EpochRow, Record, Trained, require_trained
from zoo.spec import Architecture, Dataset, Model, Pictures

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torchvision.transforms import v2

# A distribution's name (PEP 508), of a bearable length: what a stranger wrote is not printed as part of a command.
DISTRIBUTION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")


class Source(Protocol):
    """Where the files of a published model come from."""

    @property
    def address(self) -> str:
        """The path of a folder, or an address in a hub."""

    def fetch(self, files: Iterable[str], *, anew: bool = False) -> Path:
        """A folder on this machine that has these files; raises NotFound or FolderError for one that is missing."""


@dataclass(frozen=True)
class Folder:
    """A folder on this machine."""

    path: Path

    @property
    def address(self) -> str:
        """The whole path."""
        return str(self.path.absolute())

    def fetch(self, files: Iterable[str], *, anew: bool = False) -> Path:
        """The folder; there is no other copy to be fetched `anew`."""
        if missing := [file for file in files if store.is_missing(self.path / file)]:
            raise FolderError(f"{self.path} is incomplete: it lacks {', '.join(missing)}; fetch or train it again")
        return self.path


@dataclass(frozen=True, eq=False)
class Published:
    """A published model. Whatever is read of it is held against the same `config`."""

    config: Record
    source: Source
    other: Repository | None = None  # where another library published it

    @property
    def place(self) -> str:
        """Where it is: a whole path, or an address in a hub."""
        return self.source.address

    @property
    def pinned(self) -> str:
        """A path, or an address with the revision, where exactly this model is found again."""
        if isinstance(self.source, InHub):
            return str(self.source.hub.address.model(self.source.name).at(self.source.revision))
        return self.source.address

    @property
    def is_local(self) -> bool:
        """Whether its folder was named by path."""
        return isinstance(self.source, Folder)

    @property
    def is_shipped(self) -> bool:
        """Whether it is the catalogue's."""
        if isinstance(self.source, InHub):
            return self.source.hub.address == catalogue().address
        return Path(self.place).resolve().parent == catalogue().path.resolve()

    def require_record(self) -> None:
        """Raise OtherFormat for a model in another library's repository, which has no record."""
        if self.other is not None:
            store.read_record(self.source.fetch([store.CONFIG]))

    def read(self, file: str) -> bytes:
        """A file that the record names, its hash checked; what is damaged is fetched again, once.

        Raises FolderError, HashMismatch, NotFound or HubError.
        """
        return healed(lambda anew: store.read_file(self._holding(file, anew=anew), self.config, file))

    def files(self, *, weights: bool = True) -> Iterator[tuple[str, bytes]]:
        """Every file, one by one, config.json first, those that the record names checked; raises as `read` does.

        Without `weights`, they are left out where they are not in the folder itself.
        """
        yield store.CONFIG, healed(self._config_file)
        for file in self.config.files:
            if weights or file != store.WEIGHTS or self._has(file):
                yield file, self.read(file)
        for file in self._presentation():
            yield file, store.read_regular(self.source.fetch([file]), file, store.PRESENTATION_BYTES)

    def _config_file(self, anew: bool) -> bytes:
        folder = self.source.fetch([store.CONFIG], anew=anew)
        content = store.config_bytes(folder)
        if store.record_of({store.CONFIG: content}, folder) != self.config:
            raise HashMismatch(f"{folder / store.CONFIG} was changed after it was read first; try again")
        return content

    def check(self, *, weights: bool = False) -> None:
        """Make sure that every file which the record names is there and sound, and that the log can be read.

        Weights may be missing where the record says where they are, but with `weights`. Raises FolderError,
        HashMismatch, NotFound or HubError.
        """
        for file in self.config.files:
            if file != store.WEIGHTS or weights or self.config.download is None or self._has(file):
                self.read(file)
        self.log()

    def log(self) -> list[EpochRow]:
        """A row an epoch, none where the zoo did not train it; fetches the log alone."""
        if not isinstance(self.config, Trained):
            return []
        return store.log_rows(self.read(store.LOG), f"{self.place}/{store.LOG}")

    @functools.cached_property
    def folder(self) -> Path:
        """A folder on this machine with every file, but weights that the record says to lie elsewhere.

        The files are not checked. Raises NotFound or HubError.
        """
        files = [store.CONFIG, *self.config.files, *self._presentation()]
        if self.config.download is not None and not self._has(store.WEIGHTS):
            files.remove(store.WEIGHTS)
        return self.source.fetch(files)

    def _has(self, file: str) -> bool:
        try:
            self.source.fetch([file])
        except (NotFound, FolderError):
            return False
        return True

    def _presentation(self) -> list[str]:
        return [file for file in PRESENTATION if self._has(file)]

    def _holding(self, file: str, *, anew: bool = False) -> Path:
        """A folder with that file: the model's own, or in the cache where weights come from their author."""
        try:
            return self.source.fetch([file], anew=anew)
        except (NotFound, FolderError):
            if file != store.WEIGHTS or self.config.download is None:
                raise
        from zoo.hub.imported import downloaded

        if not self.is_shipped:
            require_allowed(self.config.download.address, f"the file of weights of {self.config.name}")
        return downloaded(self.source.fetch([store.CONFIG]), self.config)

    @functools.cached_property
    def architecture(self) -> Architecture:
        """What builds its net; raises PluginError, with the distribution, where no plugin here has it."""
        if self.other is not None:
            return self.other.architecture
        named = self.config.plugin_distribution
        with contextlib.suppress(UnknownModel):
            return registry.recorded(self.config.architecture, named)
        by = f"the distribution {named!r}" if DISTRIBUTION.fullmatch(named) else "no distribution that could be one"
        raise PluginError(
            f"{self.config.name} needs the architecture {self.config.architecture}, which no plugin here provides; "
            f"its config.json names {by}: install it where you trust it"
        )

    @functools.cached_property
    def known(self) -> Model | Architecture:
        """The model as the plugins know it; its architecture alone where none declares its data set."""
        architecture = self.architecture
        if isinstance(self.config, Trained) and self.config.pictures is not None:
            return Model(architecture, self._recalled(self.config, self.config.pictures), parameters=None)
        with contextlib.suppress(UnknownModel, PluginError):
            return registry.on(architecture, self.config.dataset)
        return architecture

    @property
    def model(self) -> Model:
        """The model, whose data set is needed; raises DataError where no plugin declares that one."""
        if isinstance(self.known, Architecture):
            raise DataError(
                f"{self.config.name} was trained on {self.config.dataset}, a data set that no plugin here declares; "
                "install the one that does"
            )
        self._require_declared()
        return self.known

    def on(self, dataset: str) -> Model:
        """The model on a data set that is named; raises DataError where its images or classes are others, UnknownModel.

        The name of its own does not matter: somebody else's repository may not say it.
        """
        named = registry.dataset(dataset)
        if not self.config.fits(named):
            raise DataError(
                f"{self.config.name} takes images of {self.config.input_size} to {len(self.config.classes)} classes, "
                f"and {named.name} has images of {named.input_size} and {len(named.classes)} classes, or others; name "
                "the one that it was trained on"
            )
        return registry.join(self.architecture, named)

    def net(
        self, device: torch.device | str = "cpu", *, num_classes: int | None = None, in_channels: int | None = None
    ) -> nn.Module:
        """Its net with its weights, hash checked, in evaluation mode.

        Its classes and images are those of its data set where a plugin declares that one, but for what is
        asked for otherwise. Raises what `read` raises, and DataError.
        """
        from zoo.nets import weights

        self._require_declared(num_classes, in_channels)

        def content(anew: bool) -> tuple[bytes, Path]:
            folder = self._holding(store.WEIGHTS, anew=anew)
            return store.read_file(folder, self.config, store.WEIGHTS), folder / store.WEIGHTS

        return weights.filled(self.architecture, *healed(content), self.config, num_classes, in_channels).to(device)

    def untrained(
        self, device: torch.device | str = "cpu", *, num_classes: int | None = None, in_channels: int | None = None
    ) -> nn.Module:
        """The same net as its architecture initialises it, in training mode; fetches no weights."""
        from zoo.nets.build import build, require_counted

        self._require_declared(num_classes, in_channels)
        net = build(self.architecture, self.config, num_classes, in_channels)
        if num_classes is None and in_channels is None:
            require_counted(net, self.config, self.config.name)
        return net.to(device)

    @property
    def preprocess(self) -> v2.Compose:
        """From an image of any size and mode to the net's input, [C, H, W] float32."""
        from zoo.data.preprocessing import preprocessing

        config = self.config
        return preprocessing(config.input_size, config.mean, config.std, config.resizing)

    def _recalled(self, record: Trained, pictures: Pictures) -> Dataset:
        """The data set of somebody's pictures, as the record has it; its images where this machine prepared them."""
        from zoo.data.prepared import Prepared, margin, prepared_dataset

        extra = margin(record.job.recipe, record.input_size[1])
        prepared = Prepared(pictures.sha256, record.input_size, extra)
        return prepared_dataset(pictures, record.dataset, record.classes, prepared, (record.mean, record.std))

    def _require_declared(self, num_classes: int | None = None, in_channels: int | None = None) -> None:
        """Hold the record's classes and images against its data set, where a plugin declares that one."""
        if isinstance(self.known, Architecture):
            return
        own, declared = self.config, self.known.dataset
        same_classes = num_classes is not None or own.classes == declared.classes
        first = 0 if in_channels is None else 1  # of channels, height, width
        if not same_classes or own.input_size[first:] != declared.input_size[first:]:
            raise DataError(
                f"{self.config.name} was trained on a data set of other classes or images than {self.config.dataset}, "
                "as it is declared here; install the plugin that declares its own"
            )


# -- from a reference to a model -------------------------------------------------------------------


def published(
    model: str | Path | Reference, *, hub: str | None = None, revision: str | None = None, newest: bool = False
) -> Published:
    """The published model of a name, a path or an address; raises NotFound, HubError, FolderError or UnknownModel.

    A path or an address may be another library's repository, of a kind that a plugin reads. Where a hub can't be asked,
    an earlier revision on this machine is taken, with a HubWarning; with `newest` that is a HubError.
    """
    plugins.declared()  # a damaged distribution is reported and left out, before torch would fail on it
    reference = parse(model)
    if isinstance(reference, Path):
        for given in (hub, revision):
            if given is not None:
                raise HubError(f"{reference} is a path, which is in no hub and has no revisions; leave out {given}")
        return _in_folder(_existing(reference))
    if isinstance(reference, Address):
        if hub is not None:
            raise HubError(f"'{reference}' names its hub itself; leave out {hub}")
        address = reference.at(revision)
        assert address.name is not None
        return _in_hub(open_hub(address), address.name, address.revision, newest=newest)
    return named(full_name(reference.text, hub), hub=hub, revision=revision, newest=newest)


def named(name: str, *, hub: str | None = None, revision: str | None = None, newest: bool = False) -> Published:
    """The published model of a full name: in the hub that is named, else in ZOO_HUB's, else in the catalogue.

    Raises NotPublished where no hub is named and the catalogue has no weights, or what `published` raises.
    """
    if hub is not None:
        return _in_hub(open_hub(hub), name, revision, newest=newest)
    shipped, own = catalogue(), open_default()
    in_catalogue = is_folder(shipped.path / name)
    if own is None:
        if not in_catalogue:
            raise _not_shipped(name, revision)
        return _in_hub(shipped, name, revision)
    try:
        return _in_hub(own, name, revision, newest=newest)
    except NotFound:
        if in_catalogue:
            with contextlib.suppress(NotFound):
                return _in_hub(shipped, name, revision)
        raise


def _not_shipped(name: str, revision: str | None) -> NotFound:
    """The error for a name without weights in the catalogue."""
    base, tag = tagged(name)
    if tag is not None:
        others = ", ".join(variants(base))
        hint = f"it has {others}" if others else f"nobody else's are there for {base}; leave out .{tag}"
        return NotFound(f"the catalogue has no weights of {name}; {hint}")
    what, kind = (name, NotPublished) if revision is None else (f"{name} at revision {revision}", NotFound)
    others = f" (other people's are there: {', '.join(variants(name))})" if variants(name) else ""
    return kind(
        f"the catalogue has no weights of {what}{others}; name the hub that has them (hub, or ZOO_HUB), "
        f"or train it: zoo train {name}"
    )


def _existing(given: Path) -> Path:
    path = path_of(given)
    if path.is_file():
        raise FolderError(
            f"{path} is a file, and no model folder; give the folder that it is in, {path.parent}, or a file of "
            f"weights by itself with: zoo eval MODEL --weights {path}"
        )
    if not is_folder(path):
        raise FolderError(f"there is no folder {path}; a model in a hub is hf://namespace/name")
    return path


def _in_folder(path: Path) -> Published:
    try:
        return Published(store.read_record(path), Folder(path))
    except OtherFormat as error:
        other = repository(error.folder, error.kind, None)
        return Published(other.record, Folder(path), other)


def _in_hub(hub: Hub, name: str, revision: str | None, *, newest: bool = False) -> Published:
    try:
        resolved = hub.resolve(name, revision)
    except HubUnavailable as error:
        if newest:
            raise
        warnings.warn(
            HubWarning(
                f"{error}; the Hub was not asked for the newest revision: "
                f"{error.revision[:12]} is used, downloaded on {error.date}"
            ),
            stacklevel=4,
        )
        return _in_hub(hub, name, error.revision)
    except OtherFormat as error:
        if not isinstance(hub, Repositories):
            return _in_folder(error.folder)
        source = InHub(hub, name, error.folder.name, error.folder.name)
        other = repository(error.folder, error.kind, source)
        return Published(other.record, source, other)
    if resolved.record.name != name:
        raise HubError(f"{hub.address.model(name)} contains the model {resolved.record.name}, expected {name}")
    return Published(resolved.record, InHub(hub, name, resolved.id))


# -- names -----------------------------------------------------------------------------------------


def full_name(name: str, hub: str | None) -> str:
    """The full name where a plugin knows the model; `hub` or ZOO_HUB's may have models that no plugin here knows.

    A folder here of that name is not meant, and a NameWarning says how to mean it. Raises UnknownModel.
    """
    is_folder_too = bool(name) and is_folder(Path(name))
    try:
        base, tag = tagged(name)
        full = base if tag is None else f"{base}.{tag}"
    except UnknownModel as error:
        if hub is None and not os.environ.get("ZOO_HUB"):
            hint = f"; ./{name} is a folder here: give ./{name} to mean it" if is_folder_too else ""
            if os.path.isfile(name):  # noqa: PTH113 - False also for a name that is too long for a path
                hint = f"; {name} is a file here: name the model first"
            raise UnknownModel(f"{error}{hint}") from None
        full = name
    if is_folder_too:
        warnings.warn(NameWarning(f"./{name} is a folder here too; give ./{name} to mean it"), stacklevel=3)
    return full


def tagged(name: str) -> tuple[str, str | None]:
    """A name as a model's full name, and the tag of other people's weights for it, `NAME.TAG`, where it has one.

    Raises UnknownModel.
    """
    try:
        return registry.resolve(name), None
    except UnknownModel:
        base, dot, tag = name.rpartition(".")
        if not dot:
            raise
        with contextlib.suppress(UnknownModel):
            return registry.resolve(base), tag
        raise


# -- trust -----------------------------------------------------------------------------------------


def require_allowed(named: str, what: str) -> None:
    """Refuse to ask a hub, or to read a path, that somebody's record names and nobody here has allowed.

    Allowed is what ZOO_TRUST lists, hubs' and models' addresses and paths, a comma between two; a
    name is always. `what` is said in the error: whose teacher, whose weights. Raises HubError.
    """
    if not isinstance(parse(named), Name) and not is_trusted(named):
        raise HubError(
            f"{what} is said to be at {named}; nothing is fetched there unasked: to allow it, list it in ZOO_TRUST"
        )


def is_trusted(named: str) -> bool:
    """Whether ZOO_TRUST lists an address, its model's or its hub's, or a path."""
    trusted = [one.strip().rstrip("/") for one in os.environ.get("ZOO_TRUST", "").split(",")]
    return any(named == one or named.startswith((f"{one}/", f"{one}@")) for one in trusted if one.rstrip(":"))


# -- logs ------------------------------------------------------------------------------------------


def logs(runs: Iterable[str | Path]) -> dict[str, list[EpochRow]]:
    """Each run's log, under a label of its own.

    A run is a model's name, the path of a model folder or of an unfinished run, or an address in a hub.
    Raises what `published` raises, and FolderError where a run has finished no epoch yet.
    """
    found: dict[str, list[EpochRow]] = {}
    for run in runs:
        label, rows = _log(parse(run))
        if not rows:
            raise FolderError(f"the run {run} has finished no epoch yet; there is nothing to draw")
        found[str(run) if label in found else label] = rows
    return found


def _log(run: Reference) -> tuple[str, list[EpochRow]]:
    if isinstance(run, Path):
        path = path_of(run)
        for folder in (path, path.parent / f"{path.name}.run"):
            if (folder / store.LOG).is_file() and not (folder / store.CONFIG).is_file():
                return folder.name, store.read_log(folder)
    model = published(run)
    job = require_trained(model.config).job
    return f"{model.config.name} {job.recipe_name} seed {job.seed}", model.log()
