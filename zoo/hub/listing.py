"""What there is: the plugins' models, and those in a hub. Imports no torch."""

from __future__ import annotations

import contextlib
import fnmatch
import re
import warnings
from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from zoo import registry
from zoo.errors import FolderError, HubError, HubWarning, NotFound, RegistryError, UnknownModel, ZooError
from zoo.hub import catalogue
from zoo.hub.catalogue import Shipped
from zoo.hub.protocol import Dated, Hub, InHub, Listed, Searchable
from zoo.hub.schemes import open_default, open_hub
from zoo.notebook import table
from zoo.plugins import Entry
from zoo.record.paths import is_folder, path_of
from zoo.spec import Dataset, Model

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from zoo.record.types import Record


@dataclass(frozen=True)
class Row:
    """The listing of a model; percentages are top-1 on the test set."""

    name: str
    dataset: str
    parameters: int | None  # None where its plugin has not counted them
    top1: float | None  # measured by the zoo
    license: str
    weights: str | None  # where they are; None without any
    plugin: str  # the distribution that provides the architecture
    installed: bool
    claim: float | None = None  # stated by the author of the weights


class Overview(list[Row]):
    """The rows of a listing, which a notebook shows as a table."""

    def _repr_html_(self) -> str:
        heading = ("model", "dataset", "parameters", "top-1", "license", "weights")
        rows = [
            (
                row.name,
                row.dataset,
                _count(row.parameters),
                _accuracy(row.top1, row.claim),
                row.license,
                row.weights or "",
            )
            for row in self
        ]
        return table(rows, heading=heading)


@dataclass(frozen=True)
class RevisionRow:
    """A revision of a published model; top-1 in percent."""

    id: str
    date: datetime | None  # None where the hub does not say
    top1: float | None  # None where nobody has measured it
    license: str


class Order(StrEnum):
    """The order of a listing; names are in natural order, resnet20 before resnet110."""

    PUBLISHED = "published"  # models with weights first, each part by name
    NAME = "name"
    TOP1 = "top1"  # within each dataset the best first, then models without an accuracy
    PARAMETERS = "parameters"  # the fewest first, then models without a count


@dataclass(frozen=True)
class ModelInfo:
    """A declared model, its published weights, or both; what the two say differently is that of the weights."""

    name: str
    model: Model | None  # None where no plugin here declares its architecture or its dataset
    weights: str | None  # where they are
    config: Record | None  # of the weights

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self._images.classes

    @property
    def input_size(self) -> tuple[int, int, int]:
        """Channels, height and width of the input."""
        return self._images.input_size

    @property
    def parameters(self) -> int | None:
        """The number of parameters; None where the plugin has not counted them."""
        return (self.config or self._declared).parameters

    @property
    def license(self) -> str:
        """The license of the weights; without any, that of the architecture's code."""
        return self.config.license if self.config else self._declared.architecture.license

    @property
    def _images(self) -> Record | Dataset:
        return self.config or self._declared.dataset

    @property
    def _declared(self) -> Model:
        assert self.model is not None  # or there is a record
        return self.model

    def _repr_html_(self) -> str:
        from zoo.record.types import Imported  # here: a listing reads no record

        results = self.config.results if self.config else None
        claim = self.config.source.claim if isinstance(self.config, Imported) else None
        classes = ", ".join(self.classes[:5]) + (", …" if len(self.classes) > 5 else "")
        rows = [
            ("dataset", self.config.dataset if self.config else self._declared.dataset.name),
            ("classes", f"{len(self.classes)}: {classes}"),
            ("input", "×".join(map(str, self.input_size))),
            ("parameters", _count(self.parameters)),
            ("top-1", _accuracy(results.test_top1 if results else None, claim.test_top1 if claim else None)),
            ("license", self.license),
            ("weights", self.weights or "none published"),
            ("recipes", ", ".join(self.model.recipes) if self.model else ""),
        ]
        return table([row for row in rows if row[1]], caption=self.name)


def _count(parameters: int | None) -> str:
    return "" if parameters is None else f"{parameters:,}"


def _accuracy(top1: float | None, claim: float | None) -> str:
    """The accuracy that the zoo measured, else the one that the author of the weights states."""
    if top1 is not None:
        return f"{top1:.2f}%"
    return "" if claim is None else f"{claim:.2f}% (claimed)"


def list_models(
    pattern: str | None = None,
    *,
    dataset: str | None = None,
    pretrained: bool | None = None,
    max_parameters: int | None = None,
    sort: str = Order.NAME,
    hub: str | None = None,
) -> list[str]:
    """List the names of models that plugins provide, or of those in `hub`.

    Args:
        pattern: A name, the beginning of names, or a pattern such as `resnet*_cifar10`; case is ignored.
        dataset: Only models on this dataset; case is ignored.
        pretrained: True for models with weights in the catalogue, other people's included; False for the others.
        max_parameters: Only models with at most so many parameters.
        sort: "name", "published" (models with weights first), "top1" (the best first), or "parameters" (the fewest).
        hub: List the models in this hub instead.

    Returns:
        The names, `NAME.TAG` for other people's weights.

    Raises:
        RegistryError: There is no such order.
        HubError: The hub can't be read.

    Example:
        >>> import zoo
        >>> zoo.list_models(dataset="cifar100", max_parameters=1_000_000, pretrained=True, sort="top1")[0]
        'resnet56b_cifar100.chenyaofo'
    """
    order = _order(sort)
    index = _plugins() if hub is None else _hub(hub, pattern)
    names = [name for name in index.names(pattern, pretrained) if pretrained or name not in index.variants]
    if dataset is None and max_parameters is None and order is Order.NAME:
        return sorted(names, key=_natural)
    return [row.name for row in ordered(_within(index.rows(names), dataset, max_parameters), order)]


def info(name: str | Path, *, hub: str | None = None) -> ModelInfo:
    """Describe a model, and its published weights where `load` would find them.

    Args:
        name: A name, `NAME.TAG` for other people's weights, a path or an address.
        hub: The hub of a name.

    Returns:
        The model as its plugin declares it, the record of its weights, or both.

    Raises:
        UnknownModel: No plugin has a model of that name.
        FolderError: The folder is incomplete or damaged.
        HubError: The hub can't be read, or does not have the model (NotFound).

    Example:
        >>> import zoo
        >>> zoo.info("resnet20_cifar10").classes[0]
        'airplane'
    """
    # Here: a listing reads no folder, and starts faster without.
    from zoo.hub.address import Name, parse
    from zoo.hub.resolve import full_name, named, published

    reference = parse(name)
    if not isinstance(reference, Name):
        config = published(reference, hub=hub).config
        return ModelInfo(config.name, _model(config.name), str(name), config)
    full = full_name(reference.text, hub)
    model = _model(full)
    try:
        source = named(full, hub=hub)
    except NotFound:
        if model is None or model.name != full:
            raise
        return ModelInfo(full, model, None, None)
    return ModelInfo(full, model, "catalogue" if source.is_shipped else source.address, source.config)


def revisions(model: str | Path, *, hub: str | None = None) -> list[RevisionRow]:
    """List the revisions of a published model, the newest first; a damaged one is left out, with a HubWarning.

    Args:
        model: A name or an address.
        hub: The hub of a name.

    Returns:
        The id, date, top-1 and license of each revision.

    Raises:
        UnknownModel: No plugin has a model of that name.
        HubError: The hub can't be read, or does not have the model (NotFound).

    Example:
        >>> import zoo
        >>> len(zoo.api.revisions("resnet8_digits")[0].id)
        64
    """
    from zoo.hub.resolve import published

    source = published(model, hub=hub, newest=True)
    source.require_record()
    if not isinstance(source.source, InHub):
        raise HubError(f"{model} is a path, which is in no hub and has no revisions; name a model or an address")
    opened, name = source.source.hub, source.source.name
    dates = opened.dates(name) if isinstance(opened, Dated) else {}
    rows = []
    for identity in opened.revisions(name):
        try:
            record = opened.resolve(name, identity).record
        except FolderError as error:
            warnings.warn(HubWarning(str(error)), stacklevel=2)
            continue
        top1 = record.results.test_top1 if record.results else None
        rows.append(RevisionRow(identity, dates.get(identity), top1, record.license))
    return rows


def overview(
    pattern: str | None = None,
    *,
    dataset: str | None = None,
    pretrained: bool | None = None,
    max_parameters: int | None = None,
    hub: str | None = None,
    sort: str = Order.NAME,
) -> Overview:
    """List the plugins' models with the weights in ZOO_HUB and the catalogue, or the models in `hub`.

    A model in ZOO_HUB is listed as it is there, as `load` would find it; where that hub can't be read, a HubWarning
    says so. Imports no torch, and only plugins with matching models. A model in a hub is listed also if its plugin is
    not installed.

    Args:
        pattern: A name, the beginning of names, or a pattern such as `resnet*_cifar10`; case is ignored.
        dataset: Only models on this dataset.
        pretrained: Only models with weights, or only those without.
        max_parameters: Only models with at most so many parameters.
        hub: List the models in this hub.
        sort: The order: published, name, top1 or parameters, as for `list_models`.

    Returns:
        The models in that order, a list that a notebook shows as a table.

    Raises:
        RegistryError: There is no such order.
        HubError: The hub can't be read.
    """
    order = _order(sort)
    index = replace(_plugins(), listed=_own(pattern)) if hub is None else _hub(hub, pattern)
    rows = index.rows(index.names(pattern, pretrained))
    return Overview(ordered(_within(rows, dataset, max_parameters), order))


@dataclass(frozen=True)
class _Index:
    """The models that can be listed, by name; `listed` comes before the others."""

    declared: Mapping[str, str]  # plugins' models and the catalogue's weights: the declared model that each is for
    shipped: Mapping[str, Shipped]  # in the catalogue
    listed: Mapping[str, Listed]  # in a hub

    @property
    def variants(self) -> set[str]:
        """The names of other people's weights in the catalogue."""
        return {name for name, model in self.declared.items() if name != model}

    def names(self, pattern: str | None, pretrained: bool | None) -> list[str]:
        """The names that match; models with weights, or without."""
        published = self.shipped.keys() | self.listed.keys()
        matching = _matching(pattern, self.declared.keys() | self.listed.keys())
        return [name for name in matching if pretrained in (None, name in published)]

    def rows(self, names: Iterable[str]) -> list[Row]:
        """The rows of these names; one that a plugin fails to load is left out."""
        entries, names = registry.entries(), set(names)
        needed = sorted({model for name, model in self.declared.items() if name in names and name not in self.listed})
        models = {model.name: model for model in registry.load_all(entries[name] for name in needed)}
        provided = registry.provided() if self.listed else frozenset()
        rows = [_row_in_hub(listed, provided) for name, listed in self.listed.items() if name in names]
        for name in names - self.listed.keys():
            base = self.declared[name]
            if base in models:
                rows.append(_row(name, models[base], entries[base], self.shipped.get(name)))
        return rows


def _plugins() -> _Index:
    entries, shipped = registry.entries(), catalogue.shipped()
    bases = {name: _base(name) for name in shipped}
    return _Index(
        {**{name: name for name in entries}, **{n: base for n, base in bases.items() if base in entries}}, shipped, {}
    )


def _hub(hub: str, pattern: str | None) -> _Index:
    return _Index({}, {}, _listed(open_hub(hub), pattern))


def _matching(pattern: str | None, names: Collection[str]) -> list[str]:
    """The names that a pattern matches; a pattern that is itself a name matches no longer one."""
    if pattern is None:
        return list(names)
    return [pattern.lower()] if pattern.lower() in names else fnmatch.filter(names, _glob(pattern))


def _glob(pattern: str) -> str:
    """The pattern in lower case, as names are; without a wildcard it is the beginning of names."""
    return pattern.lower() if any(wildcard in pattern for wildcard in "*?[") else f"{pattern.lower()}*"


def _within(rows: list[Row], dataset: str | None, max_parameters: int | None) -> list[Row]:
    return [
        row
        for row in rows
        if (dataset is None or row.dataset == dataset.lower())
        and (max_parameters is None or (row.parameters is not None and row.parameters <= max_parameters))
    ]


_DIGITS = re.compile(r"(\d+)")


def _natural(name: str) -> list[str | int]:
    """A key that sorts resnet20 before resnet110."""
    parts: list[str | int] = [*_DIGITS.split(name)]
    parts[1::2] = map(int, parts[1::2])
    return parts


def _order(sort: str) -> Order:
    if sort not in list(Order):
        raise RegistryError(f"sort should be {', '.join(Order)}, not {sort!r}")
    return Order(sort)


def ordered(rows: list[Row], by: Order) -> list[Row]:
    """The rows in that order, and by name where it leaves them equal; a claim counts as an accuracy."""
    rows = sorted(rows, key=lambda row: _natural(row.name))
    if by is Order.PUBLISHED:
        return sorted(rows, key=lambda row: row.weights is None)
    if by is Order.PARAMETERS:
        return sorted(rows, key=lambda row: (row.parameters is None, row.parameters or 0))
    if by is Order.TOP1:
        tops = {row.name: row.claim if row.top1 is None else row.top1 for row in rows}
        return sorted(rows, key=lambda r: (tops[r.name] is None, _natural(r.dataset), -(tops[r.name] or 0.0)))
    return rows


def nothing(
    pattern: str | None = None,
    *,
    dataset: str | None = None,
    pretrained: bool | None = None,
    max_parameters: int | None = None,
    hub: str | None = None,
) -> ZooError:
    """The error for an overview without rows, with close names."""
    everything = overview(hub=hub)
    where = "the zoo" if hub is None else hub
    if not everything and hub is None:
        return UnknownModel("no plugin here provides a model; install one, as zoo-resnet-cifar")
    if not everything:
        missing = hub is not None and hub.startswith("file:") and not is_folder(path_of(hub.removeprefix("file:")))
        why = ", and there is no such folder" if missing else ""
        return NotFound(f"{where} has no models{why}; push one there with: zoo push FOLDER --hub {hub}")
    datasets = {row.dataset for row in everything}
    if dataset is not None and dataset.lower() not in datasets:
        close = registry.close_to(dataset, datasets)
        return UnknownModel(
            f"{where} has no models on a dataset {dataset!r}; "
            + (f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(sorted(datasets))}")
        )
    names = [row.name for row in everything]
    if pattern is not None and not _matching(pattern, names):
        close = registry.close_to(pattern.strip("*?"), names)
        hint = f"did you mean {' or '.join(close)}?" if close else "zoo list shows all"
        return UnknownModel(f"{where} has no model {pattern!r}; {hint}")
    filters = [f"named {pattern!r}" if pattern else "", f"on {dataset}" if dataset else ""]
    filters += [] if pretrained is None else ["with weights" if pretrained else "without weights"]
    filters += [] if max_parameters is None else [f"of at most {max_parameters:,} parameters"]
    return NotFound(f"{where} has no model {' '.join(filter(None, filters))}; leave out one of these to see more")


def search(text: str, *, hub: str = "hf://") -> list[Row]:
    """The zoo's models with this text in their names: on the whole Hugging Face Hub, or in the hub that is named."""
    source = open_hub(hub)
    if not isinstance(source, Searchable):
        raise HubError(f"{hub} can't be searched; see what it has with: zoo list --hub {hub}")
    provided = registry.provided()
    return [_row_in_hub(one, provided) for one in source.search(text)]


def _listed(hub: Hub, pattern: str | None) -> dict[str, Listed]:
    """The models of a hub whose names match, by name."""
    return {listed.name: listed for listed in hub.models(None if pattern is None else _glob(pattern))}


def _own(pattern: str | None) -> dict[str, Listed]:
    """The models of ZOO_HUB's, by name; none, and a warning, where it can't be read."""
    try:
        own = open_default()
        return {} if own is None else _listed(own, pattern)
    except ZooError as error:
        warnings.warn(HubWarning(f"{error} (ZOO_HUB; only the catalogue's are listed)"), stacklevel=3)
        return {}


def _base(name: str) -> str:
    """The model that a variant's weights are for; the name itself where it has no tag."""
    return name if name in registry.entries() else name.rpartition(".")[0]


def _model(name: str) -> Model | None:
    for one in (name, name.rpartition(".")[0]):
        with contextlib.suppress(UnknownModel):
            return registry.load(one)
    return None


def _row(name: str, model: Model, entry: Entry, shipped: Shipped | None) -> Row:
    return Row(
        name=name,
        dataset=model.dataset.name,
        parameters=model.parameters,
        top1=shipped.test_top1 if shipped else None,
        license=shipped.license if shipped else model.architecture.license,
        weights="catalogue" if shipped else None,
        plugin=entry.distribution,
        installed=True,
        claim=shipped.claim if shipped else None,
    )


def _row_in_hub(listed: Listed, provided: Container[str]) -> Row:
    return Row(
        name=listed.name,
        dataset=listed.dataset,
        parameters=listed.parameters,
        top1=listed.test_top1,
        license=listed.license,
        weights=str(listed.address),
        plugin=listed.plugin,
        installed=listed.name.removesuffix(f"_{listed.dataset}").partition(f"_{listed.dataset}.")[0] in provided,
        claim=listed.claim,
    )
