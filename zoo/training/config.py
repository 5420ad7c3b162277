"""Read and write a training as a TOML file: the model, the options of `zoo train`, and changes of the recipe.

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

from zoo.errors import TrainingError, did_you_mean
from zoo.record.card import job_options
from zoo.record.types import Trained
from zoo.spec import Architecture, Model
from zoo.training.options import TrainOptions


def fields() -> list[str]:
    """The names that are allowed in a file."""
    return ["model", *(field.name for field in dataclasses.fields(TrainOptions) if "flag" in field.metadata)]


def read(path: Path) -> dict[str, Any]:
    """Read the options in a file, by name.

    Args:
        path: The TOML file.

    Returns:
        The options, to pass as `zoo.train(**options)`.

    Raises:
        TrainingError: The file can't be read, is not TOML, or has a name that is not an option.
    """
    try:
        options = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"{path} can't be read ({error.strerror}); give a TOML file of options") from None
    except ValueError as error:  # of TOML or UTF-8
        raise TrainingError(f"{path} is not a TOML file ({error}); correct it") from None
    for name in options:
        if name not in fields():
            hint = did_you_mean(name, fields(), f"expected one of {', '.join(fields())}")
            raise TrainingError(f"{path}: {name!r} is not an option of a training; {hint}")
    if not isinstance(options.get("settings", {}), dict):
        raise TrainingError(f"{path}: settings should be a table of fields of the recipe, [settings]")
    return options


def render(record: Trained, model: Model | Architecture) -> str:
    """The TOML file that trains a published model again, with the options of the command on its card.

    Args:
        record: The record of the model.
        model: The model, or its architecture if no plugin declares the dataset.
    """
    options = job_options(record.job, model, max(1, len(record.seeds)))
    settings = options.pop("settings", {})
    lines = [_line(name, value) for name, value in options.items()]
    if (processes := record.job.processes) > 1:
        lines.insert(0, f"# torchrun --nproc-per-node {processes} -m zoo train --config FILE")
    if settings:
        lines += ["", "[settings]", *(_line(name, value) for name, value in settings.items())]
    return "\n".join(lines) + "\n"


def _line(name: str, value: object) -> str:
    """A line of TOML; strings, numbers, booleans and arrays are written as in JSON, and null as a string."""
    return f"{name} = {json.dumps('null' if value is None else value, ensure_ascii=False)}"
