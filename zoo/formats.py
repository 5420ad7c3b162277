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

from zoo import plugins
from zoo.decoding import SchemaError as SchemaError
from zoo.decoding import from_json as from_json
from zoo.errors import PluginError
from zoo.spec import Architecture, InputSize, Resizing

GROUP: Final = "zoo.formats"
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
    """A kind that the zoo knows by sight, also where what reads it is not installed."""

    keys: frozenset[str]  # that such a config.json has
    distribution: str  # of the plugin that reads it


KNOWN: Final = {"timm": Known(frozenset({"architecture", "pretrained_cfg"}), "zoo-timm")}


def kind_of(document: Document) -> str | None:
    """The kind of repository that a config.json is of; None where it is of none that anybody here knows."""
    for name, known in KNOWN.items():
        if known.keys <= document.keys():
            return name
    for entry in plugins.claims(GROUP):
        if entry.name not in KNOWN:
            with contextlib.suppress(Exception):  # a plugin may fail in any way; then it is not its kind
                if _format(entry).recognises(document):
                    return entry.name
    return None


def read(kind: str, document: Document) -> Foreign:
    """What a config.json of that kind says; raises PluginError where nothing here reads it, or SchemaError."""
    found = next((entry for entry in plugins.claims(GROUP) if entry.name == kind), None)
    if found is None:
        needed = KNOWN[kind].distribution
        raise PluginError(f"it is a repository of {kind}'s, which the plugin {needed} reads: pip install {needed}")
    try:
        return _format(found).read(document)
    except (SchemaError, PluginError):
        raise
    except ModuleNotFoundError as error:
        needed = (error.name or "").partition(".")[0]
        raise PluginError(
            f"it is a repository of {kind}'s, which takes {needed}, and that is not installed: pip install {needed}"
        ) from error
    except (Exception, SystemExit) as error:  # a plugin may fail in any way on what a stranger wrote
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        raise PluginError(f"format {kind}: plugin {found.distribution} fails on it ({reason}); mend it") from error


def _format(entry: plugins.Entry) -> Format:
    found = plugins.imported(entry, f"format {entry.name}")
    if not isinstance(found, Format) or found.name != entry.name:
        raise PluginError(
            f"format {entry.name}: {entry.value} of plugin {entry.distribution} is not the zoo.formats.Format of that "
            f"name; mend its entry in [project.entry-points.{GROUP!r}]"
        )
    return found
