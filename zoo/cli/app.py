"""The command line: its commands, and `main`, which runs the one that is asked for."""

import gc
import sys
import warnings

import typer

from zoo.cli import evaluate, hub, models, plot, train
from zoo.errors import PluginWarning, ZooError

app = typer.Typer(
    name="zoo",
    help="A zoo of residual networks: train them, publish them, load them back.\n\n"
    "Start with: zoo list · zoo train resnet8_digits · zoo info resnet20",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("list")(models.list_models)
app.command()(models.search)
app.command()(models.info)
app.command()(train.train)
app.command()(hub.push)
app.command()(hub.pull)
app.command("eval")(evaluate.evaluate)
app.command()(evaluate.verify)
app.command()(train.reproduce)
app.command()(evaluate.predict)
app.command()(plot.plot)
app.command()(train.compare)


def main() -> None:
    """Run the command line; a person's mistake is one line on stderr and a non-zero exit."""
    gc.set_threshold(100_000)  # start-up makes many objects that stay; collecting among them takes a tenth of it
    warnings.showwarning = _show_warning
    try:
        app()
    except ZooError as error:
        print(f"zoo: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of a pipe went away: `zoo list | head`
        sys.stderr.close()
        sys.exit(141)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    text = str(message) if issubclass(category, PluginWarning) else f"{category.__name__}: {message}"
    print(f"zoo: warning: {text}", file=sys.stderr)
