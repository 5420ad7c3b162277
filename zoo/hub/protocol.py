"""What a hub has to do, and what some hubs can do beside: docs/hubs.md has the whole of it, with an example.

A hub knows model folders and revisions, and nothing of torch or of architectures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from zoo.hub.address import Address

if TYPE_CHECKING:
    from zoo.record.types import File, Record


@dataclass(frozen=True)
class Pushed:
    """What a push leaves: where the model is now, and as what revision."""

    address: Address
    revision: str


@dataclass(frozen=True)
class Listed:
    """A model in a hub: its name there, where it is, and what a listing shows of it."""

    name: str
    address: Address
    dataset: str
    parameters: int
    license: str
    test_top1: float | None  # percent; None where nobody has measured it
    plugin: str  # the distribution that provides its architecture

    @classmethod
    def of(cls, address: Address, config: Record) -> Listed:
        """What a listing shows of the model at that address, from its facts."""
        return cls(
            name=address.name or config.name,
            address=address,
            dataset=config.dataset,
            parameters=config.parameters,
            license=config.license,
            test_top1=config.results.test_top1 if config.results else None,
            plugin=config.plugin_distribution,
        )


class Hub(Protocol):
    """A place for model folders."""

    @property
    def address(self) -> Address:
        """What `open_hub` opens it by; asks the network where the place has to be found out."""

    def require_writable(self, name: str) -> None:
        """Raise HubError, with the remedy, if a push of `name` would not be accepted; changes nothing."""

    def push(self, folder: Path, name: str) -> Pushed:
        """Publish a whole model folder as `name`, in one step; the same bytes again change nothing.

        Raises FolderError where the folder isn't whole, or HubError.
        """

    def facts(self, name: str, revision: str | None = None) -> Record:
        """What the config.json of `name` says, and nothing else fetched; raises as `pull` does."""

    def pull(self, name: str, revision: str | None = None, *, weights: bool = True) -> Path:
        """A local, whole model folder of `name`, not to be written to; without `weights` they may be missing.

        Without a revision it is the newest. Raises NotFound, HubError, or FolderError where what is
        there is damaged beyond fetching again.
        """

    def revisions(self, name: str) -> list[str]:
        """The ids by which `pull` finds the states of `name`, newest first; raises NotFound or HubError."""

    def models(self) -> list[Listed]:
        """The models that are there, sorted by name."""


@runtime_checkable
class Holding(Protocol):
    """A hub that holds other libraries' repositories too; `facts` raises OtherFormat for one, with its commit's folder.

    A commit is the name of that folder.
    """

    def other_weights(self, name: str, commit: str) -> File:
        """The SHA-256 and size of a repository's model.safetensors; fetches none. Raises NotFound or HubError."""

    def other_file(self, name: str, commit: str, file: str, *, anew: bool = False) -> Path:
        """A file of a repository, on this machine; with `anew` fetched again. Raises NotFound or HubError."""


@runtime_checkable
class Searchable(Protocol):
    """A hub in which models can be found by a text."""

    def search(self, text: str) -> list[Listed]:
        """The models with this text in their names, sorted by address."""


@runtime_checkable
class Selecting(Protocol):
    """A hub that lists some of its models without reading the others."""

    def models_like(self, pattern: str) -> list[Listed]:
        """The models whose names match a pattern (`resnet*`, as `fnmatch` has it), sorted by name."""
