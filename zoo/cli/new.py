"""`zoo new plugin`: write the files of a plugin to begin with."""

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
