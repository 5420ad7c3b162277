"""`zoo push`, `zoo pull`: model folders to a hub and back."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from zoo import api
from zoo.cli import completion, options
from zoo.cli.printing import say, say_published
from zoo.hub.imported import Credit
from zoo.record.types import Claim


def push(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A model folder, as zoo train leaves it.")],
    hub: options.PushHub = None,
    license: Annotated[  # noqa: A002 - the Hub's word for it
        str | None, typer.Option("--license", metavar="ID", help="Of the weights: written into the folder first.")
    ] = None,
) -> None:
    """Publish a model folder to a hub, under its model's name."""
    say_published(api.push(folder, hub=hub, license=license))


def import_model(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="Whose net they are for: resnet56_cifar10.", autocompletion=completion.models
        ),
    ],
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A path, https://…, or hf://namespace/repository/path@REVISION.")
    ],
    by: Annotated[str, typer.Option("--by", metavar="AUTHOR", help="Who trained them.")],
    license: Annotated[  # noqa: A002 - the Hub's word for it
        str, typer.Option("--license", metavar="LICENSE", help="What they are published under: bsd-2-clause, unknown.")
    ],
    tag: Annotated[
        str | None, typer.Option("--tag", metavar="TAG", help="For the name MODEL.TAG. [default: the author's name]")
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            "--mean", metavar="NUMBER,…", help="They were trained with: 0.5,0.5,0.5. [default: the data set's]"
        ),
    ] = None,
    std: Annotated[
        str | None, typer.Option("--std", metavar="NUMBER,…", help="The same. [default: the data set's]")
    ] = None,
    sha256: Annotated[str | None, typer.Option("--sha256", metavar="HASH", help="The file must have it.")] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(
            "--rename",
            metavar="PATTERN=REPLACEMENT",
            help="Rename its tensors first, as re.sub does: '^linear=fc'; may be repeated.",
        ),
    ] = None,
    at: Annotated[str, typer.Option("--at", metavar="ADDRESS", help="Where a file given by path is published.")] = "",
    revision: Annotated[
        str, typer.Option("--revision", metavar="ID", help="Of the repository that it is published in.")
    ] = "",
    citation: Annotated[
        str, typer.Option("--citation", metavar="TEXT", help="How their author wants to be cited.")
    ] = "",
    claim: Annotated[
        float | None, typer.Option("--claim", metavar="TOP-1", help="Percent, that their author says they score.")
    ] = None,
    claim_means: Annotated[
        str, typer.Option("--claim-means", metavar="TEXT", help="What that is: 'best over test epochs'.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Where to. [default: ./MODEL.TAG]")
    ] = None,
    device: options.AnyDevice = None,
    data: options.Data = None,
    push: options.Push = False,
    hub: options.PushHub = None,
) -> None:
    """Take in weights that somebody else published: fetched, hashed, fitted to a net, measured, as a model folder."""
    if hub is not None and not push:
        raise typer.BadParameter("is for publishing: add --push, or leave it out", param_hint="--hub")
    credit = Credit(
        by=by,
        license=license,
        address=at,
        revision=revision,
        citation=citation,
        claim=None if claim is None else Claim(claim, claim_means),
    )
    folder, config = api.import_model(
        model, source, credit, tag=tag, mean=_numbers("--mean", mean), std=_numbers("--std", std), sha256=sha256,
        rename=_rules(rename or ()), out=out, device=device, data=data,
    )  # fmt: skip
    scores = "not measured here"
    if (results := config.results) is not None:
        scores = f"top-1 {results.test_top1:.2f}%, top-5 {results.test_top5:.2f}%"
    say(f"{config.name}: {scores}; the model folder is {folder}")
    if push:
        say_published(api.push(folder, hub=hub))


def _rules(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Pattern and replacement of each; a pattern may have `=` in it, the name of a tensor has none."""
    if without := next((text for text in texts if "=" not in text), None):
        raise typer.BadParameter(f"{without!r} should be PATTERN=REPLACEMENT", param_hint="--rename")
    return [(pattern, replacement) for pattern, _, replacement in (text.rpartition("=") for text in texts)]


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    try:
        return None if text is None else tuple(float(one) for one in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} should be numbers with commas between them", param_hint=option) from None


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
    """Fetch a published model folder, every file, hashes checked.

    Weights that are not in the hub are fetched from the address in the record, if ZOO_TRUST lists it.
    """
    say(f"pulled into {api.pull(name, hub=hub, revision=revision, out=out)}")
