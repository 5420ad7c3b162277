"""The command line: the table of commands, and `main`, which runs a command.

The table has the name of each command and the first paragraph of its docstring. A command's file is imported only when
that command is called, so that start-up is fast.
"""

import errno
import functools
import gc
import importlib
import inspect
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from zoo.errors import (
    DataWarning,
    FolderError,
    HubWarning,
    Interrupted,
    NameWarning,
    PluginWarning,
    StartWarning,
    TrackerWarning,
    ZooError,
)
from zoo.plain import complain

# Name: the file and the function, and what `zoo --help` says of it: its docstring's first paragraph.
COMMANDS = {
    "list": (
        "models:list_models",
        "List the models: parameters, test accuracy, license, and where the weights are.",
    ),
    "plugins": (
        "plugins:list_plugins",
        "List the plugins: what each declares, the import time of its models, and errors.",
    ),
    "new": (
        "plugins:new",
        "Write a plugin to begin with: an architecture, tests, README and CI; with --dataset a data set too.",
    ),
    "search": (
        "models:search",
        "Search the whole Hugging Face Hub for models of the zoo, or one hub.",
    ),
    "info": (
        "models:info",
        "Show a model: what its recipes choose, its published results, its layers.",
    ),
    "data": (
        "data:data",
        "Look at pictures of your own: classes, counts, sizes, copies across the split, what can't be read and why.",
    ),
    "train": (
        "train:train",
        "Train a model with one of its recipes, evaluate it, write its model folder; publish it with --push.",
    ),
    "push": (
        "hub:push",
        "Publish a model folder to a hub, under its model's name.",
    ),
    "import": (
        "hub:import_model",
        "Take in weights that somebody else published: fetched, hashed, fitted to a net, measured, as a model folder.",
    ),
    "pull": (
        "hub:pull",
        "Fetch a published model folder, every file, hashes checked.",
    ),
    "revisions": (
        "hub:revisions",
        "List the revisions of a published model, the newest first: id, date, top-1, license.",
    ),
    "diff": (
        "hub:diff",
        "Compare the records of two published models: recipe, results, classes, hashes; only what differs.",
    ),
    "eval": (
        "evaluate:evaluate",
        "Run a model over the whole test set again, beside what its card says.",
    ),
    "verify": (
        "evaluate:verify",
        "Compare models with their records: hash, strict load, known answers, and the test set where the data is "
        "there.",
    ),
    "reproduce": (
        "train:reproduce",
        "Train a published model again with the recipe in its folder, and set the result beside its card's.",
    ),
    "predict": (
        "evaluate:predict",
        "Say what a published model sees in pictures: class names with probabilities.",
    ),
    "export": (
        "export:export",
        "Export a model to other formats, from pixels to probabilities, and compare each with the model.",
    ),
    "plot": (
        "plot:plot",
        "Draw loss, top-1 and learning rate against epoch, several runs over one another.",
    ),
    "page": (
        "page:page",
        "Write a static site of a hub's models: a table, pictures of accuracy, and a page for each.",
    ),
    "compare": (
        "train:compare",
        "Train several models the same way, and draw error against epoch, train dashed and test solid.",
    ),
}


Debug = Annotated[bool, typer.Option("--debug", help="Print the traceback of an error too, as ZOO_DEBUG=1 does.")]
UsageError: Any = typer.BadParameter.__base__  # the parser's errors; typer has no public name for them
UNWRITABLE = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO}  # errors of stdout


class Command(TyperCommand):
    """A command with stdout for its own output; plugins and libraries print to stderr while it runs."""

    def invoke(self, ctx: Any) -> Any:
        """Run it."""
        from zoo.cli.printing import answering

        with answering():
            return super().invoke(ctx)


class LazyGroup(TyperGroup):
    """A group that shows names and texts of its commands, and imports only the command that is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, (_, text) in COMMANDS.items():
            self.add_command(TyperCommand(name, help=text))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command that the first of `args` names, and import it; the rest of `args` is its own."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else load(name), rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an unhandled Ctrl-C ends it with one line."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("stopped by Ctrl-C", signal.SIGINT) from None


def load(name: str) -> Any:
    """The command of that name, with its options; imports its file."""
    file, _, function = COMMANDS[name][0].partition(":")
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name, cls=Command)(_with_debug(getattr(importlib.import_module(f"zoo.cli.{file}"), function)))
    return get_command(alone)


def _with_debug(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option --debug, which `_show_traceback` looks for."""

    @functools.wraps(command)
    def called(*, debug: bool, **values: Any) -> None:
        command(**values)

    signature = inspect.signature(command, eval_str=True)
    own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in signature.parameters.values()]
    debug = inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug)
    called.__signature__ = signature.replace(parameters=[*own, debug])  # type: ignore[attr-defined]
    return called


app = typer.Typer(
    name="zoo",
    cls=LazyGroup,
    help="A zoo of residual networks: train them, publish them, load them back.\n\n"
    "Start with: zoo list · zoo train resnet8_digits · zoo info resnet20",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(ctx: typer.Context, is_given: bool) -> None:
    if is_given and not ctx.resilient_parsing:
        from zoo.plugins import core_version

        print(f"zoo {core_version()}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Debug = False,
) -> None:
    """Options of the program; runs before its command."""
    gc.freeze()  # these objects stay to the end; collecting among them takes a fifth of the time of `zoo list`


def main() -> None:
    """Run the command line; a person's mistake is one line on stderr and a non-zero exit."""
    gc.set_threshold(100_000)  # start-up makes many objects that stay; collecting among them takes a tenth of it
    warnings.showwarning = _show_warning
    nowhere = Path(os.devnull)  # where a shell has closed one of them: `zoo list >&-`
    sys.stdout, sys.stderr = sys.stdout or nowhere.open("w"), sys.stderr or nowhere.open("w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a dash or a cross that its encoding has not is a question mark
            stream.reconfigure(errors="replace")
    try:
        _run()
    except ZooError as error:
        _show_traceback(error)
        complain(str(error))
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        _show_traceback(error)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still buffered goes nowhere when Python ends
        if isinstance(error, BrokenPipeError):  # the reader of a pipe went away: `zoo list | head`
            sys.exit(141)
        complain(f"the output can't be written ({error.strerror})")
        sys.exit(1)


def _run() -> None:
    try:
        Path.cwd()
    except FileNotFoundError:
        raise FolderError("the working directory was removed; change to another one") from None
    try:
        sys.exit(app(prog_name="zoo", standalone_mode=False) or 0)
    except UsageError as error:
        if not sys.argv[1:]:  # this error's message is the help
            error.show()
        else:
            complain(_misuse(error))
        sys.exit(error.exit_code)
    finally:
        sys.stdout.flush()


def _misuse(error: Any) -> str:
    """A line for what the parser refuses, with the command that explains the options."""
    message = error.format_message().replace("Value error, ", "")  # typer's, before the message of a choice
    program = error.ctx.command_path if error.ctx else "zoo"
    end = "" if message.endswith((".", "?")) else "."
    return f"{message[:1].lower()}{message[1:]}{end} See: {program} -h"


def _show_traceback(error: BaseException) -> None:
    """Print the traceback of an error, and of those that it was raised from, if --debug or ZOO_DEBUG asks for it."""
    if not os.environ.get("ZOO_DEBUG") and "--debug" not in sys.argv[1:]:
        return
    import traceback

    cause: BaseException | None = error
    while cause is not None:
        cause.__suppress_context__ = False  # also what was raised `from None`
        cause = cause.__context__
    traceback.print_exception(error)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    plainly = PluginWarning | HubWarning | NameWarning | DataWarning | TrackerWarning | StartWarning
    text = str(message) if issubclass(category, plainly) else f"{category.__name__}: {message}"
    complain(f"warning: {text}")
