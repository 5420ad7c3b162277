"""A plugin-based zoo of residual networks with a hub of pretrained weights.

    import zoo

    model = zoo.load("resnet20_cifar10", pretrained=True)

Importing the zoo does not import torch; the first call that needs torch does. `zoo.api` has a function for every
command of the command line. `zoo.plugin` has the names that plugins import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.api import (
        evaluate,
        export,
        info,
        list_models,
        load,
        predict,
        pull,
        push,
        reproduce,
        train,
        transforms,
        verify,
    )
    from zoo.errors import ZooError
    from zoo.spec import Architecture, Dataset, Model, Recipe

    __version__: str

_HOMES = {
    "zoo.api": (
        "evaluate", "export", "info", "list_models", "load", "predict", "pull", "push", "reproduce", "train",
        "transforms", "verify",
    ),
    "zoo.errors": ("ZooError",),
    "zoo.spec": ("Architecture", "Dataset", "Model", "Recipe"),
}  # fmt: skip

__all__ = [
    "Architecture",
    "Dataset",
    "Model",
    "Recipe",
    "ZooError",
    "evaluate",
    "export",
    "info",
    "list_models",
    "load",
    "predict",
    "pull",
    "push",
    "reproduce",
    "train",
    "transforms",
    "verify",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from zoo.plugins import core_version

        return core_version()
    for home, names in _HOMES.items():
        if name in names:
            value: object = getattr(importlib.import_module(home), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
