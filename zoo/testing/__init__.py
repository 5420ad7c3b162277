"""What a plugin's tests call: its models held against their facts, its kind of hub against what a hub has to do.

    from zoo.testing import check_model, check_training

    def test_my_model() -> None:
        check_model(my_model)
        check_training(my_model)

Torch comes with the checks of a model; that of a hub does without.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.testing.hubs import check_hub
    from zoo.testing.models import check_model, check_training, learning_rates

_HOMES = {
    "check_hub": "zoo.testing.hubs",
    "check_model": "zoo.testing.models",
    "check_training": "zoo.testing.models",
    "learning_rates": "zoo.testing.models",
}

__all__ = ["check_hub", "check_model", "check_training", "learning_rates"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'zoo.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
