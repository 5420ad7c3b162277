"""`zoo new plugin`: the files of a plugin, to begin with."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from zoo import templates
from zoo.cli.printing import say


class Kind(StrEnum):
    """What can be written."""

    PLUGIN = "plugin"


def new(
    kind: Annotated[Kind, typer.Argument(metavar="plugin", help="What to write: a plugin.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The architecture's name, as in tiny.")],
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", metavar="NAME", help="With a data set of its own, read from a folder of pictures."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="The folder to make. [default: zoo-NAME]")
    ] = None,
) -> None:
    """Write a plugin to begin with: an architecture, tests, README and CI; with --dataset a data set too."""
    folder = templates.new_plugin(name, dataset=dataset, out=out)
    say(f"written to {folder}; next: cd {folder} && pip install -e . && make test && zoo train {name}")
