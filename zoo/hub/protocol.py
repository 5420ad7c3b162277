"""What every hub does, and what only some hubs can do: docs/hubs.md describes it, with an example.

A hub is a store of records, from which named files are fetched. It knows nothing of torch or of architectures, and
it checks no hash: what is published was checked before (`zoo.hub.publish`), and whoever reads a fetched file holds it
against the record (`zoo.hub.resolve`).
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
    """A published model in one state, which never changes: its record, and the id by which the hub has it again.

    Example:
        >>> import zoo
        >>> from zoo.plugin import Revision
        >>> revision = Revision(zoo.info("resnet8_digits").config, id="2026-01-31")
        >>> revision.record.name
        'resnet8_digits'
    """

    record: Record
    id: str


@dataclass(frozen=True)
class Pushed:
    """What publishing did: where the model is now, and as which revision.

    Example:
        >>> from zoo.plugin import Address, Pushed
        >>> pushed = Pushed(Address("file", "models", "resnet8_digits"), revision="5f1c", repaired=("README.md",))
        >>> print(f"published as {pushed.address}")
        published as file:models/resnet8_digits
    """

    address: Address
    revision: str
    repaired: tuple[str, ...] = ()  # files that were damaged or missing in the hub, and were written again
    card: card.State = "current"  # what the card was: a stale one is rendered anew, one that a person edited is kept


@dataclass(frozen=True)
class Listed:
    """A model in a hub: its name there, its address, and what a listing shows of it.

    Example:
        >>> import zoo
        >>> from zoo.plugin import Address, Listed
        >>> address = Address("file", "models", "resnet8_digits")
        >>> Listed.of(address, zoo.info("resnet8_digits").config).parameters
        75002
    """

    name: str
    address: Address
    dataset: str
    parameters: int
    license: str
    test_top1: float | None  # percent; None where nobody has measured it
    plugin: str  # the distribution that provides its architecture
    claim: float | None = None  # top-1 by the author of imported weights, percent; None where it was measured

    @classmethod
    def of(cls, address: Address, record: Record | Summary) -> Listed:
        """What a listing shows of the model at that address."""
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

    Example:
        >>> import zoo
        >>> from zoo.hub import open_hub
        >>> pushed = zoo.push("runs/resnet8_digits", hub="file:hub")
        >>> hub = open_hub("file:hub")
        >>> hub.revisions("resnet8_digits") == [pushed.revision]
        True
        >>> folder = hub.fetch("resnet8_digits", pushed.revision, ["README.md"])
    """

    @property
    def address(self) -> Address:
        """The address by which `open_hub` opens it; may ask the network."""

    def require_writable(self, name: str) -> None:
        """Raise HubError, with the remedy, if publishing `name` would be refused; changes nothing."""

    def resolve(self, name: str, revision: str | None = None) -> Revision:
        """The model at a revision, the newest where None; fetches config.json and nothing else.

        Raises NotFound, HubError, or FolderError where the record is damaged; HubUnavailable where the hub can't be
        asked for the newest revision, and this machine has an earlier one.
        """

    def fetch(self, name: str, revision: str, files: Iterable[str], *, anew: bool = False) -> Path:
        """A folder on this machine, not to be written to, with these files of a revision that `resolve` gave.

        Nothing else has to be in it. With `anew`, copies on this machine are not used: one was damaged. Raises
        NotFound where the revision has no such file, or HubError.
        """

    def publish(self, name: str, files: Mapping[str, bytes]) -> Pushed:
        """Publish a model's files in one step, as its newest revision; the same files again change nothing.

        `files` are config.json, every file that the record names, and where there are any README.md and curve.svg,
        which are no part of the revision's identity. What is in the hub under this revision already is compared, and
        written again where it differs. Raises HubError.
        """

    def revisions(self, name: str) -> list[str]:
        """The ids of the model's revisions, newest first; raises NotFound or HubError."""

    def models(self, pattern: str | None = None) -> list[Listed]:
        """The models, sorted by name: those whose names match a pattern (`resnet*`, as `fnmatch` has it), or all."""


@dataclass(frozen=True)
class InHub:
    """A model in a hub, at a revision; `shown` is what its address says of that."""

    hub: Hub
    name: str
    revision: str
    shown: str | None = None

    @property
    def address(self) -> str:
        """Its address in the hub."""
        return str(self.hub.address.model(self.name).at(self.shown))

    def fetch(self, files: Iterable[str], *, anew: bool = False) -> Path:
        """What the hub fetches."""
        return self.hub.fetch(self.name, self.revision, files, anew=anew)


@runtime_checkable
class Searchable(Protocol):
    """A hub in which models can be found by a text."""

    def search(self, text: str) -> list[Listed]:
        """The models with this text in their names, sorted by address."""


@runtime_checkable
class Cards(Protocol):
    """A hub that refuses cards whose metadata it can't read."""

    def require_card(self, name: str, text: str) -> None:
        """Raise HubError, with the hub's reason, if this README.md of a model would be refused; changes nothing."""


@runtime_checkable
class Dated(Protocol):
    """A hub that says when a revision was published."""

    def dates(self, name: str) -> Mapping[str, datetime]:
        """The time of each revision that is known, by its id; raises NotFound or HubError."""


@runtime_checkable
class Repositories(Protocol):
    """A hub that has other libraries' repositories too; `resolve` raises OtherFormat for one.

    The folder of that error is named as the commit, which is a revision for `fetch`.
    """

    def weights_file(self, name: str, revision: str) -> File:
        """The SHA-256 and size of a repository's model.safetensors, which is not fetched; NotFound or HubError."""
