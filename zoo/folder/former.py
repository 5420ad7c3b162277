"""Config.json of format 1, read as one of format 2; its `format` says which it was.

It had a job's facts in three places, and some nowhere; what nobody wrote down is said to be unknown by
an empty version, or was then the only way that there was.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from zoo.spec import Recipe


def recipe_sha256(recipe: Recipe) -> str:
    """What identified a recipe then: SHA-256 of the fields that were not at the defaults of the day."""
    import hashlib

    defaults = {one.name: one.default for one in dataclasses.fields(recipe)}
    chosen = {name: value for name, value in recipe.to_json().items() if getattr(recipe, name) != defaults[name]}
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()


def upgraded(old: Mapping[str, Any]) -> dict[str, Any]:
    """The same facts as format 2 has them; raises KeyError or TypeError where it is not format 1 either."""
    training, environment, weights = old["training"], old["environment"], old["weights"]
    recipe = Recipe.from_json(old["recipe"])
    teacher = training.get("teacher_sha256")
    job = {
        "architecture": old["architecture"],
        "dataset": old["dataset"],
        "recipe_name": old["recipe_name"],
        "recipe": recipe.to_json(),
        "seed": training["seed"],
        "train_images": training["train_images"],
        "device": "cpu" if str(environment["device"]).startswith("CPU") else "cuda",
        "amp": training["amp"],
        "compile": "default" if training.get("compiled") else "none",
        "deterministic": training.get("deterministic", True),
        "grad_checkpointing": training.get("grad_checkpointing", False),
        "threads": environment["threads"],
        "processes": training.get("processes", 1),
        "dtype": weights.get("dtype", "fp32"),
        "versions": {
            "torch": environment["torch"],
            "numpy": "",
            "zoo": environment["zoo"],
            "plugin": environment["plugin"],
        },
        "teacher": {"address": recipe.teacher, "sha256": teacher} if teacher else None,
    }
    moved = {"recipe_name", "recipe", "training", "environment", "weights", "format"}
    kept = {name: old[name] for name in old.keys() - moved}
    pin = {"hub": weights["hub"], "revision": weights["revision"]} if weights.get("hub") else None
    return kept | {
        "job": job,
        "recipe_sha256": recipe.sha256(),
        "training": {name: training[name] for name in ("epochs", "train_seconds")}
        | {"compile_seconds": training.get("compile_seconds", 0.0)},
        "environment": {name: environment[name] for name in ("device", "python")}
        | {"commit": environment.get("commit")},
        "known_answers": old.get("known_answers", []),
        # Nothing else was hashed.
        "files": {"model.safetensors": {"sha256": weights["sha256"], "bytes": weights["bytes"]}},
        "pin": pin,
        "format": 1,
    }
