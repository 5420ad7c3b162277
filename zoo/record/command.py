"""A job as the command that asks for it, word by word: what stands on the card under "how it was trained"."""

from __future__ import annotations

import json
import shlex

from zoo.record.job import Job
from zoo.spec import Architecture, Model


def command(job: Job, known: Model | Architecture, seeds: int = 1) -> str:
    """The command that trains the same; nothing is left to what a later machine would choose.

    `known` is the model, or its architecture where no plugin declares the data set; `seeds` is how
    often the training was repeated.
    """
    started = ["zoo"] if job.processes == 1 else ["torchrun", "--nproc-per-node", str(job.processes), "-m", "zoo"]
    words = [*started, "train", *_model(job, known), *_recipe(job, known), "--seed", str(job.seed)]
    if not isinstance(known, Model) or job.train_images != known.dataset.train_images - job.recipe.val_images:
        words += ["--limit-train", str(job.train_images)]
    words += ["--start", job.start.address] if job.start else []
    words += ["--device", job.device, "--amp" if job.amp else "--no-amp", "--compile", job.compile]
    words += ["--deterministic" if job.deterministic else "--fast", "--threads", str(job.threads)]
    words += ["--grad-checkpointing"] if job.grad_checkpointing else []
    words += ["--dtype", job.dtype] if job.dtype != "fp32" else []
    words += ["--seeds", str(seeds)] if seeds > 1 else []
    return shlex.join(words)


def _model(job: Job, known: Model | Architecture) -> list[str]:
    """The model by its name; of pictures that somebody has, by its architecture and their address."""
    pictures = known.dataset.pictures if isinstance(known, Model) else None
    if pictures is None:
        return [job.name]
    words = [job.architecture, "--dataset", pictures.address]
    words += [] if pictures.test_part is None else ["--test-part", str(pictures.test_part)]
    return words + (["--skip-bad"] if pictures.skipped else [])


def _recipe(job: Job, known: Model | Architecture) -> list[str]:
    """The recipe by its name, and what differs from what the plugin has under that name now."""
    name = job.recipe_name if job.recipe_name in known.recipes else next(iter(known.recipes))
    words, now = ["--recipe", name], known.recipes[name].every()
    for field, value in job.recipe.every().items():
        if value == now[field]:
            continue
        text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        words += ["--epochs", text] if field == "epochs" else ["--set", f"{field}={text}"]
    return words
