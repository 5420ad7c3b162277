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

from zoo.errors import TrainingError
from zoo.plugins import close_to
from zoo.record.card import job_options
from zoo.record.types import Trained
from zoo.spec import Architecture, Model
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


def render(record: Trained, known: Model | Architecture) -> str:
    """The file of a published model's training, with the same options as the command on its card.

    Args:
        record: The record of the model.
        known: The model, or its architecture where no plugin declares the data set.
    """
    options = job_options(record.job, known, max(1, len(record.seeds)))
    settings = options.pop("settings", {})
    lines = [_line(name, value) for name, value in options.items()]
    if (processes := record.job.processes) > 1:
        lines.insert(0, f"# torchrun --nproc-per-node {processes} -m zoo train --config FILE")
    if settings:
        lines += ["", "[settings]", *(_line(name, value) for name, value in settings.items())]
    return "\n".join(lines) + "\n"


def _line(name: str, value: object) -> str:
    """A line of TOML, which writes strings, numbers, booleans and arrays as JSON does, and has no null."""
    return f"{name} = {json.dumps('null' if value is None else value, ensure_ascii=False)}"
