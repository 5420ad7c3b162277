"""The table of commands, and `main`, which runs a command.

The table has the first paragraph of each command's docstring, so that `zoo --help` imports no command. The file of a
command is imported when the command is called.
"""

import errno
import gc
import importlib
import io
import os
import signal
import sys
import warnings
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

# By name: the file and function of a command, and the first paragraph of its docstring.
COMMANDS = {
    "list": ("models:list_models", "List models: parameters, accuracy, license and weights."),
    "plugins": ("plugins:list_plugins", "List the installed plugins: models, import times and errors."),
    "new": ("plugins:new", "Create a plugin with an architecture, tests, README and CI."),
    "search": ("models:search", "Search the Hugging Face Hub, or another hub."),
    "info": ("models:info", "Show a model: its recipes, published results and layers."),
    "data": ("data:data", "Report on your own images: classes, counts, sizes, problems."),
    "train": ("train:train", "Train a model, evaluate it, and write its model folder."),
    "push": ("hub:push", "Publish a model folder to a hub, under its model's name."),
    "import": ("hub:import_model", "Import and evaluate weights of another author."),
    "pull": ("hub:pull", "Download a published model with all its files."),
    "revisions": ("hub:revisions", "List the revisions of a published model, newest first."),
    "diff": ("hub:diff", "Show the differences between two published models."),
    "eval": ("evaluate:evaluate", "Evaluate a model on its test set."),
    "verify": ("evaluate:verify", "Verify models against their records."),
    "reproduce": ("train:reproduce", "Train a published model again, and compare the results."),
    "predict": ("evaluate:predict", "Classify images with a published model."),
    "export": ("export:export", "Export a model to other formats, and compare the outputs."),
    "plot": ("plot:plot", "Plot loss, top-1 and learning rate of one or several runs."),
    "page": ("page:page", "Write a static site of a hub's models."),
    "compare": ("train:compare", "Train several models, and plot their errors."),
}

UsageError: Any = typer.BadParameter.__base__  # the base class of the parser's errors; typer does not export it
UNWRITABLE = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO}  # errors of stdout


class Command(TyperCommand):
    """A command that keeps stdout for its own output; other prints go to stderr."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        from zoo.cli.printing import answering

        with answering():
            return super().invoke(ctx)


class LazyGroup(TyperGroup):
    """A group that imports only the command that is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, (_, text) in COMMANDS.items():
            self.add_command(TyperCommand(name, help=text))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Import the command named by the first of `args`; return its name, the command and its arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else load(name), rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command, and turn Ctrl-C into an error of one line."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("stopped by Ctrl-C", signal.SIGINT) from None


def load(name: str) -> Any:
    """Import a command."""
    path, summary = COMMANDS[name]
    file, _, function = path.partition(":")
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name, cls=Command, short_help=summary)(getattr(importlib.import_module(f"zoo.cli.{file}"), function))
    command = get_command(alone)
    command.params += (option for option in get_command(app).params if "--debug" in option.opts)
    return command


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
    # Read from sys.argv by `_show_traceback`; `load` adds the option to every command.
    debug: Annotated[
        bool,
        typer.Option("--debug", expose_value=False, help="Print the traceback of an error, as ZOO_DEBUG=1 does."),
    ] = False,
) -> None:
    """Handle the options before the command."""
    gc.freeze()  # skip these objects in collections, which would take a fifth of the time of `zoo list`


def main() -> None:
    """Run the command line. A ZooError is printed as one line on stderr, with a non-zero exit code."""
    gc.set_threshold(100_000)  # start-up creates many lasting objects; collections would take a tenth of its time
    warnings.showwarning = _show_warning
    nowhere = Path(os.devnull)  # for a stream that the shell closed: `zoo list >&-`
    sys.stdout, sys.stderr = sys.stdout or nowhere.open("w"), sys.stderr or nowhere.open("w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # print a question mark for a character that can't be encoded
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
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # discards the rest of the output when Python exits
        if isinstance(error, BrokenPipeError):  # the reader of the pipe has exited: `zoo list | head`
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
        if not sys.argv[1:]:  # the message of this error is the help
            error.show()
        else:
            complain(_misuse(error))
        sys.exit(error.exit_code)
    finally:
        sys.stdout.flush()


def _misuse(error: Any) -> str:
    """Return the parser's error as one line, with the help command."""
    message = error.format_message().replace("Value error, ", "")  # typer's prefix for an invalid choice
    program = error.ctx.command_path if error.ctx else "zoo"
    end = "" if message.endswith((".", "?")) else "."
    return f"{message[:1].lower()}{message[1:]}{end} See: {program} -h"


def _show_traceback(error: BaseException) -> None:
    """Print the traceback of an error and of its causes, with --debug or ZOO_DEBUG."""
    if not os.environ.get("ZOO_DEBUG") and "--debug" not in sys.argv[1:]:
        return
    import traceback

    cause: BaseException | None = error
    while cause is not None:
        cause.__suppress_context__ = False  # show the causes of errors that were raised `from None`
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
    own = PluginWarning | HubWarning | NameWarning | DataWarning | TrackerWarning | StartWarning
    text = str(message) if issubclass(category, own) else f"{category.__name__}: {message}"
    complain(f"warning: {text}")
