"""`zoo push`, `zoo pull`: model folders to a hub and back."""

from pathlib import Path
from typing import Annotated

import typer

from zoo import api
from zoo.cli import completion, options
from zoo.cli.printing import say


def push(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A model folder, as zoo train leaves it.")],
    hub: options.PushHub = None,
    weights_at: Annotated[
        str | None,
        typer.Option(
            "--weights-at", metavar="HUB", help="Publish the weights there, and pin them in --hub, which is a folder."
        ),
    ] = None,
) -> None:
    """Publish a model folder to a hub, under its model's name."""
    published = api.push(folder, hub=hub, weights_at=weights_at)
    say(f"published as {published.address} at revision {published.revision[:12]}")


def convert(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Model folders, also of a hub's.")],
) -> None:
    """Write model folders of an earlier format anew in today's; their weights stay the same bytes."""
    for folder in folders:
        config = api.convert(folder)
        say(f"{folder}: {config.name}, format {config.format}")


def pull(
    name: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A model's name, or hf://namespace/name.", autocompletion=completion.models
        ),
    ],
    hub: options.Hub = None,
    revision: options.Revision = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FOLDER", help="Where to. [default: ./MODEL]")] = None,
) -> None:
    """Fetch a published model folder, whole and hash checked.

    Weights that it leaves in another hub are fetched where ZOO_TRUST lists that one.
    """
    say(f"pulled into {api.pull(name, hub=hub, revision=revision, out=out)}")
