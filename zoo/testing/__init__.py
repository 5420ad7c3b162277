"""Checks for the tests of a plugin: models and datasets against their declarations, a hub against the protocol.

    from zoo.testing import check_dataset, check_model, check_training

    def test_my_model() -> None:
        check_model(my_model)
        check_training(my_model)

    def test_my_data_set() -> None:
        check_dataset(my_data_set, root)

All of them for everything that a distribution declares is `check_plugin("zoo-mine")`, or `pytest --zoo-plugin zoo-mine`
with a test for each. Torch comes with the checks of a model; that of a hub does without.
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
