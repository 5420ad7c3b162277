"""What there is: the plugins' models, and those in a hub. Imports no torch."""

from __future__ import annotations

import contextlib
import fnmatch
import warnings
from collections.abc import Container
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from zoo import registry
from zoo.errors import HubError, HubWarning, NotFound, UnknownModel, ZooError
from zoo.hub import catalogue
from zoo.hub.catalogue import Shipped
from zoo.hub.protocol import Hub, Listed, Searchable
from zoo.hub.schemes import open_default, open_hub
from zoo.plugins import Entry
from zoo.record.paths import is_folder, path_of
from zoo.spec import Model

if TYPE_CHECKING:
    from zoo.record.types import Record


@dataclass(frozen=True)
class Row:
    """What a listing shows of a model; `top1` in percent, `weights` where they are, None without any."""

    name: str
    dataset: str
    parameters: int | None  # None where its plugin has not counted them
    top1: float | None
    license: str
    weights: str | None
    plugin: str  # the distribution that provides the architecture
    installed: bool


class Order(StrEnum):
    """What a listing is sorted by."""

    NAME = "name"
    TOP1 = "top1"  # the best first, those that nobody has measured last
    PARAMETERS = "parameters"  # the fewest first, those that nobody has counted last


@dataclass(frozen=True)
class ModelInfo:
    """A model of the zoo: its facts, and those of its published weights where there are any."""

    name: str
    model: Model | None  # None where no plugin here declares its architecture or its data set
    weights: str | None  # where they are
    config: Record | None


def list_models(pattern: str | None = None, *, dataset: str | None = None, pretrained: bool | None = None) -> list[str]:
    """The names of the models that plugins provide, sorted: those that match `pattern` (`resnet*`).

    `pretrained=True` gives those whose weights are in the catalogue, other people's too, False the others.
    """
    known = registry.entries()
    names = [name for name in known if pattern is None or fnmatch.fnmatchcase(name, pattern)]
    if dataset is not None:
        names = [m.name for m in registry.load_all(known[name] for name in names) if m.dataset.name == dataset]
    if pretrained is not None:
        published = catalogue.shipped()
        others = [one for name in names for one in catalogue.variants(name)] if pretrained else []
        names = sorted([*(name for name in names if (name in published) is pretrained), *others])
    return names


def info(name: str, *, hub: str | None = None) -> ModelInfo:
    """Everything known of a model: its facts, and its published results where `load` would find them.

    A path or an address is taken as `load` takes it, too.
    """
    # Here: a listing reads no folder, and starts faster without.
    from zoo.hub.address import Name, parse
    from zoo.hub.resolve import full_name, named, published

    reference = parse(name)
    if not isinstance(reference, Name):
        config = published(reference, hub=hub).config
        return ModelInfo(config.name, _model(config.name), name, config)
    full = full_name(reference.text, hub)
    model = _model(full)
    try:
        source = named(full, hub=hub)
    except NotFound:
        if model is None:
            raise
        return ModelInfo(full, model, None, None)
    return ModelInfo(full, model, "catalogue" if source.is_shipped else source.place, source.config)


def overview(
    pattern: str | None = None,
    *,
    dataset: str | None = None,
    pretrained: bool | None = None,
    hub: str | None = None,
) -> list[Row]:
    """What `zoo list` shows: the plugins' models with the results of ZOO_HUB's and the catalogue's, or those in `hub`.

    A model that ZOO_HUB's has is shown as it is there, as `load` would find it; where that hub can't be
    read, a HubWarning says so. Imports no torch, and no plugin whose models are not asked for. A model in
    a hub is shown even where its plugin is not installed.
    """

    def asked(name: str, published: Container[str]) -> bool:
        return (pattern is None or fnmatch.fnmatchcase(name, pattern)) and pretrained in (None, name in published)

    listed = _own(pattern) if hub is None else _listed(open_hub(hub), pattern)
    if hub is None:
        known, shipped = registry.entries(), catalogue.shipped()
        published: Container[str] = shipped.keys() | listed.keys()
        bases = {name: name for name in known} | {name: _base(name) for name in shipped if _base(name) in known}
        names = [name for name in bases if name not in listed and asked(name, published)]
        models = {one.name: one for one in registry.load_all(known[one] for one in {bases[name] for name in names})}
        rows = [
            _row(name, models[bases[name]], known[bases[name]], shipped.get(name))
            for name in names
            if bases[name] in models
        ]
    else:
        rows, published = [], listed.keys()
    provided = registry.provided()
    rows += [_row_in_hub(one, provided) for name, one in listed.items() if asked(name, published)]
    return sorted((row for row in rows if dataset in (None, row.dataset)), key=lambda row: row.name)


def ordered(rows: list[Row], by: Order) -> list[Row]:
    """The rows in that order, and by name where that leaves them equal."""
    if by is Order.TOP1:
        return sorted(rows, key=lambda row: (row.top1 is None, -(row.top1 or 0.0), row.name))
    if by is Order.PARAMETERS:
        return sorted(rows, key=lambda row: (row.parameters is None, row.parameters or 0, row.name))
    return sorted(rows, key=lambda row: row.name)


def nothing(
    pattern: str | None = None, *, dataset: str | None = None, pretrained: bool | None = None, hub: str | None = None
) -> ZooError:
    """Why an overview has no rows, with names close to what was asked for, to be raised."""
    everything = overview(hub=hub)
    where = "the zoo" if hub is None else hub
    if not everything and hub is None:
        return UnknownModel("no plugin here provides a model; install one, as zoo-resnet-cifar")
    if not everything:
        missing = hub is not None and hub.startswith("file:") and not is_folder(path_of(hub.removeprefix("file:")))
        why = ", and there is no such folder" if missing else ""
        return NotFound(f"{where} has no models{why}; push one there with: zoo push FOLDER --hub {hub}")
    datasets = {row.dataset for row in everything}
    if dataset is not None and dataset not in datasets:
        close = registry.close_to(dataset, datasets)
        return UnknownModel(
            f"{where} has no models on a data set {dataset!r}; "
            + (f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(sorted(datasets))}")
        )
    names = [row.name for row in everything]
    if pattern is not None and not any(fnmatch.fnmatchcase(name, pattern) for name in names):
        close = registry.close_to(pattern.strip("*?"), names)
        hint = f"did you mean {' or '.join(close)}?" if close else "zoo list shows all"
        return UnknownModel(f"{where} has no model {pattern!r}; {hint}")
    asked = [f"named {pattern!r}" if pattern else "", f"on {dataset}" if dataset else ""]
    asked += [] if pretrained is None else ["with weights" if pretrained else "without weights"]
    return NotFound(f"{where} has no model {' '.join(filter(None, asked))}; leave out one of these to see more")


def search(text: str, *, hub: str = "hf://") -> list[Row]:
    """The zoo's models with this text in their names: on the whole Hugging Face Hub, or in the hub that is named."""
    source = open_hub(hub)
    if not isinstance(source, Searchable):
        raise HubError(f"{hub} can't be searched; see what it has with: zoo list --hub {hub}")
    provided = registry.provided()
    return [_row_in_hub(one, provided) for one in source.search(text)]


def _listed(hub: Hub, pattern: str | None) -> dict[str, Listed]:
    """The models of a hub whose names match, by name."""
    return {listed.name: listed for listed in hub.models(pattern)}


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
    )
