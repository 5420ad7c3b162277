"""The protocol that every hub implements, and protocols for what only some hubs support. docs/hubs.md has an example.

A hub stores published models. It imports no torch and checks no hashes: `zoo.hub.publish` checks a folder before it is
published, and `zoo.hub.resolve` compares each fetched file with the record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from zoo.hub.address import Address

if TYPE_CHECKING:
    from zoo.record import card
    from zoo.record.types import File, Record, Summary


@dataclass(frozen=True)
class Revision:
    """An immutable state of a published model.

    Args:
        record: The content of its config.json.
        id: The id by which the hub returns this revision.

    Examples:
        >>> from zoo.hub import open_hub
        >>> revision = open_hub("file:runs").resolve("resnet8_digits")
        >>> revision.record.parameters, len(revision.id)
        (75002, 64)
    """

    record: Record
    id: str


@dataclass(frozen=True)
class Pushed:
    """The result of publishing a model.

    Args:
        address: The address of the model.
        revision: The id of the published revision.
        repaired: The files that were damaged or missing in the hub and have been replaced.
        card: The state of the card before. A stale card is rendered again; an edited card is kept.

    Examples:
        >>> from zoo.plugin import Address, Pushed
        >>> Pushed(Address("memory", "test", "resnet8_digits"), revision="1").repaired
        ()
    """

    address: Address
    revision: str
    repaired: tuple[str, ...] = ()
    card: card.State = "current"


@dataclass(frozen=True)
class Listed:
    """A model in the listing of a hub.

    Args:
        name: The name of the model.
        address: The address of the model.
        dataset: The name of the dataset.
        parameters: The number of trainable parameters.
        license: The license of the weights.
        test_top1: The measured top-1 accuracy in percent, or None.
        plugin: The distribution that provides the architecture.
        claim: The top-1 accuracy in percent that the author of imported weights states, if it was not measured.

    Examples:
        >>> from zoo.hub import open_hub
        >>> for model in open_hub("file:runs").models():
        ...     print(model.name, model.parameters)
        resnet8_digits 75002
    """

    name: str
    address: Address
    dataset: str
    parameters: int
    license: str
    test_top1: float | None
    plugin: str
    claim: float | None = None

    @classmethod
    def of(cls, address: Address, record: Record | Summary) -> Listed:
        """Create the entry of a model from its address and its record."""
        claim = getattr(getattr(record, "source", None), "claim", None)
        return cls(
            name=address.name or record.name,
            address=address,
            dataset=record.dataset,
            parameters=record.parameters,
            license=record.license,
            test_top1=record.results.test_top1 if record.results else None,
            plugin=record.plugin_distribution,
            claim=claim.test_top1 if claim and record.results is None else None,
        )


class Hub(Protocol):
    """A store of published models.

    Examples:
        >>> from zoo.hub import open_hub
        >>> hub = open_hub("file:runs")
        >>> revision = hub.resolve("resnet8_digits")
        >>> folder = hub.fetch("resnet8_digits", revision.id, ["log.jsonl"])
        >>> (folder / "log.jsonl").is_file()
        True
    """

    @property
    def address(self) -> Address:
        """The address with which `open_hub` opens this hub; may need the network."""

    def require_writable(self, name: str) -> None:
        """Raise HubError if the hub would refuse to publish this model. Changes nothing."""

    def resolve(self, name: str, revision: str | None = None) -> Revision:
        """Return a revision of a model; fetches config.json and no other file.

        Args:
            name: The name of the model.
            revision: The id of a revision; None for the newest.

        Raises:
            NotFound: There is no such model or revision.
            FolderError: The record is damaged.
            HubUnavailable: The hub can't be reached, and this machine has an earlier revision.
            HubError: Any other failure.
        """

    def fetch(self, name: str, revision: str, files: Iterable[str], *, force_download: bool = False) -> Path:
        """Return a folder on this machine that contains these files of a revision.

        Args:
            name: The name of the model.
            revision: The `id` of a revision that `resolve` returned.
            files: Paths of files in the model folder.
            force_download: Download the files again, because a cached copy is damaged.

        Returns:
            The folder. It may have other files too; callers must not change it.

        Raises:
            NotFound: The revision has no such file.
            HubError: Any other failure.
        """

    def publish(self, name: str, files: Mapping[str, bytes]) -> Pushed:
        """Publish the files of a model in one step, as its newest revision.

        If the hub already has the revision, its files are compared and replaced where they differ.

        Args:
            name: The name of the model.
            files: The content of each file: config.json, all files that the record names, and README.md,
                curve.svg and errors.svg if there are any. These three do not determine the id of the revision.

        Raises:
            HubError: The hub refuses the model or can't be written.
        """

    def revisions(self, name: str) -> list[str]:
        """Return the ids of a model's revisions, newest first; raises NotFound or HubError."""

    def models(self, pattern: str | None = None) -> list[Listed]:
        """List the models sorted by name, or only those that match a pattern of `fnmatch`; raises HubError."""


@dataclass(frozen=True)
class InHub:
    """A revision of a model in a hub. `shown` is the revision that its address names, if any."""

    hub: Hub
    name: str
    revision: str
    shown: str | None = None

    @property
    def address(self) -> str:
        """The address of the model."""
        return str(self.hub.address.model(self.name).at(self.shown))

    def fetch(self, files: Iterable[str], *, force_download: bool = False) -> Path:
        """Fetch files of this revision, as `Hub.fetch`."""
        return self.hub.fetch(self.name, self.revision, files, force_download=force_download)


@runtime_checkable
class Searchable(Protocol):
    """A hub that can search its models."""

    def search(self, text: str) -> list[Listed]:
        """List the models whose names contain a text, sorted by address; raises HubError."""


@runtime_checkable
class Cards(Protocol):
    """A hub that refuses cards with invalid metadata."""

    def require_card(self, name: str, text: str) -> None:
        """Raise HubError, with the hub's reason, if the hub would refuse this README.md. Changes nothing."""


@runtime_checkable
class Dated(Protocol):
    """A hub that records the time of each revision."""

    def dates(self, name: str) -> Mapping[str, datetime]:
        """Return the time of each revision by its id; raises NotFound or HubError."""


@runtime_checkable
class Repositories(Protocol):
    """A hub that also has repositories of other libraries.

    For such a repository, `resolve` raises OtherFormat. The name of the error's `folder` is the revision for `fetch`.
    """

    def weights_file(self, name: str, revision: str) -> File:
        """Return the SHA-256 and size of model.safetensors without fetching it; raises NotFound or HubError."""
