"""What a training was asked for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from zoo.spec import Recipe


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

    def facts(self) -> dict[str, object]:
        """The job as plain values, each hyper-parameter that the recipe chose under a name of its own."""
        own = {one.name: getattr(self, one.name) for one in dataclasses.fields(self) if one.name != "recipe"}
        return own | {f"recipe {name}": value for name, value in self.recipe.chosen().items()}
