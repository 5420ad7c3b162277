"""`zoo plot`: plot the curves of runs."""

from pathlib import Path
from typing import Annotated

import typer

from zoo import api
from zoo.cli import options
from zoo.cli.printing import say


def plot(
    runs: Annotated[
        list[str],
        options.model_argument(
            "Paths of model folders and unfinished runs (./NAME), names, or addresses in a hub.", "RUN..."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write: .svg, .png or .pdf.")] = Path(
        "plot.svg"
    ),
) -> None:
    """Plot loss, top-1 and learning rate of one or several runs."""
    say(f"written to {api.plot(runs, out)}")
