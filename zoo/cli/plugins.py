"""`zoo plugins` and `zoo new plugin`: list plugins, and create one."""

import dataclasses
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from zoo import plugins, templates
from zoo.cli import options
from zoo.cli.printing import print_json, print_table, say
from zoo.plain import complain


def list_plugins(as_json: options.Json = False) -> None:
    """List the installed plugins: models, import times and errors.

    The exit code is 1 if a plugin fails. ZOO_DISABLE_PLUGINS=NAME,NAME disables plugins.
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


class Kind(StrEnum):
    """The templates of `zoo new`."""

    PLUGIN = "plugin"


def new(
    kind: Annotated[Kind, typer.Argument(metavar="plugin", help="The template: plugin.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The architecture's name: tiny.")],
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="NAME",
            help="One of the zoo's datasets, or a new one for a folder of images. [default: digits]",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="The folder to create. [default: zoo-NAME]")
    ] = None,
) -> None:
    """Create a plugin with an architecture, tests, README and CI.

    With --dataset, the plugin also has a dataset.
    """
    folder = templates.new_plugin(name, dataset=dataset, out=out)
    data, option = ("python sample.py data && ", " --data data") if (folder / "sample.py").exists() else ("", "")
    say(
        f"written to {folder}; next: cd {folder} && pip install -e '.[test]' && python -m pytest && "
        f"{data}zoo train {name}{option}"
    )
