"""A griffe extension: a function that takes a dataclass of options is shown with the fields as its arguments."""

from __future__ import annotations

import inspect
from typing import Any

import griffe

from zoo import api


class Signatures(griffe.Extension):  # type: ignore[misc]
    """Copies the signatures that the decorator `zoo.options.takes` makes when a module is imported."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Replace the parameters in the source by those at run time."""
        if any(decorator.callable_path == "zoo.options.takes" for decorator in func.decorators):
            parameters = inspect.signature(getattr(api, func.name)).parameters.values()
            func.parameters = griffe.Parameters(*map(_converted, parameters))


def _converted(parameter: inspect.Parameter) -> griffe.Parameter:
    default = None if parameter.default is parameter.empty else repr(parameter.default)
    kind = griffe.ParameterKind(parameter.kind.description)
    return griffe.Parameter(parameter.name, annotation=parameter.annotation, kind=kind, default=default)
