"""The text by which a user refers to a model or a hub, and its parsed form.

    resnet20_cifar10                a name
    ./runs/mine, ~/mine             a path: it contains a separator, or begins with `.` or `~`
    hf://me/resnet20_cifar10        the address of a model in the hub with scheme `hf` and location `me`
    file:PATH/resnet20_cifar10@ID   the address of a model at a revision
    hf://me, file:PATH, hf://       the address of a hub

The public functions call `parse` on their argument once; all other code takes a `Reference`.
"""

from __future__ import annotations

import dataclasses
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from zoo.errors import HubError

# A scheme has at least two characters, because C:\models is a path.
SCHEME = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+)(?P<mark>://|:)(?P<rest>.*)", re.DOTALL)
SEPARATORS = tuple(filter(None, (os.sep, os.altsep)))


@dataclass(frozen=True)
class Name:
    """A name that has not been looked up yet."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Address:
    """The address of a hub, or of a model in a hub; `str` returns the text that was parsed.

    Args:
        scheme: The kind of hub, for example `hf`.
        location: The namespace, the path, or what another kind of hub calls its location.
        name: The name of the model; None for the address of a hub.
        revision: The revision of the model; None for the newest.
        mark: The text between scheme and location, ":" or "://". It is ignored by comparisons.

    Examples:
        >>> from zoo.plugin import Address
        >>> hub = Address("memory", "test")
        >>> str(hub.model("resnet8_digits").at("v1"))
        'memory:test/resnet8_digits@v1'
    """

    scheme: str
    location: str
    name: str | None = None
    revision: str | None = None
    mark: str = field(default=":", compare=False, repr=False)

    def __str__(self) -> str:
        path = self.location if self.name is None else f"{self.location.rstrip('/')}/{self.name}"
        revision = "" if self.revision is None else f"@{self.revision}"
        return f"{self.scheme}{self.mark}{path}{revision}"

    @property
    def hub(self) -> Address:
        """The address of the hub."""
        return dataclasses.replace(self, name=None, revision=None)

    def model(self, name: str) -> Address:
        """Return the address of a model in this hub."""
        return dataclasses.replace(self, name=name, revision=None)

    def at(self, revision: str | None) -> Address:
        """Return the address at a revision, if one is given; raises HubError if the address already has one."""
        if revision is None:
            return self
        if self.revision is not None:
            raise HubError(f"'{self}' already names a revision; leave out {revision}")
        return dataclasses.replace(self, revision=revision)


Reference = Name | Path | Address


def parse(model: str | Path | Reference) -> Reference:
    """Parse a user's argument; raises HubError if an address lacks the model or the revision.

    Does not check whether anything exists. A folder in the working directory is written as `./NAME`.
    """
    if not isinstance(model, str):
        return model
    if is_address(model):
        return parse_model(model)
    if model.startswith((".", "~")) or any(separator in model for separator in SEPARATORS):
        return Path(model)
    return Name(model)


def is_address(text: str) -> bool:
    """Whether a text begins with a scheme."""
    return SCHEME.match(text) is not None


def parse_hub(text: str) -> Address:
    """Parse the address of a hub; raises HubError for any other text."""
    match = SCHEME.fullmatch(text)
    if match is None:
        raise not_a_hub(text)
    rest = match["rest"]
    return Address(match["scheme"], rest.rstrip("/") or rest[:1], mark=match["mark"])


def parse_model(text: str) -> Address:
    """Parse the address of a model; raises HubError if it lacks the model or the revision."""
    match = SCHEME.fullmatch(text)
    rest = match["rest"].rstrip("/") if match else ""
    location, slash, last = rest.rpartition("/")
    name, at, revision = last.partition("@")
    if match is None or not slash or not name:
        raise HubError(f"{text!r} names no model; expected hf://namespace/model or file:PATH/model")
    if at and not revision:
        raise HubError(f"{text!r} names no revision; expected one after the '@', or no '@'")
    return Address(match["scheme"], location or "/", name, revision or None, match["mark"])


def not_a_hub(address: str | Address) -> HubError:
    """The error for a text that is not the address of a hub."""
    return HubError(f"{str(address)!r} is not a hub; expected file:PATH or hf://namespace")
