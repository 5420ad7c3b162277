from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct

from zoo.decoding import Line, Percent, SchemaError, Sha256, Sha256OrEmpty, decode, from_json, parse


class Inner(Struct, frozen=True, forbid_unknown_fields=True):
    n: Annotated[int, Meta(ge=1)]


class Outer(Struct, frozen=True, forbid_unknown_fields=True):
    name: Line
    inner: Inner
    rates: Annotated[tuple[Percent, ...], Meta(max_length=3)]
    sha256: Sha256 = "0" * 64
    tensors: Sha256OrEmpty = ""
    color: Annotated[str, Meta(pattern="#[0-9a-f]{6}")] = "#000000"  # a pattern that the zoo does not know
    size: tuple[int, int] = (1, 2)
    extra: Mapping[str, object] | None = None


@dataclass(frozen=True)
class Lenient:
    n: int


def test_nested_objects_tuples_and_defaults_are_read() -> None:
    value = {"name": "a", "inner": {"n": 3}, "rates": [1, 0.5], "extra": {"x": [1]}}
    assert from_json(Outer, value) == Outer("a", Inner(3), (1.0, 0.5), extra={"x": [1]})


def test_a_dataclass_ignores_unknown_keys() -> None:
    assert from_json(Lenient, {"n": 1, "later": True}) == Lenient(1)


VALID: dict[str, Any] = {"name": "a", "inner": {"n": 1}, "rates": []}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inner": {}}, "inner.n is missing"),
        ({"name": 3}, "name should be text, not an integer"),
        ({"name": "a\nb"}, "name should be one line without control characters"),
        ({"name": "a" * 2001}, "name should have at most 2,000 characters"),
        ({"inner": {"n": "x"}}, "inner.n should be an integer, not text"),
        ({"inner": {"n": True}}, "inner.n should be an integer, not true or false"),
        ({"inner": {"n": 0}}, "inner.n should be at least 1"),
        ({"inner": {"n": 1, "later": 2}}, "inner.later is an unknown field"),
        ({"rates": [50, 101]}, "rates[1] should be at most 100"),
        ({"rates": [1, 2, 3, 4]}, "rates should have at most 3 entries"),
        ({"sha256": "abc"}, "sha256 should be 64 hex digits"),
        ({"tensors": "abc"}, "tensors should be 64 hex digits, or empty"),
        ({"color": "red"}, "color should be text that matches '#[0-9a-f]{6}'"),
        ({"size": [1]}, "size should have 2 entries"),
    ],
)
def test_an_invalid_field_is_named_with_the_reason(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        from_json(Outer, {**VALID, **changes})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "it should be an object, not a list"),
        ("{", "it is not JSON (it ends too early)"),
        ("NaN", "it is not JSON"),
        ("[" * 100_000, "it should be an object, not a list"),
        ('{"name": "\\ud800"}', "it is not JSON"),
    ],
)
def test_text_other_than_a_json_object_is_refused(text: str, message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        decode(Outer, text.encode())
    assert str(caught.value).startswith(message)


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
def test_an_option_is_parsed_by_the_type_of_its_field(hint: object, text: str, expected: object) -> None:
    assert parse(hint, text) == expected


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (int, "1.5"), (int, "x"), (bool, "1"), (Literal["a"], "b"), (float, ""), (float, "\ud800"),
        (float, "9" * 400), (int, "9" * 5_000), (tuple[int, ...], "[" * 100_000),
    ],
)  # fmt: skip
def test_an_option_of_a_wrong_type_is_refused(hint: object, text: str) -> None:
    with pytest.raises(SchemaError, match="should be"):
        parse(hint, text)
