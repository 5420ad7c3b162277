"""Which formats there are: the zoo's own, and entry points of the group `zoo.exporters`, named as the format."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from importlib.metadata import version
from typing import Final

from zoo.errors import ExportError
from zoo.exporters.protocol import Exporter
from zoo.plugins import Group

EXPORTERS: Final = Group[Exporter](
    "zoo.exporters",
    "export format",
    "the zoo.plugin.Exporter of that name",
    lambda value, name: isinstance(value, Exporter) and value.format == name,
    own={
        "onnx": "zoo.exporters.onnx:ONNX",
        "int8": "zoo.exporters.onnx:INT8",
        "pt2": "zoo.exporters.pt2:PT2",
    },
    unknown=ExportError,
)


def formats() -> list[str]:
    """The names of all formats, the zoo's own first; imports none of them."""
    return EXPORTERS.names()


def exporter(name: str) -> Exporter:
    """The format of that name; raises ExportError where there is none, PluginError where a plugin's can't be used."""
    return EXPORTERS.load(name)


def require_installed(wanted: Iterable[str], what: str) -> None:
    """Refuse what takes modules that are not installed; raises ExportError, which says how to install them."""
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(f"{what} needs {' and '.join(missing)}: pip install 'residual-zoo[export]'")


def runtime(exporter: Exporter) -> str:
    """What runs its files, and the version: `onnxruntime 1.32.0`."""
    return f"{exporter.runtime} {version(exporter.runtime)}"
