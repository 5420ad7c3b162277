"""`zoo plugins`: who brings what, and what is wrong with it."""

import dataclasses

import typer

from zoo import plugins
from zoo.cli import options
from zoo.cli.printing import print_json, print_table
from zoo.plain import complain


def list_plugins(as_json: options.Json = False) -> None:
    """List the plugins: what each declares, how long importing it takes, and what is wrong with it.

    The exit code is 1 where one of them fails. ZOO_DISABLE_PLUGINS=NAME,NAME leaves some out.
    """
    found = plugins.survey()
    if as_json:
        print_json([dataclasses.asdict(one) for one in found])
    else:
        heading = ("plugin", "version", "models", "import", "shadowed", "failed")
        cells = [
            (
                one.distribution,
                one.version,
                str(len(one.models)),
                f"{one.import_seconds * 1000:,.0f} ms",
                ", ".join(one.shadowed) or "–",
                str(len(one.failed)) if one.failed else "–",
            )
            for one in found
        ]
        print_table(heading, cells, right=(2, 3))
        for one in found:
            for reason in one.failed:
                complain(reason)
    if any(one.failed for one in found):
        raise typer.Exit(1)
