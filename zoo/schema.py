"""JSON to frozen dataclasses, and refusing what does not fit.

The only reader of files that come from elsewhere (`config.json`), of checkpoints' facts and of
`--set name=value`; so the types that a dataclass declares are the whole schema.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

# The type of every field of a dataclass by its name; worked out once for all of its objects.
hints: Callable[[type], Mapping[str, Any]] = functools.cache(typing.get_type_hints)


SCALARS: typing.Final[frozenset[Any]] = frozenset({bool, int, float, str, types.NoneType})


class SchemaError(ValueError):
    """A value that does not fit the declared type; the message names the place."""


@dataclasses.dataclass(frozen=True)
class _Field:
    """A field of a dataclass, and the types of values that it takes as they are: most that there are."""

    name: str
    hint: Any
    is_needed: bool
    as_it_is: frozenset[Any]


@functools.cache
def _fields(kind: type) -> tuple[_Field, ...]:
    """The fields of a dataclass; worked out once for all of its objects, of which a log has one an epoch."""
    return tuple(
        _Field(
            one.name,
            hints(kind)[one.name],
            one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING,
            _scalars(hints(kind)[one.name]),
        )
        for one in dataclasses.fields(kind)
    )


@functools.cache
def _scalars(hint: Any) -> frozenset[Any]:
    """The scalar types that a hint is, or is a union of."""
    is_union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    return SCALARS & frozenset(typing.get_args(hint) if is_union else [hint])


def from_json(kind: type[T], value: object, place: str = "") -> T:
    """Build the dataclass `kind` from a decoded JSON object; keys it doesn't declare are ignored.

    Raises SchemaError, naming the place, for a missing field or a value of another type.
    """
    if not isinstance(value, Mapping):
        raise SchemaError(f"{place or 'the document'} should be an object, not {_noun(value)}")
    arguments: dict[str, Any] = {}
    for field in _fields(typing.cast("Any", kind)):
        if field.name in value:
            inner = value[field.name]
            if type(inner) not in field.as_it_is:
                inner = fit(field.hint, inner, f"{place}.{field.name}" if place else field.name)
            arguments[field.name] = inner
        elif field.is_needed:
            raise SchemaError(f"{place}.{field.name} is missing" if place else f"{field.name} is missing")
    return kind(**arguments)


def require_known(kind: type, value: object, place: str) -> None:
    """Refuse keys that the dataclass `kind`, or a dataclass in it, does not declare; raises SchemaError."""
    types_of = hints(kind)
    for name, inner in value.items() if isinstance(value, Mapping) else ():
        if name not in types_of:
            raise SchemaError(f"{place}.{name} is something that this version does not know")
        for hint in (types_of[name], *typing.get_args(types_of[name])):
            if isinstance(hint, type) and dataclasses.is_dataclass(hint):
                require_known(hint, inner, f"{place}.{name}")


def fit(hint: Any, value: object, place: str) -> Any:
    """Return `value` as the type `hint` (scalars, tuples, mappings, unions, dataclasses)."""
    if type(value) in _scalars(hint):
        return value
    if dataclasses.is_dataclass(hint):
        return from_json(typing.cast("type[Any]", hint), value, place)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is object or hint is Any:
        return value
    if origin in (types.UnionType, typing.Union):
        rest = [one for one in arguments if one is not types.NoneType]
        if value is not None and len(rest) == 1 and dataclasses.is_dataclass(rest[0]):
            return fit(rest[0], value, place)  # whose complaint names the place in it
        for one in arguments:
            try:
                return fit(one, value, place)
            except SchemaError:
                continue
    elif origin is typing.Literal:
        if value in arguments:
            return value
    elif origin is list and isinstance(value, list):
        return [fit(arguments[0], item, f"{place}[{i}]") for i, item in enumerate(value)]
    elif origin is tuple and isinstance(value, list | tuple):
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) == len(value):
            return tuple(
                fit(one, item, f"{place}[{i}]") for i, (one, item) in enumerate(zip(kinds, value, strict=True))
            )
    elif isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, Mapping):
        return {str(key): fit(arguments[1], item, f"{place}.{key}") for key, item in value.items()}
    elif hint is types.NoneType:
        if value is None:
            return None
    elif hint is float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            with contextlib.suppress(OverflowError):  # of a whole number with hundreds of digits
                return float(value)
    elif hint is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, float) and value.is_integer():
            return int(value)
    elif isinstance(hint, type) and isinstance(value, hint):
        return value
    raise SchemaError(f"{place} should be {describe(hint)}, not {_noun(value)}")


def parse(hint: Any, text: str, place: str) -> Any:
    """Read `text`, as typed on a command line, as a value of the type `hint`.

    JSON where it is JSON (`0.05`, `true`, `null`, `[100, 150]`), a bare list for a tuple
    (`100,150`), plain text otherwise. Raises SchemaError.
    """
    for candidate in (text, f"[{text}]"):
        try:
            return fit(hint, json.loads(candidate), place)
        except (ValueError, RecursionError):  # no JSON, or too deep, or of thousands of digits; SchemaError is one
            continue
    try:
        return fit(hint, text, place)
    except SchemaError:
        raise SchemaError(f"{place} should be {describe(hint)}, not {text!r}") from None


def describe(hint: Any) -> str:
    """Name a type as a person would."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(describe(one) for one in arguments)
    if origin is typing.Literal:
        return "one of " + ", ".join(str(one) for one in arguments)
    if origin is tuple:
        return f"a list of {describe(arguments[0])}s"
    names = {int: "whole number", float: "number", str: "text", bool: "true or false", types.NoneType: "null"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def _noun(value: object) -> str:
    return "an object" if isinstance(value, Mapping) else f"{value!r}"
