"""`zoo page`: write a static site of a hub's models."""

from pathlib import Path
from typing import Annotated

import typer

from zoo import api
from zoo.cli import options
from zoo.cli.printing import say


def page(
    hub: options.Hub = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="The folder to write to; an existing site is replaced.")
    ] = Path("site"),
    runtime: Annotated[
        Path | None,
        typer.Option(
            "--try",
            metavar="FOLDER",
            help="An unpacked npm package onnxruntime-web, to try models with an ONNX file in the browser.",
        ),
    ] = None,
    push: Annotated[
        str | None,
        typer.Option("--push", metavar="ADDRESS", help="Publish the site to this Space, hf://NAMESPACE/SPACE."),
    ] = None,
) -> None:
    """Write a static site of a hub's models.

    It has a table, plots of accuracy, and a page for each model. The site works from a local file or any host, and
    loads nothing from other hosts. With --try, visitors can try each model that has an ONNX file (zoo export) on an
    image in their browser.
    """
    site = api.page(out, hub=hub, runtime=runtime, push=push)
    models = "1 model" if site.models == 1 else f"{site.models:,} models"
    say(f"{models} in {site.folder}, {site.tried} of them to try in the browser; open {site.index}")
    if site.space:
        say(f"published to {site.space}")
