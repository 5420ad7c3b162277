"""The names that plugins import, for every kind of plugin; docs/plugins.md describes them.

    from zoo.plugin import DIGITS, Architecture, Model, Recipe, require_api

    require_api(1)

Only `program` imports torch, and so does `zoo.blocks`. Other modules of the zoo may change in any release. A change of
this module that requires changes in plugins increases `API`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.datasets import CIFAR10, CIFAR100, DIGITS
from zoo.decoding import SchemaError, from_json
from zoo.errors import DataError, ExportError, FolderError, HubError, NotFound, PluginError
from zoo.exporters.formats import Answers, Exporter, Run, Subject
from zoo.formats import UNNAMED, Document, Foreign, Format
from zoo.hub.address import Address
from zoo.hub.protocol import Hub, Listed, Pushed, Revision
from zoo.spec import (
    API,
    Architecture,
    Collection,
    Dataset,
    Deepening,
    InputSize,
    Model,
    Recipe,
    Renaming,
    Reported,
    Resizing,
    Split,
    require_api,
)
from zoo.training.reporting import Report, Watched

if TYPE_CHECKING:
    from zoo.exporters.graph import program

__all__ = [
    "API", "CIFAR10", "CIFAR100", "DIGITS", "UNNAMED", "Address", "Answers", "Architecture", "Collection", "DataError",
    "Dataset", "Deepening", "Document", "ExportError", "Exporter", "FolderError", "Foreign", "Format", "Hub",
    "HubError", "InputSize", "Listed", "Model", "NotFound", "PluginError", "Pushed", "Recipe", "Renaming", "Report",
    "Reported", "Resizing", "Revision", "Run", "SchemaError", "Split", "Subject", "Watched", "from_json", "program",
    "require_api",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name != "program":
        raise AttributeError(f"module 'zoo.plugin' has no attribute {name!r}")
    from zoo.exporters.graph import program  # imports torch

    return program
