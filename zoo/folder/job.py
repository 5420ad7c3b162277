"""What decides the bytes of the weights, as one value.

Made once (`zoo.training.jobs`), handed on whole, kept whole in config.json, compared whole where a
training is resumed, printed whole as the command on the card, read back where it is reproduced. It
lies in this room, below the one that trains, because a model folder is read where nothing trains.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from zoo.spec import Recipe

# How a step is run: eagerly, as a CUDA graph, or compiled.
How = Literal["none", "graph", "default"]
# What weights are stored in.
DType = Literal["fp32", "fp16"]


@dataclass(frozen=True)
class Origin:
    """Published weights: where they were found, and the SHA-256 of their file."""

    address: str
    sha256: str
    shallower: str = ""  # their architecture, where a deeper net begins as theirs


@dataclass(frozen=True)
class Versions:
    """Of the software whose numbers the weights are made of; empty where nobody wrote them down."""

    torch: str
    numpy: str  # draws mixup, CutMix and cutout
    zoo: str
    plugin: str  # distribution and version, "zoo-resnet-cifar 0.1.0"


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that decides the weights a training ends with."""

    architecture: str
    dataset: str
    recipe_name: str
    recipe: Recipe
    seed: int
    train_images: int  # the first so many of those that the recipe does not hold out
    device: str  # its kind: cpu, cuda
    amp: bool  # bf16 autocast; evaluation is always fp32
    compile: How
    deterministic: bool  # a GPU computes the same bits every time; a CPU does anyway
    grad_checkpointing: bool  # activations computed again in the backward pass, for less memory
    threads: int  # of the processor, in each process
    processes: int
    dtype: DType
    versions: Versions
    start: Origin | None = None  # None for the architecture's own initialisation
    teacher: Origin | None = None  # whose logits are distilled
    pictures: str = ""  # SHA-256 of all pictures, of a data set that was found by looking

    @property
    def name(self) -> str:
        """The model's name."""
        return f"{self.architecture}_{self.dataset}"

    def to_json(self) -> dict[str, object]:
        """Every field, as JSON types."""
        return {**dataclasses.asdict(self), "recipe": self.recipe.to_json()}

    def differences(self, other: Job) -> list[str]:
        """What this job has and the other has not, a phrase each: "seed 0, not 7"."""
        return [f"{name} {value!r}, not {its!r}" for name, value, its in self.pairs(other) if value != its]

    def pairs(self, other: Job) -> list[tuple[str, object, object]]:
        """Every value of the job by its path, "recipe lr", and the other's beside it."""
        others = _flat(other)
        return [(name, value, others[name]) for name, value in _flat(self).items()]


def _flat(job: Job) -> dict[str, object]:
    """Values by their path, "recipe lr"; an origin that is not there has a path all the same."""
    flat: dict[str, object] = {}
    for name, value in {**job.to_json(), "recipe": job.recipe.every()}.items():
        if name in ("recipe", "versions"):
            assert isinstance(value, dict)
            flat |= {f"{name} {inner}": one for inner, one in value.items()}
        else:
            flat[name] = value
    return flat
