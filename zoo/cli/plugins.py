"""`zoo plugins`: the plugins that are installed, their members, and their errors."""

import dataclasses

import typer

from zoo import plugins
from zoo.cli import options
from zoo.cli.printing import print_json, print_table
from zoo.plain import complain


def list_plugins(as_json: options.Json = False) -> None:
    """List the plugins: what each declares, the import time of its models, and errors.

    The exit code is 1 where one of them fails. ZOO_DISABLE_PLUGINS=NAME,NAME leaves some out.
    """
    installed = plugins.survey()
    if as_json:
        print_json([dataclasses.asdict(plugin) for plugin in installed])
    else:
        heading = ("plugin", "version", "models", "others", "import", "failed")
        cells = [
            (
                plugin.distribution,
                plugin.version,
                str(len(plugin.models)),
                ", ".join(plugin.others) or "–",
                f"{plugin.import_seconds * 1000:,.0f} ms",
                str(len(plugin.failed)) if plugin.failed else "–",
            )
            for plugin in installed
        ]
        print_table(heading, cells, right=(2, 4))
        for plugin in installed:
            for reason in plugin.failed:
                complain(reason)
    if any(plugin.failed for plugin in installed):
        raise typer.Exit(1)
