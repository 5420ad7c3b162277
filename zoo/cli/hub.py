"""`zoo push`, `zoo import`, `zoo pull`, `zoo revisions`, `zoo diff`: publish, download and compare models."""

import dataclasses
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo import api
from zoo.cli import options
from zoo.cli.printing import print_json, print_table, say, say_published
from zoo.hub.address import Name, parse
from zoo.training.importing import ImportOptions


def push(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A model folder, as zoo train writes it.")],
    hub: options.PushHub = None,
    license: Annotated[  # noqa: A002 - the usual word
        str | None,
        typer.Option(
            "--license",
            metavar="ID",
            help="License to write into the record: a Hugging Face license id, such as mit.",
        ),
    ] = None,
) -> None:
    """Publish a model folder to a hub, under its model's name."""
    say_published(api.push(folder, hub=hub, license=license))


@options.with_options(ImportOptions)
def import_model(
    model: Annotated[str, options.model_argument("The model that the weights belong to: resnet56_cifar10.")],
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A path, https://…, or hf://namespace/repository/path@REVISION.")
    ],
    given: dict[str, Any],
    push: options.Push = False,
    hub: options.PushHub = None,
) -> None:
    """Import and evaluate weights of another author.

    The weights are downloaded, checked, evaluated, and written to a model folder.
    """
    if hub is not None and not push:
        raise typer.BadParameter("is the hub to publish to; add --push, or leave it out", param_hint="--hub")
    folder, config = api.import_model(model, source, **given)
    scores = "not measured here"
    if (results := config.results) is not None:
        scores = f"top-1 {results.test_top1:.2f}%, top-5 {results.test_top5:.2f}%"
    say(f"{config.name}: {scores}; the model folder is {folder}")
    if push:
        say_published(api.push(folder, hub=hub))


def pull(
    name: options.PublishedName,
    hub: options.Hub = None,
    revision: options.Revision = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="The folder to create. [default: ./MODEL]")
    ] = None,
) -> None:
    """Download a published model with all its files.

    The hash of each file is checked. Weights that the hub does not store are downloaded from the URL in the record, if
    ZOO_TRUST lists it.
    """
    folder = api.pull(name, hub=hub, revision=revision, out=out)
    path = f"./{folder}" if isinstance(parse(str(folder)), Name) else str(folder)
    say(f"downloaded to {folder}\nuse it: zoo eval {shlex.quote(path)}, or zoo.load({path!r}, pretrained=True)")


def revisions(
    name: options.PublishedName,
    hub: options.Hub = None,
    as_json: options.Json = False,
) -> None:
    """List the revisions of a published model, newest first.

    Prints the id, date, top-1 and license of each.
    """
    rows = api.revisions(name, hub=hub)
    if as_json:
        print_json([{**dataclasses.asdict(row), "date": row.date and row.date.isoformat()} for row in rows])
        return
    cells = [
        (
            row.id[:12],
            f"{row.date:%Y-%m-%d %H:%M}" if row.date else "–",
            "–" if row.top1 is None else f"{row.top1:.2f}%",
            row.license,
        )
        for row in rows
    ]
    print_table(("revision", "date", "top-1", "license"), cells, right=(2,))


def diff(
    a: options.ModelName,
    b: options.ModelName,
    as_json: options.Json = False,
) -> None:
    """Show the differences between two published models.

    Compares their records: recipe, results, classes, hashes. Compare two revisions by their addresses: zoo diff
    file:hub/resnet8_digits@ID file:hub/resnet8_digits.
    """
    differences = api.diff(a, b)
    if as_json:
        print_json({field: {"a": values[0], "b": values[1]} for field, values in differences.items()})
    elif not differences:
        say("the records are the same")
    else:
        cells = [
            (field, *("–" if value is None else str(value) for value in pair)) for field, pair in differences.items()
        ]
        print_table(("field", a, b), cells, right=())
