from __future__ import annotations

import inspect

import pytest

import zoo
from zoo import api, spec


def test_the_public_names_are_these() -> None:
    assert zoo.__all__ == [
        "Architecture", "Dataset", "Model", "Recipe", "ZooError", "info", "list_models", "load", "transforms",
    ]  # fmt: skip
    assert all(hasattr(zoo, name) for name in zoo.__all__)
    assert set(zoo.__all__) <= set(dir(zoo))


def test_a_name_that_is_none_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'lod'"):
        zoo.lod  # noqa: B018


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (api.load, "name_or_path_or_hub_id pretrained hub revision num_classes in_channels device"),
        (api.transforms, "name_or_path_or_hub_id hub revision"),
        (api.list_models, "pattern dataset pretrained"),
        (api.info, "name hub"),
        (api.evaluate, "name_or_path_or_hub_id hub revision weights device data"),
        (api.predict, "name_or_path_or_hub_id pictures top hub revision device"),
        (api.plot, "runs out"),
        (api.layers, "name depth"),
        (api.push, "path hub weights_at"),
        (api.verify, "name_or_path_or_hub_id hub revision device data"),
        (api.pull, "name_or_hub_id hub revision out"),
    ],
)
def test_the_signatures_are_these(function: object, parameters: str) -> None:
    assert " ".join(inspect.signature(function).parameters) == parameters  # type: ignore[arg-type]


def test_every_public_function_says_what_it_does() -> None:
    for name in zoo.__all__:
        assert getattr(zoo, name).__doc__
    assert spec.Recipe.__doc__
