"""Lists the models that plugins declare, and the models in hubs. Imports no torch."""

from __future__ import annotations

import fnmatch
import re
import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from zoo import registry
from zoo.errors import HubError, HubWarning, NotFound, RegistryError, UnknownModel, ZooError, did_you_mean
from zoo.hub.catalogue import catalogue
from zoo.hub.protocol import Hub, Listed, Searchable
from zoo.hub.schemes import open_default, open_hub
from zoo.notebook import accuracy, count, table
from zoo.plugins import Entry
from zoo.record.paths import is_folder, path_of


@dataclass(frozen=True)
class Row:
    """A model in a list. Accuracies are top-1 on the test set, in percent."""

    name: str
    dataset: str
    parameters: int | None  # None if the plugin does not state it
    top1: float | None  # measured by the zoo
    license: str
    weights: str | None  # "catalogue" or an address; None if there are none
    plugin: str  # the distribution that provides the architecture
    installed: bool  # whether that distribution is installed
    claim: float | None = None  # stated by the author of the weights


class Overview(list[Row]):
    """A list of rows, which a notebook shows as a table."""

    def _repr_html_(self) -> str:
        heading = ("model", "dataset", "parameters", "top-1", "license", "weights")
        return table([_cells(row) for row in self], heading=heading)


def _cells(row: Row) -> tuple[str, ...]:
    top1 = accuracy(row.top1, row.claim)
    return row.name, row.dataset, count(row.parameters), top1, row.license, row.weights or ""


class Order(StrEnum):
    """The order of a list. Names are in natural order: resnet20 before resnet110."""

    PUBLISHED = "published"  # first models with weights, then models without; each part by name
    NAME = "name"
    TOP1 = "top1"  # by dataset, then the highest accuracy first; models without an accuracy are last
    PARAMETERS = "parameters"  # the fewest first; models without a count are last


def list_models(
    pattern: str | None = None,
    *,
    dataset: str | None = None,
    pretrained: bool | None = None,
    max_parameters: int | None = None,
    sort: str = Order.NAME,
    hub: str | None = None,
) -> list[str]:
    """List the names of models that plugins declare, or of the models in a hub.

    Args:
        pattern: A name, a prefix or a pattern such as `resnet*_cifar10`; case is ignored.
        dataset: Only models on this dataset; case is ignored.
        pretrained: True for models with weights in the catalogue, including imported weights; False for the others.
        max_parameters: Only models with at most this number of parameters.
        sort: "name", "published" (models with weights first), "top1" (best first), or "parameters" (fewest first).
        hub: List the models in this hub instead.

    Returns:
        The names. Imported weights have names like `NAME.TAG`.

    Raises:
        RegistryError: There is no such order.
        HubError: The hub can't be read.

    Examples:
        >>> import zoo
        >>> zoo.list_models(dataset="cifar100", max_parameters=1_000_000, pretrained=True, sort="top1")[0]
        'resnet56b_cifar100.chenyaofo'
    """
    order = _order(sort)
    models = _declared() if hub is None else _in_hub(hub, pattern)
    names = models.names(pattern, pretrained)
    if hub is None and not pretrained:
        names = [name for name in names if name in models.declared]  # without imported weights
    if dataset is None and max_parameters is None and order is Order.NAME:
        return sorted(names, key=_natural)
    return [row.name for row in ordered(_within(models.rows(names), dataset, max_parameters), order)]


def overview(
    pattern: str | None = None,
    *,
    dataset: str | None = None,
    pretrained: bool | None = None,
    max_parameters: int | None = None,
    hub: str | None = None,
    sort: str = Order.NAME,
) -> Overview:
    """List the declared models with the weights in ZOO_HUB and the catalogue, or the models in a hub.

    If a model is in ZOO_HUB and in the catalogue, the model in ZOO_HUB is listed, because `load` uses it. If
    ZOO_HUB can't be read, the catalogue is listed, with a HubWarning. The models of a hub are listed even if their
    plugins are not installed. Imports no torch, and only the plugins of matching models without weights.

    Args:
        pattern: A name, a prefix or a pattern such as `resnet*_cifar10`; case is ignored.
        dataset: Only models on this dataset; case is ignored.
        pretrained: True for models with weights, False for models without.
        max_parameters: Only models with at most this number of parameters.
        hub: List the models in this hub instead.
        sort: The order, as for `list_models`.

    Returns:
        The models in that order. A notebook shows them as a table.

    Raises:
        RegistryError: There is no such order.
        HubError: The hub can't be read.
    """
    order = _order(sort)
    if hub is None:
        models = _declared()
        models = replace(models, published={**models.published, **_in_zoo_hub(pattern)})
    else:
        models = _in_hub(hub, pattern)
    rows = models.rows(models.names(pattern, pretrained))
    return Overview(ordered(_within(rows, dataset, max_parameters), order))


def search(text: str, *, hub: str = "hf://") -> list[Row]:
    """List the zoo's models whose names contain a text: on the whole Hugging Face Hub, or in another hub."""
    source = open_hub(hub)
    if not isinstance(source, Searchable):
        raise HubError(f"{hub} can't be searched; see what it has with: zoo list --hub {hub}")
    return _rows(source.search(text))


def _order(sort: str) -> Order:
    if sort not in list(Order):
        raise RegistryError(f"sort should be {', '.join(Order)}, not {sort!r}")
    return Order(sort)


def ordered(rows: list[Row], by: Order) -> list[Row]:
    """Sort rows; ties are sorted by name. If an accuracy was not measured, the author's is used."""
    rows = sorted(rows, key=lambda row: _natural(row.name))
    if by is Order.PUBLISHED:
        return sorted(rows, key=lambda row: row.weights is None)
    if by is Order.PARAMETERS:
        return sorted(rows, key=lambda row: (row.parameters is None, row.parameters or 0))
    if by is Order.TOP1:
        return sorted(rows, key=_by_accuracy)
    return rows


def _by_accuracy(row: Row) -> tuple[bool, list[str | int], float]:
    top1 = row.claim if row.top1 is None else row.top1
    return top1 is None, _natural(row.dataset), -(top1 or 0.0)


def no_models(
    pattern: str | None = None,
    *,
    dataset: str | None = None,
    pretrained: bool | None = None,
    max_parameters: int | None = None,
    hub: str | None = None,
) -> ZooError:
    """The error for an overview without rows; suggests similar names."""
    everything = overview(hub=hub)
    where = "the zoo" if hub is None else hub
    if not everything and hub is None:
        return UnknownModel("no plugin here provides a model; install one, as zoo-resnet-cifar")
    if not everything:
        missing = hub is not None and hub.startswith("file:") and not is_folder(path_of(hub.removeprefix("file:")))
        reason = ", and there is no such folder" if missing else ""
        return NotFound(f"{where} has no models{reason}; push one there with: zoo push FOLDER --hub {hub}")
    datasets = {row.dataset for row in everything}
    if dataset is not None and dataset.lower() not in datasets:
        hint = did_you_mean(dataset, datasets, f"there are {', '.join(sorted(datasets))}")
        return UnknownModel(f"{where} has no models on a dataset {dataset!r}; {hint}")
    names = [row.name for row in everything]
    if pattern is not None and not _matching(pattern, names):
        hint = did_you_mean(pattern.strip("*?"), names, "zoo list shows all")
        return UnknownModel(f"{where} has no model {pattern!r}; {hint}")
    filters = [f"named {pattern!r}" if pattern else "", f"on {dataset}" if dataset else ""]
    filters += [] if pretrained is None else ["with weights" if pretrained else "without weights"]
    filters += [] if max_parameters is None else [f"of at most {max_parameters:,} parameters"]
    return NotFound(f"{where} has no model {' '.join(filter(None, filters))}; leave out one of these to see more")


# -- the models to choose from ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Models:
    """Declared and published models by name."""

    declared: Mapping[str, Entry]
    published: Mapping[str, Row]

    def names(self, pattern: str | None, pretrained: bool | None) -> list[str]:
        """The names that match a pattern, of models with or without weights."""
        names = _matching(pattern, self.declared.keys() | self.published.keys())
        return [name for name in names if pretrained in (None, name in self.published)]

    def rows(self, names: Iterable[str]) -> list[Row]:
        """The rows of these models. Imports the plugins of models without weights; one that fails is left out."""
        names = list(names)
        rows = [self.published[name] for name in names if name in self.published]
        for model in registry.load_all(self.declared[name] for name in names if name not in self.published):
            rows.append(
                Row(
                    name=model.name,
                    dataset=model.dataset.name,
                    parameters=model.parameters,
                    top1=None,
                    license=model.architecture.license,
                    weights=None,
                    plugin=self.declared[model.name].distribution,
                    installed=True,
                )
            )
        return rows


def _declared() -> _Models:
    """The declared models, and their weights in the catalogue."""
    entries = registry.entries()
    rows = [replace(row, weights="catalogue") for row in _rows(catalogue().models())]
    return _Models(entries, {row.name: row for row in rows if {row.name, row.name.rpartition(".")[0]} & entries.keys()})


def _in_hub(hub: str, pattern: str | None) -> _Models:
    return _Models({}, _matching_rows(open_hub(hub), pattern))


def _in_zoo_hub(pattern: str | None) -> dict[str, Row]:
    """The rows of the models in ZOO_HUB by name; empty, with a warning, if it can't be read."""
    try:
        hub = open_default()
        return {} if hub is None else _matching_rows(hub, pattern)
    except ZooError as error:
        warnings.warn(HubWarning(f"{error} (ZOO_HUB; only the catalogue's are listed)"), stacklevel=3)
        return {}


def _matching_rows(hub: Hub, pattern: str | None) -> dict[str, Row]:
    return {row.name: row for row in _rows(hub.models(None if pattern is None else _glob(pattern)))}


def _rows(models: Iterable[Listed]) -> list[Row]:
    provided = registry.provided()
    return [
        Row(
            name=model.name,
            dataset=model.dataset,
            parameters=model.parameters,
            top1=model.test_top1,
            license=model.license,
            weights=str(model.address),
            plugin=model.plugin,
            installed=model.name.removesuffix(f"_{model.dataset}").partition(f"_{model.dataset}.")[0] in provided,
            claim=model.claim,
        )
        for model in models
    ]


def _matching(pattern: str | None, names: Collection[str]) -> list[str]:
    """The names that match a pattern; if the pattern is itself a name, only that name."""
    if pattern is None:
        return list(names)
    return [pattern.lower()] if pattern.lower() in names else fnmatch.filter(names, _glob(pattern))


def _glob(pattern: str) -> str:
    """The pattern in lower case; without a wildcard it is a prefix."""
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
    """A sort key that puts resnet20 before resnet110."""
    parts: list[str | int] = [*_DIGITS.split(name)]
    parts[1::2] = map(int, parts[1::2])
    return parts
