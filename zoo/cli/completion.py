"""Shell completion of values: models, recipes and their fields, datasets, trackers, devices.

Each function returns all values; typer filters them by the typed prefix. Completion runs while the user types, so it
imports no torch and prints nothing.
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
    """Make a function return an empty list if it fails, and discard what it prints."""

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
    """Return the full names of the declared models; imports no plugin."""
    from zoo import registry

    return list(registry.entries())


@silent
def recipes(ctx: typer.Context) -> list[str]:
    """Return the recipes of the typed model; for several models, those that all of them have."""
    from zoo import registry

    name, names = ctx.params.get("name"), ctx.params.get("models")
    # typer has not parsed the arguments if the typed option has no value yet.
    typed = [name] if name else names or ctx.args
    all_recipes = [registry.load(registry.resolve(model, ctx.params.get("dataset"))).recipes for model in typed]
    return [recipe for recipe in (all_recipes or [{}])[0] if all(recipe in recipes for recipes in all_recipes)]


@silent
def settings() -> list[str]:
    """Return the fields of a recipe for --set: `lr=`."""
    import msgspec

    from zoo.spec import Recipe

    return [f"{field.name}=" for field in msgspec.structs.fields(Recipe)]


@silent
def datasets() -> list[str]:
    """Return the datasets of the declared models; imports their plugins."""
    from zoo import registry

    return sorted({model.dataset.name for model in registry.load_all(registry.entries().values())})


@silent
def datasets_and_kinds() -> list[str]:
    """Return the datasets, and the prefixes of addresses of images: `folder:`."""
    from zoo.data.collection import KINDS

    return [*datasets(), *(f"{kind}:" for kind in KINDS.names())]


@silent
def trackers() -> list[str]:
    """Return the names of trackers; imports none of them."""
    from zoo.training.trackers import TRACKERS

    return TRACKERS.names()


def devices() -> list[str]:
    """Return the kinds of device; whether this machine has them is unknown without torch."""
    return ["cpu", "cuda", "mps", "xpu"]
