"""A training as a TOML file: the options of `zoo train`, the model, and the recipe's fields in `[settings]`.

model = "resnet20_cifar10"
recipe = "long"
seed = 1

[settings]
lr = 0.05
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.errors import RegistryError, TrainingError
from zoo.plugins import close_to
from zoo.record.types import Trained
from zoo.spec import Recipe
from zoo.training.options import TrainOptions


def fields() -> list[str]:
    """The names that a file may have."""
    return ["model", *(field.name for field in dataclasses.fields(TrainOptions) if "flag" in field.metadata)]


def read(path: Path) -> dict[str, Any]:
    """Read the options in a file, by name.

    Args:
        path: The TOML file.

    Returns:
        The options, to be passed on as `zoo.train(**options)`.

    Raises:
        TrainingError: The file can't be read, is not TOML, or has a field that is no option.
    """
    try:
        options = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"{path} can't be read ({error.strerror}); name a TOML file of options") from None
    except ValueError as error:  # of TOML or UTF-8
        raise TrainingError(f"{path} is not a TOML file ({error}); correct it") from None
    for name in options:
        if name not in fields():
            close = close_to(name, fields())
            hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(fields())}"
            raise TrainingError(f"{path}: {name!r} is not an option of a training; {hint}")
    if not isinstance(options.get("settings", {}), dict):
        raise TrainingError(f"{path}: settings should be a table of the recipe's fields, [settings]")
    return options


def render(record: Trained) -> str:
    """The file of a published model's training: with the same machine and versions it gives the same weights.

    `[settings]` has the fields that differ from the declared recipe of that name. If no plugin declares the recipe, it
    has all fields that differ from the defaults.
    """
    job = record.job
    options: dict[str, object] = {
        "model": f"{job.architecture}_{job.dataset}",
        "recipe": job.recipe_name,
        "epochs": job.recipe.epochs,
        "start": job.start.address if job.start else None,
        "license": record.license,
        "seed": job.seed,
        "seeds": len(record.seeds) or None,
        "device": job.device,
        "amp": job.amp,
        "compile": job.compile,
        "deterministic": job.deterministic,
        "grad_checkpointing": job.grad_checkpointing,
        "dtype": job.dtype,
        "threads": job.threads,
    }
    try:
        model = registry.load(record.name)
        declared, images = model.recipes.get(job.recipe_name), model.dataset.train_images - job.recipe.val_images
    except RegistryError:
        declared, images = None, job.train_images
    if job.train_images != images:
        options["limit_train"] = job.train_images
    lines = [_line(name, value) for name, value in options.items() if value is not None]
    base = (declared or Recipe(epochs=job.recipe.epochs)).to_json()
    settings = {name: value for name, value in job.recipe.to_json().items() if value != base.get(name)}
    settings.pop("epochs", None)  # an option
    if settings:
        lines += ["", "[settings]", *(_line(name, value) for name, value in settings.items())]
    return "\n".join(lines) + "\n"


def _line(name: str, value: object) -> str:
    """A line of TOML; its strings, numbers, booleans and arrays are written as in JSON."""
    return f"{name} = {json.dumps(value, ensure_ascii=False)}"
