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
        Path, typer.Option("--out", metavar="FOLDER", help="Where to write; an earlier site is replaced.")
    ] = Path("site"),
    runtime: Annotated[
        Path | None,
        typer.Option(
            "--try",
            metavar="FOLDER",
            help="An unpacked npm package onnxruntime-web: models with an ONNX file can be tried in the page.",
        ),
    ] = None,
    push: Annotated[
        str | None,
        typer.Option("--push", metavar="ADDRESS", help="Publish the site to this Space, hf://NAMESPACE/SPACE."),
    ] = None,
) -> None:
    """Write a static site of a hub's models: a table, pictures of accuracy, and a page for each.

    The site opens from a file or any host, and loads nothing from another one. With --try, each model that has an ONNX
    file (zoo export) can be tried on a picture, in the visitor's browser.
    """
    written = api.page(out, hub=hub, runtime=runtime, push=push)
    models = "1 model" if written.models == 1 else f"{written.models:,} models"
    say(f"{models} in {written.folder}, {written.tried} of them to be tried; open {written.index}")
    if written.space:
        say(f"published to {written.space}")
