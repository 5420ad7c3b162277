"""What a training leaves: the net measured once, its facts, its model folder."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from zoo.errors import FolderError, NonFiniteLoss
from zoo.evaluation.answers import known_answers
from zoo.evaluation.evaluate import evaluate
from zoo.nets import weights
from zoo.nets.build import count
from zoo.record import card, curve, store
from zoo.record.replace import written_aside
from zoo.record.types import EpochRow, Trained, log_text, require_trained
from zoo.record.types import Training as TrainingFacts
from zoo.spec import Model
from zoo.training import distributed
from zoo.training.environment import environment
from zoo.training.loop import Training
from zoo.training.place import Place
from zoo.training.plan import Plan


def write(training: Training, plan: Plan, model: Model, place: Place) -> Trained:
    """Measure what was trained with the weights as they are stored, and write its model folder.

    What could not be done as it was asked for (compiled) is recorded as it was done.
    """
    job, net = plan.job, training.learner.published()
    if (name := weights.not_finite(net)) is not None:
        raise NonFiniteLoss(f"{name} is not finite after the last step; train with a lower rate (--set lr=…)")
    half = job.dtype == "fp16"
    if half:
        net.load_state_dict(weights.rounded_to_half(net))
        if (name := weights.not_finite(net)) is not None:
            raise NonFiniteLoss(f"{name} is not finite in fp16; store the weights in fp32")
    results = evaluate(net, training.splits.test, training.pixels)
    rows = training.progress.rows
    rows[-1] = rows[-1].tested(results)
    how = training.learner.how
    mean, std = model.normalisation(job.recipe)
    metadata = {"name": job.name, "recipe": job.recipe_name, "recipe_sha256": job.recipe.sha256()}
    metadata |= {"mean": json.dumps(mean), "std": json.dumps(std)}
    content = weights.dump(net, metadata, half=half)
    config = Trained(
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
        job=msgspec.structs.replace(job, compile=how),
        recipe_sha256=job.recipe.sha256(),
        training=TrainingFacts(
            epochs=len(rows),
            train_seconds=sum(row.train_seconds for row in rows),
            compile_seconds=sum(row.compile_seconds for row in rows),
            compile_why=plan.why if how == job.compile else f"{job.compile} failed",
            compile_requested=None if how == job.compile else job.compile,
            batch_norm_images=distributed.batch_norm_images(net, min(job.recipe.batch_size, job.train_images)),
        ),
        results=results,
        environment=environment(training.splits.train.labels.device, model.architecture),
        files={store.WEIGHTS: store.file_facts(content), store.LOG: store.file_facts(log_text(rows).encode())},
        known_answers=tuple(
            tuple(row) for row in known_answers(net, training.pixels, model.dataset.input_size).tolist()
        ),
    )
    try:
        return _write(place.folder, config, rows, model, content)
    except FolderError as error:
        raise FolderError(f"{error}; what was trained is in {place.run}: --resume goes on from there") from None


def record_seeds(out: Path, repetitions: list[Trained], model: Model) -> Trained:
    """Write into the model folder `out`, which stays what it is, what its training came to from every seed."""
    config = require_trained(store.check(out))
    seeds = tuple(one.seed_results for one in repetitions)
    if config.seeds == seeds:
        return config
    config = msgspec.structs.replace(config, seeds=seeds)
    return _write(out, config, store.read_log(out), model, store.read_weights(out, config))


def _write(
    out: Path,
    config: Trained,
    rows: list[EpochRow],
    model: Model,
    content: bytes,
) -> Trained:
    """Put the whole folder into its place at once; all of it is there before anything is moved."""
    files = {
        store.README: card.render(config, rows, model).encode(),
        store.WEIGHTS: content,
        store.LOG: log_text(rows).encode(),
        store.CURVE: curve.draw(config.name, rows).encode(),
    }
    with written_aside(out) as aside:
        return require_trained(store.write(aside, config, files))
