"""A training job: everything that determines the trained weights, as one immutable value."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from zoo.decoding import Line, Name, Positive, Sha256
from zoo.spec import Recipe

# Fields of a job that by default depend on the machine.
ENVIRONMENT = frozenset({"device", "amp", "compile", "deterministic", "threads", "processes", "versions"})

# How a step is run: eagerly, as a CUDA graph, or compiled.
How = Literal["none", "graph", "default"]
# What weights are stored in.
DType = Literal["fp32", "fp16"]


class Origin(Struct, frozen=True, forbid_unknown_fields=True):
    """Published weights: their name, path or address, and the SHA-256 of their file."""

    address: Line  # with the revision, where they are in a hub
    sha256: Sha256
    shallower: Line = ""  # their architecture, if the net of the job is a deeper one


class Versions(Struct, frozen=True, forbid_unknown_fields=True):
    """The versions of the software that computed the weights; empty if unknown."""

    torch: Line
    numpy: Line  # draws mixup, CutMix and cutout
    zoo: Line
    plugin: Line  # distribution and version, "zoo-resnet-cifar 0.1.0"

    @property
    def distribution(self) -> str:
        """The distribution of the plugin, without its version."""
        return self.plugin.partition(" ")[0]


class Job(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that determines the weights a training ends with."""

    architecture: Name
    dataset: Name
    recipe_name: Name
    recipe: Recipe
    seed: int
    train_images: int  # the first ones of the training set that the recipe does not hold out
    device: Line  # its kind: cpu, cuda
    amp: bool  # bf16 autocast; evaluation is always fp32
    compile: How
    deterministic: bool  # a GPU computes the same bits every time; a CPU does anyway
    grad_checkpointing: bool  # activations computed again in the backward pass, for less memory
    threads: int  # of the processor, in each process
    processes: Positive
    dtype: DType
    versions: Versions
    start: Origin | None = None  # None for the architecture's own initialisation
    teacher: Origin | None = None  # whose logits are distilled
    # SHA-256 of all pictures, if the data set is a folder of pictures.
    pictures: Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{64})?\Z")] = ""

    @property
    def name(self) -> str:
        """The model's name."""
        return f"{self.architecture}_{self.dataset}"

    def to_json(self) -> dict[str, Any]:
        """Every field, as JSON types."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        return values

    def differences(self, other: Job, *, environment: bool = True) -> list[str]:
        """The values that differ in another job, a phrase each: "seed 0, not 7"; all, or none of the environment's."""
        return [
            f"{name} {value!r}, not {its!r}"
            for name, value, its in self.pairs(other)
            if value != its and (environment or name.partition(" ")[0] not in ENVIRONMENT)
        ]

    def environment_changes(self, other: Job) -> list[str]:
        """How the environment of another job differs, a phrase each: "torch 2.14.1 instead of 2.13.0"."""
        return [
            f"{name.removeprefix('versions ')} {its} instead of {value}"
            for name, value, its in self.pairs(other)
            if value != its and name.partition(" ")[0] in ENVIRONMENT
        ]

    def pairs(self, other: Job) -> list[tuple[str, object, object]]:
        """Every value of the job by its path, "recipe lr", and the other's beside it.

        A start or a teacher is identified by the hash of its weights, however its address was written.
        """
        own, others = _flat(self), _flat(other)
        if self.teacher and other.teacher and self.teacher.sha256 == other.teacher.sha256:
            del own["recipe teacher"]
        return [(name, value, others[name]) for name, value in own.items()]


def _flat(job: Job) -> dict[str, object]:
    """Values by their path, "recipe lr"; of a start or a teacher the hash, which may be None."""
    flat: dict[str, object] = {}
    for name, value in job.to_json().items():
        if name in ("recipe", "versions"):
            flat |= {f"{name} {inner}": deep for inner, deep in value.items()}
        elif name in ("start", "teacher"):
            flat[f"{name} SHA-256"] = value and value["sha256"]
        else:
            flat[name] = value
    return flat
