"""Checks for the tests of plugins: of models and datasets against their declarations, and of hubs.

    from zoo.testing import check_dataset, check_model, check_training

    def test_my_model() -> None:
        check_model(my_model)
        check_training(my_model)

    def test_my_dataset() -> None:
        check_dataset(my_dataset, root)

`check_plugin("zoo-mine")` runs all checks on everything that a distribution declares. `pytest --zoo-plugin zoo-mine`
runs each check as a test. The checks of models import torch; `check_hub` does not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.testing.datasets import check_dataset
    from zoo.testing.distributions import check_plugin
    from zoo.testing.hubs import check_hub
    from zoo.testing.models import check_model, check_training, learning_rates

_HOMES = {
    "check_dataset": "zoo.testing.datasets",
    "check_plugin": "zoo.testing.distributions",
    "check_hub": "zoo.testing.hubs",
    "check_model": "zoo.testing.models",
    "check_training": "zoo.testing.models",
    "learning_rates": "zoo.testing.models",
}

__all__ = ["check_dataset", "check_hub", "check_model", "check_plugin", "check_training", "learning_rates"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'zoo.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
