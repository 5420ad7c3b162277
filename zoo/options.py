"""Options declared once, as fields of a dataclass, for a Python function and a command. Imports no torch or typer."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")
Subject = TypeVar("Subject")
Options = TypeVar("Options")
Result = TypeVar("Result")

REQUIRED: Final[Any] = MISSING  # the default of an option without a default


@dataclass(frozen=True)
class Flag:
    """An option of the command line."""

    help: str
    metavar: str | None
    name: str | None  # None for `--` and the field's name with dashes


def option(default: T, help: str, metavar: str | None = None, *, flag: str | None = None) -> T:  # noqa: A002 - typer's word
    """Return a dataclass field that is also an option of the command line."""
    declared: Any = field(default=default, metadata={"flag": Flag(help, metavar, flag)})
    return declared  # type: ignore[no-any-return]


def takes(
    options: Callable[P, Options],
) -> Callable[[Callable[[Subject, Options], Result]], Callable[Concatenate[Subject, P], Result]]:
    """Make a function `(subject, options)` take the fields of the options as arguments.

    Args:
        options: The dataclass of options.

    Returns:
        A decorator. The signature of the decorated function has the fields in place of `options`.
    """

    def decorate(function: Callable[[Subject, Options], Result]) -> Callable[Concatenate[Subject, P], Result]:
        subject, *_ = inspect.signature(function).parameters.values()
        fields = inspect.signature(options).parameters.values()
        signature = inspect.signature(function).replace(parameters=[subject, *fields])

        @functools.wraps(function)
        def called(*args: Any, **keywords: Any) -> Result:
            given = signature.bind(*args, **keywords).arguments
            return function(given.pop(subject.name), options(**given))  # type: ignore[call-arg]

        called.__signature__ = signature  # type: ignore[attr-defined]
        return called

    return decorate
