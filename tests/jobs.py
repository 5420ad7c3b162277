"""A job that tests change with `msgspec.structs.replace`, and its plan."""

from __future__ import annotations

from pathlib import Path

import torch

from zoo import registry
from zoo.record.job import Job, Origin, Versions
from zoo.spec import Recipe
from zoo.training.output import Output
from zoo.training.plan import Plan
from zoo.training.reporting import Reporting
from zoo.training.start import Teacher

JOB = Job(
    architecture="resnet8",
    dataset="digits",
    recipe_name="test",
    recipe=Recipe(epochs=3, batch_size=64, lr=0.05, sched="cosine", crop_padding=1, weight_decay=5e-4),
    seed=0,
    train_images=400,
    device="cpu",
    amp=False,
    compile="none",
    deterministic=True,
    grad_checkpointing=False,
    threads=1,
    processes=1,
    dtype="fp32",
    versions=Versions(torch="2", numpy="2", zoo="0", plugin="zoo-resnet-cifar 0"),
)


class RunItself(Output):
    """An output with the checkpoint and the log in its folder."""

    @property
    def run(self) -> Path:
        """The folder of the checkpoint and the log."""
        return self.folder


def plan_of(job: Job, run: Path, reporting: Reporting | None = None, *, teacher: torch.nn.Module | None = None) -> Plan:
    """Plan a job with the checkpoint and the log in `run`."""
    return Plan(
        job=job,
        why="a test",
        model=registry.load(job.name),
        device=torch.device(job.device),
        data_root=Path(),
        output=RunItself(run),
        reporting=reporting or Reporting(),
        teacher=Teacher(teacher, Origin("teacher", "0" * 64)) if teacher else None,
    )
