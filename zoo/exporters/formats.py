"""Which formats there are: the zoo's own, and entry points of the group `zoo.exporters`, named as the format.

A format's module is imported when it is asked for. No plugin can take the place of the zoo's own.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from importlib.metadata import EntryPoint, version
from typing import Final

from zoo import plugins
from zoo.errors import ExportError, PluginError
from zoo.exporters.protocol import Exporter
from zoo.registry import close_to

GROUP: Final = "zoo.exporters"
OWN: Final = {
    "onnx": "zoo.exporters.onnx:ONNX",
    "int8": "zoo.exporters.onnx:INT8",
    "pt2": "zoo.exporters.pt2:PT2",
}


def formats() -> list[str]:
    """The names of all formats, the zoo's own first; imports none of them."""
    return plugins.names(GROUP, OWN)


def exporter(name: str) -> Exporter:
    """The format of that name; raises ExportError where there is none, PluginError where a plugin's can't be used."""
    if name in OWN:
        own: Exporter = EntryPoint(name, OWN[name], GROUP).load()
        return own
    claim = plugins.only_claim(GROUP, name, "format")
    if claim is None:
        close = close_to(name, formats())
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(formats())}"
        raise ExportError(f"there is no format {name[:100]!r}; {hint}")
    found = plugins.imported(claim, f"format {name}")
    if not isinstance(found, Exporter) or found.format != name:
        raise PluginError(
            f"format {name}: {claim.value} of plugin {claim.distribution} is not the zoo.exporters.protocol.Exporter "
            f"of that name; mend its entry in [project.entry-points.{GROUP!r}]"
        )
    return found


def require_installed(wanted: Iterable[str], what: str) -> None:
    """Refuse what takes modules that are not installed; raises ExportError, which says how to install them."""
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(f"{what} needs {' and '.join(missing)}: pip install 'residual-zoo[export]'")


def runtime(exporter: Exporter) -> str:
    """What runs its files, and the version: `onnxruntime 1.32.0`."""
    return f"{exporter.runtime} {version(exporter.runtime)}"
