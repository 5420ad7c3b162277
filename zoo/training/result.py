"""What a training leaves: the net measured once, its facts, its model folder."""

from __future__ import annotations

import dataclasses
import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from torch import nn

from zoo.data import batches
from zoo.data.sources import Split
from zoo.errors import FolderError, HalfWarning, NonFiniteLoss
from zoo.evaluation.evaluate import evaluate, known_answers
from zoo.folder import card, curve, store
from zoo.folder.config import Config, EpochRow, Half, log_text
from zoo.folder.config import Training as TrainingFacts
from zoo.folder.lock import alone
from zoo.folder.replace import written_aside
from zoo.nets import weights
from zoo.nets.build import count
from zoo.spec import Architecture, Model
from zoo.training import distributed
from zoo.training.environment import environment
from zoo.training.loop import Training
from zoo.training.place import Place
from zoo.training.plan import Plan

# What storing weights in fp16 may cost, in points of top-1, on images that are no test images: so many that it isn't
# one of them that decides. Of 5,000 a single one is 0.02 points, and rounding tips one or two either way.
HALF_POINTS = 0.02
HALF_IMAGES = 20_000


def write(training: Training, plan: Plan, model: Model, place: Place) -> Config:
    """Measure what was trained with the weights as they are stored, and write its model folder.

    What could not be done as it was asked for (compiled, stored in fp16) is recorded as it was done.
    """
    job, net = plan.job, training.learner.published()
    if (name := weights.not_finite(net)) is not None:
        raise NonFiniteLoss(f"{name} is not finite after the last step; train with a lower rate (--set lr=…)")
    half = _rounded(net, training) if job.dtype == "fp16" else None
    results = evaluate(net, training.splits.test, training.pixels)
    rows = training.progress.rows
    rows[-1] = rows[-1].tested(results)
    how = training.learner.how
    mean, std = model.normalisation(job.recipe)
    metadata = {"name": job.name, "recipe": job.recipe_name, "recipe_sha256": job.recipe.sha256()}
    metadata |= {"mean": json.dumps(mean), "std": json.dumps(std)}
    content = weights.dump(net, metadata, half=half is not None)
    config = Config(
        name=model.name,
        architecture=job.architecture,
        dataset=job.dataset,
        classes=model.dataset.classes,
        input_size=model.dataset.input_size,
        resizing=model.dataset.resizing,
        pictures=model.dataset.pictures,
        mean=mean,
        std=std,
        parameters=count(net),
        license=plan.license or (plan.start.license if plan.start else model.architecture.license),
        paper=model.architecture.paper,
        job=dataclasses.replace(job, compile=how, dtype="fp16" if half else "fp32"),
        recipe_sha256=job.recipe.sha256(),
        training=TrainingFacts(
            epochs=len(rows),
            train_seconds=sum(row.train_seconds for row in rows),
            compile_seconds=sum(row.compile_seconds for row in rows),
            compile_why=plan.why if how == job.compile else f"{job.compile} failed",
            compile_asked=None if how == job.compile else job.compile,
            dtype_asked=job.dtype if job.dtype == "fp16" and half is None else None,
            half=half,
            batch_norm_images=distributed.batch_norm_images(net, min(job.recipe.batch_size, job.train_images)),
        ),
        results=results,
        environment=environment(training.splits.train.labels.device, model.architecture),
        files={store.WEIGHTS: store.file_facts(content)},
        known_answers=tuple(
            tuple(row) for row in known_answers(net, training.pixels, model.dataset.input_size).tolist()
        ),
    )
    try:
        return _write(place.folder, config, rows, model, content)
    except FolderError as error:
        raise FolderError(f"{error}; what was trained is in {place.run}: --resume goes on from there") from None


def record_seeds(out: Path, repetitions: list[Config], model: Model) -> Config:
    """Write into the model folder `out`, which stays what it is, what its training came to from every seed."""
    config = store.check(out)
    seeds = tuple(one.seed_results for one in repetitions)
    if config.seeds == seeds:
        return config
    config = dataclasses.replace(config, seeds=seeds)
    return _write(out, config, store.read_log(out), model, store.read_weights(out, config))


def convert(
    folder: Path,
    known: Model | Architecture,
    *,
    license: str | None = None,  # noqa: A002 - what it is called everywhere
) -> Config:
    """Write a model folder of an earlier format anew in this one; its weights' file stays the very same bytes.

    With `license`, that is what it is published under.

    `known` is its model, or its architecture where no plugin declares the data set. Raises FolderError.
    """
    with alone(folder):
        config = store.check(folder)
        content = store.read_weights(folder, config)
        config = dataclasses.replace(config, license=license or config.license)
        if not config.known_answers:
            net = weights.load(known.architecture if isinstance(known, Model) else known, folder, config)
            pixels = batches.pixels(config.mean, config.std, torch.device("cpu"))
            answers = known_answers(net, pixels, config.input_size)
            config = dataclasses.replace(config, known_answers=tuple(tuple(row) for row in answers.tolist()))
        exported = {one.file: store.read_file(folder, config, one.file) for one in config.exports}
        return _write(folder, config, store.read_log(folder), known, content, exported)


def _rounded(net: nn.Module, training: Training) -> Half | None:
    """Round the net to fp16 and say what it was decided by; None, and the net as it was, where it would cost too much.

    That is seen on the images that the recipe holds out, else on the last that it was trained on, as they are.
    """
    splits, pixels = training.splits, training.pixels
    seen = splits.train.uncropped()
    last = Split(seen.images[-HALF_IMAGES:], seen.labels[-HALF_IMAGES:])
    images = last if splits.val is None else splits.val
    fp32 = evaluate(net, images, pixels)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.load_state_dict(weights.rounded_to_half(net))
    fp16 = evaluate(net, images, pixels)
    if fp32.test_top1 - fp16.test_top1 < HALF_POINTS and math.isfinite(fp16.test_loss):
        return Half(fp32.test_top1, fp16.test_top1, len(images), "training" if splits.val is None else "held-out")
    net.load_state_dict(before)
    cost = f"{fp32.test_top1:.2f}% of {len(images):,} training images would become {fp16.test_top1:.2f}%"
    warnings.warn(HalfWarning(f"the weights are stored in fp32: in fp16 a top-1 of {cost}"), stacklevel=3)
    return None


def _write(
    out: Path,
    config: Config,
    rows: list[EpochRow],
    known: Model | Architecture,
    content: bytes,
    exported: Mapping[str, bytes] = MappingProxyType({}),
) -> Config:
    """Put the whole folder into its place at once; all of it is there before anything is moved."""
    files = {
        **exported,
        store.README: card.write(config, rows, known).encode(),
        store.WEIGHTS: content,
        store.LOG: log_text(rows).encode(),
        store.CURVE: curve.draw(config.name, rows).encode(),
    }
    with written_aside(out) as aside:
        return store.write(aside, config, files)
