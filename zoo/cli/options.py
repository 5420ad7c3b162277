"""The options and arguments that several commands take, each declared once."""

from pathlib import Path
from typing import Annotated

import typer

HUB_HELP = "Which hub: file:PATH for a folder, hf://NAMESPACE for the Hugging Face Hub."
HubOption = Annotated[
    str | None, typer.Option("--hub", metavar="HUB", help=HUB_HELP + " [default: the catalogue, then ZOO_HUB]")
]
PushHubOption = Annotated[
    str | None,
    typer.Option("--hub", metavar="HUB", help=HUB_HELP + " [default: ZOO_HUB, else the account logged in]"),
]
RevisionOption = Annotated[
    str | None,
    typer.Option("--revision", metavar="ID", help="A revision of the model: a commit, tag or branch."),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FOLDER",
        help="Where data sets are, or are downloaded to. [default: ZOO_DATA, else ~/.cache/zoo/data]",
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option("--device", metavar="NAME", help="cpu, cuda or cuda:N. [default: a GPU if there is one]"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RecipeOption = Annotated[
    str | None, typer.Option("--recipe", metavar="NAME", help="Which recipe. [default: the model's first]")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the recipe; may be repeated."),
]
EpochsOption = Annotated[int | None, typer.Option("--epochs", help="Train this long. [default: the recipe's]")]
SeedOption = Annotated[int, typer.Option("--seed", help="Of all that is random.")]
AmpOption = Annotated[
    bool | None,
    typer.Option("--amp/--no-amp", help="Train in bf16 autocast. [default: where the hardware has bf16]"),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option("--threads", metavar="N", help="Threads of the processor to compute with. [default: torch's]"),
]
LimitOption = Annotated[
    int | None, typer.Option("--limit-train", metavar="N", help="Train on the first N images only.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the end and errors.")]
ModelArgument = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A model's name, a model folder's path, or hf://namespace/name."),
]
