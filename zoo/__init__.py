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

__all__ = [
    "Architecture", "Dataset", "Model", "Recipe", "ZooError", "evaluate", "export", "info", "list_models", "load",
    "predict", "pull", "push", "reproduce", "train", "transforms", "verify",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name == "__version__":
        from zoo.plugins import core_version

        return core_version()
    if name not in __all__:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    module = "api" if name.islower() else "errors" if name == "ZooError" else "spec"
    value: object = getattr(importlib.import_module(f"zoo.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
