"""The options and arguments that several commands take, and the long list of a training's, each declared once."""

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from zoo.cli import completion
from zoo.training.options import TrainOptions

# Which model, and where it is.

ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A model's name, a model folder's path (./NAME), or hf://namespace/name.",
        autocompletion=completion.models,
    ),
]
HUB_HELP = "Which hub: file:PATH for a folder, hf://NAMESPACE for the Hugging Face Hub."
Hub = Annotated[
    str | None, typer.Option("--hub", metavar="HUB", help=HUB_HELP + " [default: ZOO_HUB, then the catalogue]")
]
PushHub = Annotated[
    str | None,
    typer.Option("--hub", metavar="HUB", help=HUB_HELP + " [default: ZOO_HUB, else the account logged in]"),
]
Revision = Annotated[
    str | None, typer.Option("--revision", metavar="ID", help="A revision of the model: a commit, tag or branch.")
]

Runtime = Annotated[
    str | None,
    typer.Option("--with", metavar="FORMAT", help="Run the folder's file in this format (zoo export) in its runtime."),
]

SamePictures = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="ADDRESS",
        help="Where the pictures are that it was trained on, as in folder:flowers; of weights from elsewhere its name.",
    ),
]

# Options of a training. `zoo train` has all of them, from `TrainOptions`; other commands have some.

COMPLETIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "recipe": completion.recipes,
    "dataset": completion.datasets_and_kinds,
    "start": completion.models,
    "settings": completion.settings,
    "device": completion.devices,
    "track": completion.trackers,
}
FLAGS: Final = {one.name: one.metadata["flag"] for one in dataclasses.fields(TrainOptions) if "flag" in one.metadata}


def of_training(name: str) -> Any:
    """The option of a field of `TrainOptions`."""
    flag = FLAGS[name]
    return typer.Option(
        flag.name or f"--{name.replace('_', '-')}",
        metavar=flag.metavar,
        help=flag.help,
        autocompletion=COMPLETIONS.get(name),
    )


Recipe = Annotated[str | None, of_training("recipe")]
TestPart = Annotated[float | None, of_training("test_part")]
SkipBad = Annotated[bool, of_training("skip_bad")]
Settings = Annotated[list[str] | None, of_training("settings")]
Epochs = Annotated[int | None, of_training("epochs")]
Seed = Annotated[int, of_training("seed")]
Device = Annotated[str | None, of_training("device")]
AnyDevice = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="Any device that torch has here: cpu, cuda, cuda:N, mps, xpu. [default: a GPU if there is one]",
        autocompletion=completion.devices,
    ),
]
Amp = Annotated[bool | None, of_training("amp")]
Data = Annotated[Path | None, of_training("data")]
LimitTrain = Annotated[int | None, of_training("limit_train")]
Overwrite = Annotated[bool, of_training("overwrite")]
Push = Annotated[bool, of_training("push")]
Track = Annotated[list[str] | None, of_training("track")]


def with_training_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each field of `TrainOptions`, in place of its parameter `given`, a dictionary."""
    words = list[str] | None  # an option that may be repeated
    types = (
        typing.get_type_hints(TrainOptions)
        | {"start": str | None, "settings": words, "track": words}
        | dict.fromkeys(("data", "out"), Path | None)
    )
    fields = [one for one in dataclasses.fields(TrainOptions) if one.name in FLAGS]

    @functools.wraps(command)
    def called(**values: Any) -> None:
        given = {one.name: values.pop(one.name) for one in fields}
        given["settings"] = settings_of(given["settings"])
        command(given=given, **values)

    signature = inspect.signature(command, eval_str=True)
    parameters = [
        inspect.Parameter(
            one.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=one.default,
            annotation=Annotated[types[one.name], of_training(one.name)],
        )
        for one in fields
    ]
    own = [one.replace(kind=one.KEYWORD_ONLY) for name, one in signature.parameters.items() if name != "given"]
    called.__signature__ = signature.replace(parameters=[*own[:1], *parameters, *own[1:]])  # type: ignore[attr-defined]
    return called


def settings_of(pairs: list[str] | None) -> dict[str, str]:
    """What `--set FIELD=VALUE` said, as often as it was given."""
    for pair in pairs or []:
        if "=" not in pair:
            raise typer.BadParameter(f"{pair!r} should be FIELD=VALUE, as in lr=0.05", param_hint="--set")
    return dict(pair.split("=", 1) for pair in pairs or [])


Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the end and errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
