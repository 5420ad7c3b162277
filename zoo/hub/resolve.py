"""Resolves a name, a path or an address to a published model. Reads its record; fetches files when they are needed.

The weights of a name come from the given hub, else from ZOO_HUB, else from the catalogue if ZOO_HUB is not set or does
not have the model. A model in a hub is resolved once, to a record and an immutable revision. Files are fetched by name
from that revision, and compared with the record when they are read.
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
from zoo.hub.download import read_or_refetch
from zoo.hub.protocol import Hub, InHub, Repositories
from zoo.hub.repositories import Repository, read_repository
from zoo.hub.schemes import open_default, open_hub
from zoo.record import store
from zoo.record.paths import is_folder, path_of
from zoo.record.types import PRESENTATION, EpochRow, Record, Trained, require_trained
from zoo.spec import Architecture, Dataset, Model, Pictures

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torchvision.transforms import v2

# The name of a distribution (PEP 508), of at most 100 characters. Error messages print no other text from a record.
DISTRIBUTION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")


class Source(Protocol):
    """The origin of a published model's files."""

    @property
    def address(self) -> str:
        """The path of a folder, or an address in a hub."""

    def fetch(self, files: Iterable[str], *, force_download: bool = False) -> Path:
        """Return a folder on this machine that contains these files.

        With `force_download`, files are downloaded again. Raises NotFound or FolderError if one is missing.
        """


@dataclass(frozen=True)
class Folder:
    """A folder on this machine."""

    path: Path

    @property
    def address(self) -> str:
        """The absolute path."""
        return str(self.path.absolute())

    def fetch(self, files: Iterable[str], *, force_download: bool = False) -> Path:
        """Return the folder; `force_download` has no effect, because there is no other copy."""
        if missing := [file for file in files if store.is_missing(self.path / file)]:
            raise FolderError(f"{self.path} is incomplete: it lacks {', '.join(missing)}; fetch or train it again")
        return self.path


@dataclass(frozen=True, eq=False)
class Published:
    """A published model: its record, the source of its files, and the repository of another library, if it is one."""

    config: Record
    source: Source
    repository: Repository | None = None

    @property
    def address(self) -> str:
        """The absolute path of its folder, or its address in a hub."""
        return self.source.address

    @property
    def pinned(self) -> str:
        """The absolute path of its folder, or its address in a hub with the revision."""
        if isinstance(self.source, InHub):
            return str(self.source.hub.address.model(self.source.name).at(self.source.revision))
        return self.source.address

    @property
    def is_local(self) -> bool:
        """Whether it was referred to by the path of its folder."""
        return isinstance(self.source, Folder)

    @property
    def is_shipped(self) -> bool:
        """Whether it is in the catalogue."""
        if isinstance(self.source, InHub):
            return self.source.hub.address == catalogue().address
        return Path(self.address).resolve().parent == catalogue().path.resolve()

    def require_record(self) -> None:
        """Raise OtherFormat if the model is in another library's repository, which has no record."""
        if self.repository is not None:
            store.read_record(self.source.fetch([store.CONFIG]))

    def read(self, file: str) -> bytes:
        """Read a file that the record names and check its hash; a damaged file is fetched again, once.

        Raises FolderError, HashMismatch, NotFound or HubError.
        """
        return read_or_refetch(
            lambda force: store.read_file(self._folder_with(file, force_download=force), self.config, file)
        )

    def files(self, *, weights: bool = True) -> Iterator[tuple[str, bytes]]:
        """Yield the name and content of every file, config.json first; hashes are checked.

        With `weights=False`, weights are omitted if the record says that they are downloaded from elsewhere. Raises
        what `read` raises.
        """
        yield store.CONFIG, read_or_refetch(self._config_file)
        for file in self.config.files:
            if weights or file != store.WEIGHTS or self._has(file):
                yield file, self.read(file)
        yield from self.presentation().items()

    def presentation(self) -> dict[str, bytes]:
        """Read the card and the charts that the model has, by name; they have no hash.

        Raises FolderError, NotFound or HubError.
        """
        return {
            file: store.read_regular(self.source.fetch([file]), file, store.PRESENTATION_BYTES)
            for file in PRESENTATION
            if self._has(file)
        }

    def _config_file(self, force_download: bool) -> bytes:
        folder = self.source.fetch([store.CONFIG], force_download=force_download)
        content = store.config_bytes(folder)
        if store.record_of({store.CONFIG: content}, folder) != self.config:
            raise HashMismatch(f"{folder / store.CONFIG} was changed while the model was read; try again")
        return content

    def check(self, *, weights: bool = False) -> None:
        """Check the hash of every file that the record names, and that the log can be parsed.

        Weights may be missing if the record has a download address for them, unless `weights` is True. Raises
        FolderError, HashMismatch, NotFound or HubError.
        """
        for file in self.config.files:
            if file != store.WEIGHTS or weights or self.config.download is None or self._has(file):
                self.read(file)
        self.log()

    def log(self) -> list[EpochRow]:
        """Fetch and parse the training log: one row per epoch; empty for imported weights."""
        if not isinstance(self.config, Trained):
            return []
        return store.log_rows(self.read(store.LOG), f"{self.address}/{store.LOG}")

    @functools.cached_property
    def folder(self) -> Path:
        """A folder on this machine with every file, except weights that are only at the record's download address.

        The files are not checked. Raises NotFound or HubError.
        """
        files = [store.CONFIG, *self.config.files, *filter(self._has, PRESENTATION)]
        if self.config.download is not None and not self._has(store.WEIGHTS):
            files.remove(store.WEIGHTS)
        return self.source.fetch(files)

    def _has(self, file: str) -> bool:
        try:
            self.source.fetch([file])
        except (NotFound, FolderError):
            return False
        return True

    def _folder_with(self, file: str, *, force_download: bool = False) -> Path:
        """A folder with that file: the model's, or the cache of weights that are downloaded from another address."""
        try:
            return self.source.fetch([file], force_download=force_download)
        except (NotFound, FolderError):
            if file != store.WEIGHTS or self.config.download is None:
                raise
        from zoo.hub.imported import downloaded

        if not self.is_shipped:
            require_allowed(self.config.download.address, f"the weights of {self.config.name}")
        return downloaded(self.source.fetch([store.CONFIG]), self.config)

    @functools.cached_property
    def architecture(self) -> Architecture:
        """The architecture; raises PluginError, which names the distribution, if no installed plugin has it."""
        if self.repository is not None:
            return self.repository.architecture
        distribution = self.config.plugin_distribution
        with contextlib.suppress(UnknownModel):
            return registry.recorded(self.config.architecture, distribution)
        is_valid = DISTRIBUTION.fullmatch(distribution) is not None
        remedy = f"if you trust it, install the distribution {distribution!r}" if is_valid else "ask its publisher"
        raise PluginError(
            f"{self.config.name} needs the architecture {self.config.architecture}, which no installed plugin "
            f"provides; {remedy}"
        )

    @functools.cached_property
    def declared(self) -> Model | Architecture:
        """The model as plugins declare it; only its architecture if no installed plugin declares its dataset."""
        architecture = self.architecture
        if isinstance(self.config, Trained) and self.config.pictures is not None:
            return Model(architecture, self._own_dataset(self.config, self.config.pictures), parameters=None)
        with contextlib.suppress(UnknownModel, PluginError):
            return registry.on(architecture, self.config.dataset)
        return architecture

    @property
    def model(self) -> Model:
        """The model with its dataset; raises DataError if no installed plugin declares the dataset."""
        if isinstance(self.declared, Architecture):
            raise DataError(
                f"{self.config.name} was trained on {self.config.dataset}, a dataset that no installed plugin "
                "declares; install the plugin that declares it"
            )
        self._require_declared()
        return self.declared

    def on(self, dataset: str) -> Model:
        """The model on another dataset with the same classes and input size.

        The name of the dataset may differ from the record's, because other libraries' repositories may not name one.

        Raises:
            DataError: The classes or the input size differ.
            UnknownModel: There is no such dataset.
        """
        other = registry.dataset(dataset)
        if not self.config.fits(other):
            raise DataError(
                f"{self.config.name} has {len(self.config.classes)} classes and input size {self.config.input_size}, "
                f"but {other.name} has {len(other.classes)} classes and input size {other.input_size}, or other "
                "classes; name the dataset that the model was trained on"
            )
        return registry.join(self.architecture, other)

    def net(
        self, device: torch.device | str = "cpu", *, num_classes: int | None = None, in_channels: int | None = None
    ) -> nn.Module:
        """Build the net and load its weights, with the hash checked.

        Args:
            device: The device of the net.
            num_classes: The number of outputs, if not that of the record; 0 for none.
            in_channels: The number of input channels, if not that of the record.

        Returns:
            The net in evaluation mode.

        Raises:
            DataError: The record's classes or input size differ from those of the declared dataset.
            FolderError: The weights are damaged (HashMismatch), or don't fit the architecture.
            HubError: The hub can't be read, or does not have the weights (NotFound).
        """
        from zoo.nets import weights

        self._require_declared(num_classes, in_channels)

        def read(force_download: bool) -> tuple[bytes, Path]:
            folder = self._folder_with(store.WEIGHTS, force_download=force_download)
            return store.read_file(folder, self.config, store.WEIGHTS), folder / store.WEIGHTS

        weights_file = read_or_refetch(read)
        return weights.filled(self.architecture, *weights_file, self.config, num_classes, in_channels).to(device)

    def untrained(
        self, device: torch.device | str = "cpu", *, num_classes: int | None = None, in_channels: int | None = None
    ) -> nn.Module:
        """Build the same net with freshly initialised weights, in training mode; fetches no weights."""
        from zoo.nets.build import build, require_counted

        self._require_declared(num_classes, in_channels)
        net = build(self.architecture, self.config, num_classes, in_channels)
        if num_classes is None and in_channels is None:
            require_counted(net, self.config, self.config.name)
        return net.to(device)

    @property
    def preprocess(self) -> v2.Compose:
        """The transform from an image of any size and mode to the net's input, [C, H, W] float32."""
        from zoo.data.preprocessing import preprocessing

        config = self.config
        return preprocessing(config.input_size, config.mean, config.std, config.resizing)

    def _own_dataset(self, record: Trained, pictures: Pictures) -> Dataset:
        """The dataset of an image folder as the record describes it; readable if this machine has prepared it."""
        from zoo.data.prepared import Prepared, margin, prepared_dataset

        extra = margin(record.job.recipe, record.input_size[1])
        prepared = Prepared(pictures.sha256, record.input_size, extra)
        return prepared_dataset(pictures, record.dataset, record.classes, prepared, (record.mean, record.std))

    def _require_declared(self, num_classes: int | None = None, in_channels: int | None = None) -> None:
        """Raise DataError if classes or input size differ from the dataset that a plugin declares under that name."""
        if isinstance(self.declared, Architecture):
            return
        own, declared = self.config, self.declared.dataset
        same_classes = num_classes is not None or own.classes == declared.classes
        first = 0 if in_channels is None else 1  # compare height and width only if the channels change
        if not same_classes or own.input_size[first:] != declared.input_size[first:]:
            raise DataError(
                f"{self.config.name} was trained on a dataset with other classes or another input size than the "
                f"installed {self.config.dataset}; install the plugin that declares its dataset"
            )


# -- resolving a reference -------------------------------------------------------------------------


def published(
    model: str | Path | Reference, *, hub: str | None = None, revision: str | None = None, newest: bool = False
) -> Published:
    """Resolve a name, a path or an address to a published model.

    Args:
        model: A name, the path of a model folder, or an address. A path or an address may also be a repository of
            another library, if a plugin reads it.
        hub: The hub, if `model` is a name.
        revision: The revision; None for the newest.
        newest: Raise an error if the hub can't be reached. Otherwise an earlier revision in the cache is used, with a
            HubWarning.

    Raises:
        UnknownModel: No plugin has a model of that name.
        FolderError: The folder does not exist or is damaged.
        HubError: The hub can't be read, or does not have the model (NotFound).
    """
    plugins.declared()  # reports and skips a damaged distribution, on which importing torch would fail
    reference = parse(model)
    if isinstance(reference, Path):
        for argument in (hub, revision):
            if argument is not None:
                raise HubError(f"{reference} is a path, which has no hub and no revision; leave out {argument}")
        return _in_folder(_existing(reference))
    if isinstance(reference, Address):
        if hub is not None:
            raise HubError(f"'{reference}' already names its hub; leave out {hub}")
        address = reference.at(revision)
        assert address.name is not None
        return _in_hub(open_hub(address), address.name, address.revision, newest=newest)
    return named(full_name(reference.text, hub), hub=hub, revision=revision, newest=newest)


def named(name: str, *, hub: str | None = None, revision: str | None = None, newest: bool = False) -> Published:
    """Resolve a full name in a hub, by default in ZOO_HUB and then in the catalogue.

    Raises NotPublished if no hub is given, ZOO_HUB is not set and the catalogue has no weights, or any error of
    `published`.
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
    imported = ", ".join(variants(base))
    if tag is not None:
        hint = f"it has {imported}" if imported else f"it has no imported weights for {base}: leave out .{tag}"
        return NotFound(f"the catalogue has no weights of {name}; {hint}")
    model, error = (name, NotPublished) if revision is None else (f"{name} at revision {revision}", NotFound)
    remark = f", only imported weights: {imported}" if imported else ""
    return error(
        f"the catalogue has no weights of {model}{remark}; set hub or ZOO_HUB to a hub that has them, "
        f"or train the model: zoo train {name}"
    )


def _existing(path: Path) -> Path:
    """The path with `~` expanded; raises FolderError if it is not a folder."""
    path = path_of(path)
    if path.is_file():
        raise FolderError(
            f"{path} is a file, not a model folder; give its folder, {path.parent}, or evaluate a file of weights "
            f"with: zoo eval MODEL --weights {path}"
        )
    if not is_folder(path):
        raise FolderError(f"there is no folder {path}; for a model in a hub, write hf://namespace/name")
    return path


def _in_folder(path: Path) -> Published:
    try:
        return Published(store.read_record(path), Folder(path))
    except OtherFormat as error:
        repository = read_repository(error.folder, error.kind, None)
        return Published(repository.record, Folder(path), repository)


def _in_hub(hub: Hub, name: str, revision: str | None, *, newest: bool = False) -> Published:
    try:
        resolved = hub.resolve(name, revision)
    except HubUnavailable as error:
        if newest:
            raise
        warnings.warn(
            HubWarning(
                f"{error}; using revision {error.revision[:12]} from the cache, downloaded on {error.date}, "
                "which may not be the newest"
            ),
            stacklevel=4,
        )
        return _in_hub(hub, name, error.revision)
    except OtherFormat as error:
        if not isinstance(hub, Repositories):
            return _in_folder(error.folder)
        source = InHub(hub, name, error.folder.name, error.folder.name)
        repository = read_repository(error.folder, error.kind, source)
        return Published(repository.record, source, repository)
    if resolved.record.name != name:
        raise HubError(f"{hub.address.model(name)} contains the model {resolved.record.name}, expected {name}")
    return Published(resolved.record, InHub(hub, name, resolved.id))


# -- names -----------------------------------------------------------------------------------------


def full_name(name: str, hub: str | None) -> str:
    """The full name of a model; unchanged if no plugin declares the model but `hub` or ZOO_HUB may have it.

    A folder of that name in the working directory is not used: a NameWarning says how to name it. Raises UnknownModel.
    """
    is_folder_too = bool(name) and is_folder(Path(name))
    try:
        base, tag = tagged(name)
        full = base if tag is None else f"{base}.{tag}"
    except UnknownModel as error:
        if hub is None and not os.environ.get("ZOO_HUB"):
            hint = f"; to use the folder of that name, write ./{name}" if is_folder_too else ""
            if os.path.isfile(name):  # noqa: PTH113 - False also for a name that is too long for a path
                hint = f"; {name} is a file: name a model before it"
            raise UnknownModel(f"{error}{hint}") from None
        full = name
    if is_folder_too:
        warnings.warn(
            NameWarning(f"{name} is a model and also a folder; to use the folder, write ./{name}"), stacklevel=3
        )
    return full


def tagged(name: str) -> tuple[str, str | None]:
    """Split `NAME` or `NAME.TAG` into a model's full name and the tag of imported weights, None without one.

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


def require_allowed(reference: str, subject: str) -> None:
    """Raise HubError if a record of an unknown author names an address or path that ZOO_TRUST does not list.

    ZOO_TRUST is a comma-separated list of paths and of addresses of hubs and models. Names are always allowed.
    `subject` begins the error message, as in "the teacher of resnet20".
    """
    if not isinstance(parse(reference), Name) and not is_trusted(reference):
        raise HubError(
            f"{subject} would be fetched from {reference}, which ZOO_TRUST does not list; if you trust it, add it"
        )


def is_trusted(reference: str) -> bool:
    """Whether ZOO_TRUST lists a path, or an address or the model or hub that it is in."""
    trusted = [entry.strip().rstrip("/") for entry in os.environ.get("ZOO_TRUST", "").split(",")]
    return any(
        reference == entry or reference.startswith((f"{entry}/", f"{entry}@")) for entry in trusted if entry.rstrip(":")
    )


# -- logs ------------------------------------------------------------------------------------------


def logs(runs: Iterable[str | Path]) -> dict[str, list[EpochRow]]:
    """The log of each run, by a unique label.

    A run is a model's name, the path of a model folder or of an unfinished run, or an address in a hub.
    Raises FolderError if a run has not finished an epoch, or what `published` raises.
    """
    labelled: dict[str, list[EpochRow]] = {}
    for run in runs:
        label, rows = _log(parse(run))
        if not rows:
            raise FolderError(f"the run {run} has not finished an epoch; plot it after the first one")
        labelled[str(run) if label in labelled else label] = rows
    return labelled


def _log(run: Reference) -> tuple[str, list[EpochRow]]:
    if isinstance(run, Path):
        path = path_of(run)
        for folder in (path, path.parent / f"{path.name}.run"):
            if (folder / store.LOG).is_file() and not (folder / store.CONFIG).is_file():
                return folder.name, store.read_log(folder)
    model = published(run)
    job = require_trained(model.config).job
    return f"{model.config.name} {job.recipe_name} seed {job.seed}", model.log()
