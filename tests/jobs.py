"""A job for tests to change with `msgspec.structs.replace`."""

from __future__ import annotations

from zoo.record.job import Job, Versions
from zoo.spec import Recipe

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
