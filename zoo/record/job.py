"""A training job: everything that determines the trained weights, as one immutable value."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from zoo.decoding import Line, Name, Positive, Sha256, Sha256OrEmpty
from zoo.spec import Recipe

# Fields of a job whose defaults depend on the machine.
ENVIRONMENT = frozenset({"device", "amp", "compile", "deterministic", "threads", "processes", "versions"})

# How a training step runs: eagerly, as a CUDA graph, or compiled.
How = Literal["none", "graph", "default"]
# The data type in which weights are stored.
DType = Literal["fp32", "fp16"]


class Origin(Struct, frozen=True, forbid_unknown_fields=True):
    """The published weights that a training starts from, or those of its teacher."""

    address: Line  # a name, path or address; an address in a hub has its revision
    sha256: Sha256  # of the file
    shallower: Line = ""  # the architecture of the weights, if it is shallower than the job's


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
    train_images: int  # number of training images: the first ones that the recipe does not hold out
    device: Line  # the type, as in torch: "cpu", "cuda"
    amp: bool  # bf16 autocast in training; evaluation is always in fp32
    compile: How
    deterministic: bool  # use deterministic algorithms on a GPU; a CPU always does
    grad_checkpointing: bool  # recompute activations in the backward pass, which needs less memory
    threads: int  # number of CPU threads of each process
    processes: Positive  # number of processes, one per device
    dtype: DType  # of the stored weights
    versions: Versions
    start: Origin | None = None  # None for the initialization of the architecture
    teacher: Origin | None = None  # for distillation
    # SHA-256 of all images, if the dataset is a folder of images.
    pictures: Sha256OrEmpty = ""

    @property
    def name(self) -> str:
        """The model's name."""
        return f"{self.architecture}_{self.dataset}"

    def to_json(self) -> dict[str, Any]:
        """Convert all fields to types of JSON."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        return values

    def differences(self, other: Job, *, environment: bool = True) -> list[str]:
        """List the values that differ in another job.

        Args:
            other: The other job.
            environment: Include the fields of ENVIRONMENT.

        Returns:
            A phrase per value: "seed 0, not 7".
        """
        return [
            f"{name} {value!r}, not {other_value!r}"
            for name, value, other_value in self.pairs(other)
            if value != other_value and (environment or name.partition(" ")[0] not in ENVIRONMENT)
        ]

    def environment_changes(self, other: Job) -> list[str]:
        """List the differences in the environment of another job: "torch 2.14.1 instead of 2.13.0"."""
        return [
            f"{name.removeprefix('versions ')} {other_value} instead of {value}"
            for name, value, other_value in self.pairs(other)
            if value != other_value and name.partition(" ")[0] in ENVIRONMENT
        ]

    def pairs(self, other: Job) -> list[tuple[str, object, object]]:
        """Pair each value of the job with that of another job.

        The start and the teacher are compared by the hashes of their weights, not by their addresses.

        Returns:
            Triples of the path of a value, such as "recipe lr", this job's value and the other job's.
        """
        own, others = _flat(self), _flat(other)
        if self.teacher and other.teacher and self.teacher.sha256 == other.teacher.sha256:
            del own["recipe teacher"]
        return [(name, value, others[name]) for name, value in own.items()]


def _flat(job: Job) -> dict[str, object]:
    """The values by path, such as "recipe lr", with the hash, or None, for the start and the teacher."""
    flat: dict[str, object] = {}
    for name, value in job.to_json().items():
        if name in ("recipe", "versions"):
            flat |= {f"{name} {key}": item for key, item in value.items()}
        elif name in ("start", "teacher"):
            flat[f"{name} SHA-256"] = value and value["sha256"]
        else:
            flat[name] = value
    return flat
