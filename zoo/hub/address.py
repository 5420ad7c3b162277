"""How a model or a hub is named, parsed once.

    resnet20_cifar10                a name
    ./runs/mine, ~/mine             a path: a separator in it, or `.` or `~` at its beginning
    hf://me/resnet20_cifar10        an address: a model in a hub, scheme `hf`, place `me`
    file:PATH/resnet20_cifar10@ID   an address with a revision

    hf://me, file:PATH, hf://       the address of a hub; what no place means is decided by the kind of hub

`parse` is called where a user's argument enters the library; everything below takes a `Reference`.
"""

from __future__ import annotations

import dataclasses
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from zoo.errors import HubError

# At least two characters: C:\models is a path.
SCHEME = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+)(?P<mark>://|:)(?P<rest>.*)", re.DOTALL)
SEPARATORS = tuple(filter(None, (os.sep, os.altsep)))


@dataclass(frozen=True)
class Name:
    """The name of a model, of an architecture, or of neither: nothing was looked up yet."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Address:
    """A hub's address, or with a name a model's in it; `str` gives the text back.

    Example:
        >>> from zoo.plugin import Address
        >>> hub = Address("file", "models")
        >>> str(hub.model("resnet8_digits"))
        'file:models/resnet8_digits'
    """

    scheme: str  # which kind of hub
    place: str  # where that hub is, in the words of its kind: a namespace, a path
    name: str | None = None  # of a model
    revision: str | None = None  # of the model
    mark: str = field(default=":", compare=False, repr=False)  # how it was written, ":" or "://"

    def __str__(self) -> str:
        place = self.place if self.name is None else f"{self.place.rstrip('/')}/{self.name}"
        revision = "" if self.revision is None else f"@{self.revision}"
        return f"{self.scheme}{self.mark}{place}{revision}"

    @property
    def hub(self) -> Address:
        """The address of the hub alone."""
        return dataclasses.replace(self, name=None, revision=None)

    def model(self, name: str) -> Address:
        """The address of a model in this hub."""
        return Address(self.scheme, self.place, name, mark=self.mark)

    def at(self, revision: str | None) -> Address:
        """The same at a revision that was given apart, if any; raises HubError where the address has its own."""
        if revision is None:
            return self
        if self.revision is not None:
            raise HubError(f"'{self}' names its revision itself; leave out {revision}")
        return dataclasses.replace(self, revision=revision)


Reference = Name | Path | Address


def parse(model: str | Path | Reference) -> Reference:
    """What a user's argument refers to; raises HubError for an address without a model or a revision.

    Whether anything is there by that name does not matter: a folder called as a model is meant by `./NAME`.
    """
    if not isinstance(model, str):
        return model
    if is_address(model):
        return parse_model(model)
    if model.startswith((".", "~")) or any(separator in model for separator in SEPARATORS):
        return Path(model)
    return Name(model)


def is_address(text: str) -> bool:
    """Whether a text begins with a scheme; any other text is a name or a path."""
    return SCHEME.match(text) is not None


def parse_hub(text: str) -> Address:
    """The address of a hub; raises HubError for any other text."""
    match = SCHEME.fullmatch(text)
    if match is None:
        raise not_a_hub(text)
    rest = match["rest"]
    return Address(match["scheme"], rest.rstrip("/") or rest[:1], mark=match["mark"])


def parse_model(text: str) -> Address:
    """The address of a model in a hub; raises HubError where no model or no revision is named."""
    match = SCHEME.fullmatch(text)
    rest = match["rest"].rstrip("/") if match else ""
    place, slash, last = rest.rpartition("/")
    name, at, revision = last.partition("@")
    if match is None or not slash or not name:
        raise HubError(f"{text!r} names no model; expected hf://namespace/model or file:PATH/model")
    if at and not revision:
        raise HubError(f"{text!r} names no revision; expected one after the '@', or no '@'")
    return Address(match["scheme"], place or "/", name, revision or None, match["mark"])


def not_a_hub(address: str | Address) -> HubError:
    """The error for what is no hub's address."""
    return HubError(f"{str(address)!r} is not a hub; expected file:PATH or hf://namespace")
