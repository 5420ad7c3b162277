"""Decode JSON and text as typed values with msgspec, which checks the bounds that the types declare.

A SchemaError names the field in one line: "results.test_top1 should be at most 100".
"""

from __future__ import annotations

import json
import re
import types
import typing
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

T = TypeVar("T")

_PART: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}"  # of a path: not hidden, and not the parent folder
NAME: Final = r"\A[a-z0-9]+(?:[._-][a-z0-9]+)*\Z"
LINE: Final = r"\A[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*\Z"
SHA256: Final = r"\A[0-9a-f]{64}\Z"
SHA256_OR_EMPTY: Final = r"\A(?:[0-9a-f]{64})?\Z"
SHA256_OR_DIGITS: Final = r"\A(?:[0-9a-f]{8}|[0-9a-f]{64})\Z"
FILE_NAME: Final = rf"\A{_PART}\Z"
FILE_PATH: Final = rf"\A{_PART}(?:/{_PART}){{0,3}}\Z"
ADDRESS: Final = r"\A(?:https?|hf)://[^\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff]+\Z"

# The patterns in words, for errors.
EXPECTED: Final = {
    NAME: "a name of a-z, 0-9, '.', '_' and '-'",
    LINE: "one line without control characters",
    SHA256: "64 hex digits",
    SHA256_OR_EMPTY: "64 hex digits, or empty",
    SHA256_OR_DIGITS: "64 hex digits, or the first 8",
    FILE_NAME: "the name of a file",
    FILE_PATH: "a path inside the folder",
    ADDRESS: "an address that begins with https:// or hf://",
}

Name = Annotated[str, Meta(pattern=NAME, max_length=200)]
Line = Annotated[str, Meta(pattern=LINE, max_length=2_000)]
Sha256 = Annotated[str, Meta(pattern=SHA256)]
Sha256OrEmpty = Annotated[str, Meta(pattern=SHA256_OR_EMPTY)]
Sha256OrDigits = Annotated[str, Meta(pattern=SHA256_OR_DIGITS)]
FileName = Annotated[str, Meta(pattern=FILE_NAME)]
FilePath = Annotated[str, Meta(pattern=FILE_PATH)]
Address = Annotated[str, Meta(pattern=ADDRESS, max_length=2_000)]
Count = Annotated[int, Meta(ge=0, lt=2**40)]
Positive = Annotated[int, Meta(ge=1, lt=2**40)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Distance = Annotated[float, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]

_NOUNS: Final = {
    "int": "an integer", "float": "a number", "str": "text", "bool": "true or false", "null": "null",
    "array": "a list", "object": "an object",
}  # fmt: skip
_BOUNDS: Final = {">=": "at least", ">": "above", "<=": "at most", "<": "below"}
_LENGTHS: Final = {">=": "at least ", "<=": "at most ", "": ""}
_UNITS: Final = {"str": "characters", "array": "entries", "object": "entries"}


class SchemaError(ValueError):
    """A value that does not fit the declared type; the message names the field.

    Examples:
        >>> from zoo.plugin import SchemaError, from_json
        >>> try:
        ...     from_json(int, "three")
        ... except SchemaError as error:
        ...     print(error)
        it should be an integer, not text
    """


def decode(kind: type[T], content: bytes) -> T:
    """Decode a JSON document.

    Args:
        kind: The type.
        content: The document.

    Returns:
        A value of the type.

    Raises:
        SchemaError: The content is not JSON, or does not fit the type.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise SchemaError(explain(error)) from None


def from_json(kind: type[T], value: object) -> T:
    """Convert a decoded JSON value.

    Args:
        kind: The type: a dataclass, a msgspec struct or a type of JSON.
        value: The value, of lists, dicts, text, numbers and None.

    Returns:
        A value of the type.

    Raises:
        SchemaError: The value does not fit the type.

    Examples:
        >>> from dataclasses import dataclass
        >>> from zoo.plugin import from_json
        >>> @dataclass
        ... class Config:
        ...     input_size: tuple[int, int, int]
        >>> from_json(Config, {"input_size": [3, 32, 32]})
        Config(input_size=(3, 32, 32))
    """
    try:
        return msgspec.convert(value, kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise SchemaError(explain(error)) from None


def as_text(value: object) -> str:
    """Write a value as `parse` reads it: text unchanged, other values as JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def parse(kind: Any, text: str) -> Any:
    """Parse a value from the command line: JSON (`0.05`, `null`, `[100,150]`), a list (`100,150`), or plain text.

    Args:
        kind: The type of the value.
        text: The text.

    Returns:
        A value of the type.

    Raises:
        SchemaError: The text does not fit the type.
    """
    for candidate in (text, f"[{text}]"):
        try:
            return msgspec.json.decode(candidate.encode(errors="surrogatepass"), type=kind)
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            continue
    try:
        return msgspec.convert(text, kind)
    except (msgspec.MsgspecError, UnicodeError):
        raise SchemaError(f"should be {describe(kind)}, not {text!r}") from None


def describe(kind: Any) -> str:
    """Return a type in words."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return describe(arguments[0])
    if origin in (types.UnionType, typing.Union):
        return " or ".join(describe(argument) for argument in arguments)
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin is tuple:
        return "a list of numbers" if arguments[0] in (int, float) else "a list"
    return _NOUNS["null" if kind is types.NoneType else kind.__name__]


def explain(error: Exception) -> str:
    """Return the message of msgspec's error in plain words and one line, with the name of the field."""
    message, _, path = str(error).partition(" - at ")
    field = "".join(re.findall(r"`\$(.*?)`", path)).removeprefix(".")
    field = f"a name in {field}" if path.startswith("`key`") else field
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, msgspec.ValidationError):
        return _explained(message, field)
    reason = "it ends too early" if "truncated" in message else message.removeprefix("JSON is malformed: ")
    return f"it is not JSON ({reason})"


def _explained(message: str, field: str) -> str:
    subject = field or "it"
    if match := re.fullmatch(r"Expected `\w+` (>=|>|<=|<) (\S+)", message):
        return f"{subject} should be {_BOUNDS[match[1]]} {float(match[2]):,.10g}"
    if match := re.fullmatch(r"Expected `(\w+)` of length (?:(>=|<=) )?(\d+)(?:, got \d+)?", message):
        return f"{subject} should have {_LENGTHS[match[2] or '']}{int(match[3]):,} {_UNITS[match[1]]}"
    if match := re.fullmatch(r"Expected `str` matching regex (.+)", message, flags=re.DOTALL):
        own = f"text that matches {match[1]}"  # a pattern of a plugin
        expected = next((words for pattern, words in EXPECTED.items() if repr(pattern) == match[1]), own)
        return f"{subject} should be {expected}"
    if match := re.fullmatch(r"Expected `([^`]+)`(?:, got `([^`]+)`)?", message):
        expected, got = (
            " or ".join(_NOUNS.get(kind, kind) for kind in (part or "").split(" | ")) for part in match.groups()
        )
        return f"{subject} should be {expected}{f', not {got}' if got else ''}"
    if match := re.fullmatch(r"Object missing required field `(.+)`", message):
        return f"{'.'.join(filter(None, (field, match[1])))} is missing"
    if match := re.fullmatch(r"Object contains unknown field `(.+)`", message, flags=re.DOTALL):
        return f"{'.'.join(filter(None, (field, match[1])))} is an unknown field"
    if match := re.fullmatch(r"Invalid (?:enum )?value (.+)", message, flags=re.DOTALL):
        return f"{subject} can't be {match[1]}"
    if "out of range" in message:
        return f"{subject} is a number out of range"
    return f"{field}: {message}" if field else message  # a rule across fields
