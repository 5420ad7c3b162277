"""What a shell completes beside commands and options: models, recipes and their fields, data sets, devices.

A function returns all that can stand there; typer keeps what begins with what is typed. It is asked while somebody
types, so it imports no torch, and is silent: what it printed or raised would stand in the middle of their line.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable
from typing import ParamSpec

import typer

P = ParamSpec("P")


def silent(completions: Callable[P, list[str]]) -> Callable[P, list[str]]:
    """The same function, which has nothing to offer where it fails, and prints nothing, whatever a plugin does."""

    @functools.wraps(completions)
    def silenced(*args: P.args, **kwargs: P.kwargs) -> list[str]:
        nowhere = io.StringIO()
        try:
            with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
                return completions(*args, **kwargs)
        except (Exception, SystemExit):
            return []

    return silenced


@silent
def models() -> list[str]:
    """The full names of the models that plugins declare; imports none of them."""
    from zoo import registry

    return list(registry.entries())


@silent
def recipes(ctx: typer.Context) -> list[str]:
    """The recipes of the model that is on the line; of several models those that all have."""
    from zoo import registry

    name, names = ctx.params.get("name"), ctx.params.get("models")
    # Where the option that is typed has no value yet, typer has given no argument its name.
    named = [name] if name else names or ctx.args
    all_recipes = [registry.load(registry.resolve(model, ctx.params.get("dataset"))).recipes for model in named]
    return [recipe for recipe in (all_recipes or [{}])[0] if all(recipe in recipes for recipes in all_recipes)]


@silent
def settings() -> list[str]:
    """The fields of a recipe, as --set has them: `lr=`."""
    import msgspec

    from zoo.spec import Recipe

    return [f"{field.name}=" for field in msgspec.structs.fields(Recipe)]


@silent
def datasets() -> list[str]:
    """The data sets of the models that plugins declare; imports the plugins."""
    from zoo import registry

    return sorted({model.dataset.name for model in registry.load_all(registry.entries().values())})


@silent
def datasets_and_kinds() -> list[str]:
    """The same, and how the address of somebody's own pictures begins: `folder:`."""
    from zoo.data.collection import KINDS

    return [*datasets(), *(f"{kind}:" for kind in KINDS.names())]


@silent
def trackers() -> list[str]:
    """Who can be told of a training; imports none of them."""
    from zoo.training.trackers import TRACKERS

    return TRACKERS.names()


def devices() -> list[str]:
    """The kinds of device; which of them are here torch would have to be asked."""
    return ["cpu", "cuda", "mps", "xpu"]
