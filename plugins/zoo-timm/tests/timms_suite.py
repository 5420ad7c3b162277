"""A pytest plugin that runs timm's tests/test_models.py on models of the zoo, for `make test-timm`.

It registers the models before timm's tests are collected, and replaces `timm.list_models`, from which timm makes its
test cases, so that only these models are listed.
"""

from __future__ import annotations

from typing import Any

import pytest
import timm
from zoo_timm.registry import register

# Nets with shortcuts A and B, one for digits, one of every other plugin, and one of timm.
MODELS = (
    "resnet20_cifar10",
    "resnet20b_cifar10",
    "resnet8_digits",
    "resnet26_wide_cifar100",
    "resnet_tied_cifar100",
    "resnet18_cifar10",
)

_list_models = timm.list_models


def _list_zoo_models(filter: object = "", module: object = "", **selection: Any) -> list[str]:
    return [name for name in _list_models(filter, **selection) if name.partition(".")[0] in MODELS]


for name in MODELS:
    register(name)
timm.list_models = _list_zoo_models


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip weights by other authors (NAME.TAG), which are downloaded from them."""
    for item in items:
        if "pretrained" in item.name and "." in item.name:
            item.add_marker(pytest.mark.skip(reason="downloads weights by other authors: needs a network"))
