"""Options and arguments of several commands, and options from the fields of a dataclass."""

import dataclasses
import functools
import inspect
import re
import typing
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from zoo.cli import completion
from zoo.training.options import TrainOptions

# Models and hubs.


def model_argument(help: str, metavar: str = "MODEL") -> Any:  # noqa: A002 - typer's word
    """Return an argument that is completed with the names of models."""
    return typer.Argument(metavar=metavar, help=help, autocompletion=completion.models)


ModelName = Annotated[str, model_argument("A model's name, a model folder's path (./NAME), or hf://namespace/name.")]
PublishedName = Annotated[str, model_argument("A model's name, or hf://namespace/name.")]
HUB_HELP = "A hub: file:PATH for a folder, hf://NAMESPACE for the Hugging Face Hub."
Hub = Annotated[
    str | None, typer.Option("--hub", metavar="HUB", help=HUB_HELP + " [default: ZOO_HUB, then the catalogue]")
]
PushHub = Annotated[
    str | None,
    typer.Option("--hub", metavar="HUB", help=HUB_HELP + " [default: ZOO_HUB, else the account that is logged in]"),
]
Revision = Annotated[
    str | None, typer.Option("--revision", metavar="ID", help="A revision of the model: a commit, tag or branch.")
]

Runtime = Annotated[
    str | None,
    typer.Option("--with", metavar="FORMAT", help="Run the exported file of this format (zoo export)."),
]

SameImages = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="ADDRESS",
        help="The images that the model was trained on: folder:flowers; for imported weights, a dataset's name.",
    ),
]

# Options from the fields of a dataclass, which the library's functions have too.

COMPLETIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "recipe": completion.recipes,
    "dataset": completion.datasets_and_kinds,
    "start": completion.models,
    "settings": completion.settings,
    "device": completion.devices,
    "track": completion.trackers,
}


def declared(field: dataclasses.Field[Any]) -> Any:
    """Return the option of a field of a dataclass of options."""
    flag = field.metadata["flag"]
    return typer.Option(
        flag.name or f"--{field.name.replace('_', '-')}",
        metavar=flag.metavar,
        help=flag.help,
        autocompletion=COMPLETIONS.get(field.name),
    )


def of_training(name: str) -> Any:
    """Return the option of a field of `TrainOptions`."""
    return declared(TrainOptions.__dataclass_fields__[name])


TestPart = Annotated[float | None, of_training("test_part")]
SkipBad = Annotated[bool, of_training("skip_bad")]
AnyDevice = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="A device of torch: cpu, cuda, cuda:N, mps, xpu. [default: a GPU if there is one]",
        autocompletion=completion.devices,
    ),
]
Data = Annotated[Path | None, of_training("data")]
Push = Annotated[bool, of_training("push")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the result and errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def settings_of(pairs: list[str] | None) -> dict[str, str]:
    """Return fields and values of `--set FIELD=VALUE`."""
    for pair in pairs or []:
        if "=" not in pair:
            raise typer.BadParameter(f"{pair!r} should be FIELD=VALUE, such as lr=0.05", param_hint="--set")
    return dict(pair.split("=", 1) for pair in pairs or [])


def rules_of(texts: list[str] | None) -> list[tuple[str, str]]:
    """Return patterns and replacements of `--rename`; a pattern may contain `=`, a tensor's name never does."""
    for text in texts or []:
        if "=" not in text:
            raise typer.BadParameter(f"{text!r} should be PATTERN=REPLACEMENT", param_hint="--rename")
    return [(pattern, replacement) for pattern, _, replacement in (text.rpartition("=") for text in texts or [])]


def count_of(text: str) -> int:
    """Return the number of `--max-parameters`: 1000000, 270k or 1.5M."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmg]?)", text.replace(",", "").lower(), re.ASCII)
    if match is None:
        raise typer.BadParameter(f"{text!r} should be a number of parameters, such as 270k, 1M or 1000000")
    return round(float(match[1]) * {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}[match[2]])


def numbers_of(text: str | None) -> tuple[float, ...] | None:
    """Return the numbers of `--mean` and `--std`."""
    try:
        return None if text is None else tuple(map(float, text.split(",")))
    except ValueError:
        hint = "--mean or --std"
        raise typer.BadParameter(f"{text!r} should be numbers separated by commas", param_hint=hint) from None


# The types of options that typer can't use as declared, and functions that convert their values.
TYPES: Final[Mapping[str, Any]] = {
    "start": str | None,
    "data": Path | None,
    "out": Path | None,
    "settings": list[str] | None,
    "track": list[str] | None,
    "rename": list[str] | None,
    "mean": str | None,
    "std": str | None,
}
READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "settings": settings_of,
    "rename": rules_of,
    "mean": numbers_of,
    "std": numbers_of,
}


def with_options(
    options: type[Any], *, only: Collection[str] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace a command's parameter `given` by an option for each field of a dataclass.

    Args:
        options: The dataclass of options.
        only: The names of the fields to add; all by default.

    Returns:
        A decorator. `given` gets the values by the names of the fields.
    """
    types = {**typing.get_type_hints(options), **TYPES}
    fields = [field for field in dataclasses.fields(options) if "flag" in field.metadata]
    fields = [field for field in fields if only is None or field.name in only]
    added = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None if field.name in TYPES else _default(field),
            annotation=Annotated[types[field.name], declared(field)],
        )
        for field in fields
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def called(**values: Any) -> None:
            given = {field.name: values.pop(field.name) for field in fields}
            given |= {name: READERS[name](value) for name, value in given.items() if name in READERS}
            command(given=given, **values)

        signature = inspect.signature(command, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
            parameters += added if parameter.name == "given" else own
        called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return called

    return decorate


def _default(field: dataclasses.Field[Any]) -> Any:
    return inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
