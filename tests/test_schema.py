from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pytest

from zoo.schema import SchemaError, fit, from_json, parse


@dataclass(frozen=True)
class Inner:
    n: int


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    rates: tuple[float, ...]
    size: tuple[int, int] = (1, 2)
    extra: Mapping[str, object] | None = None


def test_reads_nested_objects_tuples_and_defaults() -> None:
    value = {"name": "a", "inner": {"n": 3}, "rates": [1, 0.5], "extra": {"x": [1]}}
    assert from_json(Outer, value) == Outer("a", Inner(3), (1.0, 0.5), (1, 2), {"x": [1]})


def test_ignores_keys_that_a_newer_version_may_have_added() -> None:
    assert from_json(Inner, {"n": 1, "later": True}) == Inner(1)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"name": "a", "rates": []}, "inner is missing"),
        ({"name": 3, "inner": {"n": 1}, "rates": []}, "name should be text, not 3"),
        ({"name": "a", "inner": {"n": "x"}, "rates": []}, "inner.n should be whole number, not 'x'"),
        ({"name": "a", "inner": {"n": True}, "rates": []}, "inner.n should be whole number, not True"),
        ({"name": "a", "inner": {"n": 1}, "rates": ["x"]}, r"rates\[0\] should be number"),
        ({"name": "a", "inner": {"n": 1}, "rates": [], "size": [1]}, "size should be a list of whole numbers"),
        ([], "the document should be an object"),
    ],
)
def test_names_the_place_of_what_does_not_fit(value: object, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        from_json(Outer, value)


@pytest.mark.parametrize(
    ("hint", "text", "expected"),
    [
        (float, "0.05", 0.05),
        (float, "1", 1.0),
        (float, "1e-4", 1e-4),
        (int, "200", 200),
        (bool, "true", True),
        (str, "sgd", "sgd"),
        (float | None, "null", None),
        (float | None, "0.1", 0.1),
        (tuple[int, ...], "100,150", (100, 150)),
        (tuple[int, ...], "[100, 150]", (100, 150)),
        (tuple[int, ...], "100", (100,)),
        (Literal["norm", "value"], "value", "value"),
    ],
)
def test_reads_what_is_typed_on_a_command_line(hint: object, text: str, expected: object) -> None:
    assert parse(hint, text, "field") == expected


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (int, "1.5"), (int, "x"), (bool, "1"), (Literal["a"], "b"), (float, ""),
        (float, "9" * 400), (int, "9" * 5_000), (tuple[int, ...], "[" * 100_000),
    ],
)  # fmt: skip
def test_refuses_typed_text_of_another_type(hint: object, text: str) -> None:
    with pytest.raises(SchemaError, match="field should be"):
        parse(hint, text, "field")


def test_a_float_that_is_whole_is_an_integer_and_a_boolean_is_no_number() -> None:
    assert fit(int, 3.0, "x") == 3
    with pytest.raises(SchemaError):
        fit(float, True, "x")
