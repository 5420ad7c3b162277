"""timm's own tests/test_models.py, asked of the zoo's models: a plugin of pytest's, for `make test-timm`.

They are registered before timm's file is collected, and `timm.list_models`, from which it makes its cases, gives
them alone: what timm would list of them by filter, tag and facts, whatever module of timm's the test is about.
"""

from __future__ import annotations

from typing import Any

import timm
from zoo_timm.registry import register

# A net with shortcut A and one with B, one for other images, one of every other plugin, and one of timm's own.
MODELS = (
    "resnet20_cifar10",
    "resnet20b_cifar10",
    "resnet8_digits",
    "resnet26_wide_cifar100",
    "resnet_tied_cifar100",
    "resnet18_cifar10",
)

_list_models = timm.list_models


def _zoos(filter: object = "", module: object = "", **selection: Any) -> list[str]:
    return [name for name in _list_models(filter, **selection) if name.partition(".")[0] in MODELS]


for name in MODELS:
    register(name)
timm.list_models = _zoos
