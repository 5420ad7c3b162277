"""Models in other libraries' repositories: which kinds of those there are, and what a kind's reader says of one.

A repository is a folder with a config.json of that library's and `model.safetensors`. What reads a kind of them is a
`Format`, an entry point of the group `zoo.formats`, named as the kind:

    [project.entry-points."zoo.formats"]
    timm = "zoo_timm.repository:TIMM"

It is told the decoded config.json, of a stranger, and gives facts (`Foreign`); among them an architecture, the state
dict of whose net the file of weights is, name by name. So a reader opens no file and sees no weights: the zoo bounds
what it says, builds the net, and holds the file's hash, names and shapes against it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from zoo.decoding import SchemaError as SchemaError
from zoo.decoding import from_json as from_json
from zoo.errors import PluginError
from zoo.plugins import Group
from zoo.spec import Architecture, InputSize, Resizing

UNNAMED: Final = "unnamed"  # a data set that a repository does not name

Document = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """What a repository of another library says of its model."""

    architecture: Architecture  # what builds the net that the weights are of
    classes: tuple[str, ...]  # their names, by label
    input_size: InputSize
    mean: tuple[float, ...]  # from 0 to 1, a number a channel
    std: tuple[float, ...]
    resizing: Resizing  # of pictures of any other size
    dataset: str = UNNAMED  # that it was trained on, of lower-case letters, digits, '.', '_' and '-'
    license: str = ""  # as the Hub spells it; empty where it does not say


@dataclass(frozen=True)
class Format:
    """A kind of repository: how it is known by its config.json, and what that one says."""

    name: str  # of the kind, as its entry point's: timm
    recognises: Callable[[Document], bool]
    read: Callable[[Document], Foreign]  # raises SchemaError, in one line, for what is none of the kind after all


@dataclass(frozen=True)
class Known:
    """A kind that the zoo recognises itself, also where the plugin that reads it is not installed."""

    keys: frozenset[str]  # that such a config.json has
    distribution: str  # of the plugin that reads it


KNOWN: Final = {"timm": Known(frozenset({"architecture", "pretrained_cfg"}), "zoo-timm")}
RECORDS: Final = ("trained", "imported")  # the `kind` of the zoo's own records, which may have the keys of timm's
FORMATS: Final = Group[Format](
    "zoo.formats",
    "repository format",
    "the zoo.plugin.Format of that name",
    lambda value, name: isinstance(value, Format) and value.name == name,
)


def kind_of(document: Document) -> str | None:
    """The kind of repository that a config.json is of; None where nothing here recognises it."""
    if document.get("kind") in RECORDS:
        return None
    for name, known in KNOWN.items():
        if known.keys <= document.keys():
            return name
    for name in FORMATS.names():
        if name not in KNOWN:
            with contextlib.suppress(Exception):  # a plugin may fail in any way; then it is not its kind
                if FORMATS.load(name).recognises(document):
                    return name
    return None


def read(kind: str, document: Document) -> Foreign:
    """What a config.json of that kind says; raises PluginError where nothing here reads it, or SchemaError."""
    if FORMATS.entry(kind) is None and kind in KNOWN:
        needed = KNOWN[kind].distribution
        raise PluginError(f"it is a repository of {kind}'s, which the plugin {needed} reads: pip install {needed}")
    reader = FORMATS.load(kind)
    with FORMATS.guarded(kind, passes=(SchemaError,)):
        return reader.read(document)
