"""Everything that a plugin imports of the zoo, whatever kind of plugin it is: docs/plugins.md describes it.

    from zoo.plugin import DIGITS, Architecture, Model, Recipe, require_api

    require_api(1)

A name is imported when it is used, and importing this module costs nothing. Of these names only `program` and the
contents of `zoo.blocks` need torch. The modules behind it may change; this one does so with `API`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.datasets import CIFAR10 as CIFAR10
    from zoo.datasets import CIFAR100 as CIFAR100
    from zoo.datasets import DIGITS as DIGITS
    from zoo.errors import DataError as DataError
    from zoo.errors import ExportError as ExportError
    from zoo.errors import FolderError as FolderError
    from zoo.errors import HubError as HubError
    from zoo.errors import NotFound as NotFound
    from zoo.errors import PluginError as PluginError
    from zoo.exporters.formats import Answers as Answers
    from zoo.exporters.formats import Exporter as Exporter
    from zoo.exporters.formats import Run as Run
    from zoo.exporters.formats import Subject as Subject
    from zoo.exporters.graph import program as program
    from zoo.formats import UNNAMED as UNNAMED
    from zoo.formats import Document as Document
    from zoo.formats import Foreign as Foreign
    from zoo.formats import Format as Format
    from zoo.formats import SchemaError as SchemaError
    from zoo.formats import from_json as from_json
    from zoo.hub.address import Address as Address
    from zoo.hub.protocol import Hub as Hub
    from zoo.hub.protocol import Listed as Listed
    from zoo.hub.protocol import Pushed as Pushed
    from zoo.hub.protocol import Revision as Revision
    from zoo.spec import API as API
    from zoo.spec import Architecture as Architecture
    from zoo.spec import Collection as Collection
    from zoo.spec import Dataset as Dataset
    from zoo.spec import Deepening as Deepening
    from zoo.spec import Half as Half
    from zoo.spec import InputSize as InputSize
    from zoo.spec import Model as Model
    from zoo.spec import Recipe as Recipe
    from zoo.spec import Renaming as Renaming
    from zoo.spec import Reported as Reported
    from zoo.spec import Resizing as Resizing
    from zoo.spec import require_api as require_api
    from zoo.training.reporting import Report as Report
    from zoo.training.reporting import Watched as Watched

_MODULES = {
    "zoo.datasets": ("CIFAR10", "CIFAR100", "DIGITS"),
    "zoo.errors": ("DataError", "ExportError", "FolderError", "HubError", "NotFound", "PluginError"),
    "zoo.exporters.graph": ("program",),
    "zoo.exporters.formats": ("Answers", "Exporter", "Run", "Subject"),
    "zoo.formats": ("UNNAMED", "Document", "Foreign", "Format", "SchemaError", "from_json"),
    "zoo.hub.address": ("Address",),
    "zoo.hub.protocol": ("Hub", "Listed", "Pushed", "Revision"),
    "zoo.spec": (
        "API", "Architecture", "Collection", "Dataset", "Deepening", "Half", "InputSize", "Model", "Recipe",
        "Renaming", "Reported", "Resizing", "require_api",
    ),
    "zoo.training.reporting": ("Report", "Watched"),
}  # fmt: skip
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'zoo.plugin' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
