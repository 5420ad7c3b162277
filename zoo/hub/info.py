"""Describes a model and its published revisions. Imports no torch."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoo import registry
from zoo.errors import FolderError, HubError, HubWarning, NotFound, UnknownModel
from zoo.hub.address import Name, parse
from zoo.hub.protocol import Dated, InHub
from zoo.hub.resolve import full_name, named, published
from zoo.notebook import accuracy, count, table
from zoo.record.types import Imported, Record
from zoo.spec import Dataset, Model

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


@dataclass(frozen=True)
class ModelInfo:
    """A declared model, the record of its published weights, or both. If they differ, the record is shown."""

    name: str
    model: Model | None  # None if no installed plugin declares its architecture or dataset
    weights: str | None  # "catalogue", a path or an address; None if there are none
    config: Record | None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self._dataset.classes

    @property
    def input_size(self) -> tuple[int, int, int]:
        """The channels, height and width of the input."""
        return self._dataset.input_size

    @property
    def parameters(self) -> int | None:
        """The number of parameters; None if the plugin does not state it."""
        return (self.config or self._declared).parameters

    @property
    def license(self) -> str:
        """The license of the weights, or of the architecture's code if there are no weights."""
        return self.config.license if self.config else self._declared.architecture.license

    @property
    def _dataset(self) -> Record | Dataset:
        return self.config or self._declared.dataset

    @property
    def _declared(self) -> Model:
        assert self.model is not None  # because there is no record
        return self.model

    def _repr_html_(self) -> str:
        results = self.config.results if self.config else None
        claim = self.config.source.claim if isinstance(self.config, Imported) else None
        classes = ", ".join(self.classes[:5]) + (", …" if len(self.classes) > 5 else "")
        rows = [
            ("dataset", self.config.dataset if self.config else self._declared.dataset.name),
            ("classes", f"{len(self.classes)}: {classes}"),
            ("input", "×".join(map(str, self.input_size))),
            ("parameters", count(self.parameters)),
            ("top-1", accuracy(results.test_top1 if results else None, claim.test_top1 if claim else None)),
            ("license", self.license),
            ("weights", self.weights or "none published"),
            ("recipes", ", ".join(self.model.recipes) if self.model else ""),
        ]
        return table([row for row in rows if row[1]], caption=self.name)


def info(name: str | Path, *, hub: str | None = None) -> ModelInfo:
    """Describe a model, and the published weights that `load` would use.

    Args:
        name: A name (`NAME.TAG` for imported weights), a path or an address.
        hub: The hub, if `name` is a name.

    Returns:
        The model as its plugin declares it, the record of its weights, or both.

    Raises:
        UnknownModel: No plugin has a model of that name.
        FolderError: The folder is incomplete or damaged.
        HubError: The hub can't be read, or does not have the model (NotFound).

    Examples:
        >>> import zoo
        >>> zoo.info("resnet20_cifar10").classes[0]
        'airplane'
    """
    reference = parse(name)
    if not isinstance(reference, Name):
        config = published(reference, hub=hub).config
        return ModelInfo(config.name, _declared(config.name), str(name), config)
    full = full_name(reference.text, hub)
    model = _declared(full)
    try:
        source = named(full, hub=hub)
    except NotFound:
        if model is None or model.name != full:
            raise
        return ModelInfo(full, model, None, None)
    return ModelInfo(full, model, "catalogue" if source.is_shipped else source.address, source.config)


def _declared(name: str) -> Model | None:
    """The declared model of a name, or of a name without its tag."""
    for full in (name, name.rpartition(".")[0]):
        with contextlib.suppress(UnknownModel):
            return registry.load(full)
    return None


@dataclass(frozen=True)
class RevisionRow:
    """A revision of a published model."""

    id: str
    date: datetime | None  # None if the hub does not record it
    top1: float | None  # percent; None if it was not measured
    license: str


def revisions(model: str | Path, *, hub: str | None = None) -> list[RevisionRow]:
    """List the revisions of a published model. A damaged one is left out, with a HubWarning.

    Args:
        model: A name or an address.
        hub: The hub, if `model` is a name.

    Returns:
        The revisions, newest first.

    Raises:
        UnknownModel: No plugin has a model of that name.
        HubError: The hub can't be read, or does not have the model (NotFound).

    Examples:
        >>> import zoo
        >>> len(zoo.api.revisions("resnet8_digits")[0].id)
        64
    """
    resolved = published(model, hub=hub, newest=True)
    resolved.require_record()
    if not isinstance(resolved.source, InHub):
        raise HubError(f"{model} is a path, which is in no hub and has no revisions; name a model or an address")
    source, name = resolved.source.hub, resolved.source.name
    dates = source.dates(name) if isinstance(source, Dated) else {}
    rows = []
    for identity in source.revisions(name):
        try:
            record = source.resolve(name, identity).record
        except FolderError as error:
            warnings.warn(HubWarning(str(error)), stacklevel=2)
            continue
        top1 = record.results.test_top1 if record.results else None
        rows.append(RevisionRow(identity, dates.get(identity), top1, record.license))
    return rows
