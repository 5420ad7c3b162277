"""Where model folders are published: a folder (`file:PATH`) or the Hugging Face Hub (`hf://namespace`).

A hub knows model folders and revisions, and nothing of torch or of architectures.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from zoo.errors import HubError


@dataclass(frozen=True)
class Published:
    """What a push leaves: where the model is now, and as what revision."""

    address: str
    revision: str


@dataclass(frozen=True)
class Listed:
    """A model in a hub: its name there, where it is, and what a listing shows of it."""

    name: str
    address: str
    dataset: str
    parameters: int
    license: str
    test_top1: float  # percent
    plugin: str  # the distribution that provides its architecture


class Hub(Protocol):
    """A place for model folders."""

    @property
    def address(self) -> str:
        """What `open_hub` opens it by; asks the network where the namespace has to be found out."""

    def check(self, name: str) -> None:
        """Raise HubError, with the remedy, if a push of `name` would not be accepted; changes nothing."""

    def push(self, source: Path, name: str) -> Published:
        """Publish a whole model folder as `name`, in one step; the same bytes again change nothing."""

    def pull(self, name: str, revision: str | None = None) -> Path:
        """A local, complete model folder of `name`, not to be written to.

        Raises NotFound, HubError, or FolderError where what is there is damaged beyond fetching again.
        """

    def models(self) -> list[Listed]:
        """The models that are there, sorted by name."""


def open_hub(address: str | None = None) -> Hub:
    """The hub at an address: `file:PATH`, `hf://namespace`, or `hf://` for the account that is logged in.

    None means what ZOO_HUB says, and the account that is logged in where it says nothing. Nothing
    is contacted yet. Raises HubError for another kind of address.
    """
    address = address or os.environ.get("ZOO_HUB") or "hf://"
    if address.startswith("file:"):
        from zoo.hub.local import FolderHub

        path = address.removeprefix("file://").removeprefix("file:")
        if path:
            return FolderHub(Path(path).expanduser())
    if address.startswith("hf://") and "/" not in address.removeprefix("hf://").rstrip("/"):
        from zoo.hub.hugging_face import HuggingFaceHub

        return HuggingFaceHub(address.removeprefix("hf://").rstrip("/") or None)
    raise HubError(f"{address!r} is not a hub; expected file:PATH or hf://namespace")


def split_model_address(address: str) -> tuple[str, str] | None:
    """The hub and the name in a model's address, `hf://me/resnet20_cifar10`; None for anything else."""
    if not address.startswith(("hf://", "file:")):
        return None
    hub, slash, name = address.rstrip("/").rpartition("/")
    if not slash or not name or hub in ("hf:/", "hf:", "file:", "file:/"):
        raise HubError(f"{address!r} names no model; expected hf://namespace/model or file:PATH/model")
    return hub, name
