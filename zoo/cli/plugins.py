"""`zoo plugins` and `zoo new plugin`: the plugins that are installed, and the files of a new one."""

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


class Kind(StrEnum):
    """The templates that `zoo new` can write."""

    PLUGIN = "plugin"


def new(
    kind: Annotated[Kind, typer.Argument(metavar="plugin", help="What to write: a plugin.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The architecture's name, as in tiny.")],
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="NAME",
            help="The data set: one of the zoo's, or a new one, read from a folder of pictures. [default: digits]",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="The folder to make. [default: zoo-NAME]")
    ] = None,
) -> None:
    """Write a plugin to begin with: an architecture, tests, README and CI; with --dataset a data set too."""
    folder = templates.new_plugin(name, dataset=dataset, out=out)
    data, option = ("python sample.py data && ", " --data data") if (folder / "sample.py").exists() else ("", "")
    say(
        f"written to {folder}; next: cd {folder} && pip install -e '.[test]' && python -m pytest && "
        f"{data}zoo train {name}{option}"
    )
