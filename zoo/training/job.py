"""What a training was asked for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from zoo.spec import Recipe

# How a step is run: eagerly, as a CUDA graph, or compiled.
How = Literal["none", "graph", "default"]


@dataclass(frozen=True)
class Job:
    """What was asked for: all that decides the weights a training ends with."""

    model: str
    recipe_name: str
    recipe: Recipe
    seed: int
    train_images: int
    device: str
    amp: bool
    compile: How = "none"
    deterministic: bool = True
    teacher_sha256: str = ""  # of the weights that are distilled

    def facts(self) -> dict[str, object]:
        """The job as plain values: what was chosen, each hyper-parameter under a name of its own.

        What is at its default is left out, so that a later field leaves the jobs without it as they are.
        """
        own = {one.name: (getattr(self, one.name), one.default) for one in dataclasses.fields(self)}
        chosen = {name: value for name, (value, default) in own.items() if name != "recipe" and value != default}
        return chosen | {f"recipe {name}": value for name, value in self.recipe.chosen().items()}
