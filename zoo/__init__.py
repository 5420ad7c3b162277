"""A plugin-based zoo of residual networks with a hub of pretrained weights.

    import zoo

    model = zoo.load("resnet20_cifar10", pretrained=True)

Importing the zoo costs nothing: torch comes with the first call that needs it. Training, publishing
and the rest of what the command line does are functions of `zoo.api`; an architecture of your own
needs `zoo.spec` and `zoo.datasets`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.api import info, list_models, load, transforms
    from zoo.errors import ZooError
    from zoo.spec import Architecture, Dataset, Model, Recipe

_HOMES = {
    "load": "zoo.api",
    "transforms": "zoo.api",
    "list_models": "zoo.api",
    "info": "zoo.api",
    "ZooError": "zoo.errors",
    "Architecture": "zoo.spec",
    "Dataset": "zoo.spec",
    "Model": "zoo.spec",
    "Recipe": "zoo.spec",
}

__all__ = [
    "Architecture",
    "Dataset",
    "Model",
    "Recipe",
    "ZooError",
    "info",
    "list_models",
    "load",
    "transforms",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
