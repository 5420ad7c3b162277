"""Run plans: read the data, train the net, evaluate it once after the last epoch, and write the model folder."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
import torch
from msgspec import UNSET, UnsetType
from torch import nn

from zoo.data import batches, sources
from zoo.errors import FolderError, NonFiniteLoss, TrainingError
from zoo.evaluation import report
from zoo.evaluation.evaluate import known_answers, measure
from zoo.nets import weights
from zoo.nets.build import build, count
from zoo.nets.device import enough_memory
from zoo.record import card, curve, store
from zoo.record.job import Job
from zoo.record.replace import written_aside
from zoo.record.types import EpochRow, File, PretrainedCfg, Trained, log_text, require_trained
from zoo.record.types import Training as TrainingRecord
from zoo.spec import Model
from zoo.training import distributed
from zoo.training.environment import environment, settings
from zoo.training.loop import Training, begin, train
from zoo.training.plan import Plan
from zoo.training.reporting import Report, Reporting, Reports, Watched
from zoo.training.start import fill

_RUNNING: Final = threading.Lock()  # held while this process trains


def run_seeds(plans: Sequence[Plan]) -> Trained:
    """Run the same training from several seeds, one after another.

    Each net is trained, evaluated once after the last epoch, and written to its own model folder. The results of all
    seeds are recorded in the folder of the first.

    Args:
        plans: The plans, which differ in seed and output.

    Returns:
        The record of the first model.

    Raises:
        TrainingError: An output folder is taken, its run is of another job, or this process trains already.
        DataError: The images can't be read.
        NonFiniteLoss: The loss or a weight became infinite or NaN.
        Interrupted: A signal stopped a training; a checkpoint was saved.
    """
    if not _RUNNING.acquire(blocking=False):
        raise TrainingError(
            "another training runs in this process, and torch's random state is shared; wait for it, or train in "
            "another process"
        )
    try:
        records = [_run(plan) for plan in plans]
        if len(records) == 1 or not distributed.share().is_first:
            return records[0]
        return _record_seeds(plans[0].output.folder, records, plans[0].model)
    finally:
        _RUNNING.release()


def _run(plan: Plan) -> Trained:
    share, output = distributed.share(), plan.output
    if (record := output.finished(plan.job)) is not None:
        return record
    plan = replace(plan, reporting=_reporting(plan))
    report = plan.reporting.report
    with (
        enough_memory(plan.device, _needed(plan.job)),
        settings(plan.device, deterministic=plan.job.deterministic, threads=plan.job.threads),
        contextlib.ExitStack() as on_leaving,
    ):
        on_leaving.callback(report.finish)
        training = _prepared(plan)
        train(training)
        if not share.is_first:
            distributed.wait_for_all()
            return require_trained(store.read_record(output.folder))
        record = _result(training)
        report.result(training.progress.rows[-1])
    output.clear()
    distributed.wait_for_all()
    return record


def _reporting(plan: Plan) -> Reporting:
    """The reporting of this run: the first process calls the report and the trackers, the others call nothing."""
    reporting = plan.reporting
    if not distributed.share().is_first:
        return replace(reporting, report=Report())
    watched = Watched(plan.job.name, json.dumps(plan.job.to_json()), plan.output.events)
    return replace(reporting, report=Reports(reporting.report, reporting.trackers, watched))


def _prepared(plan: Plan) -> Training:
    """Read the data, make the run's folder, and build the net from its seed or restore it from a checkpoint."""
    job, model, device, share = plan.job, plan.model, plan.device, distributed.share()
    if not share.is_first:
        distributed.wait_for_all()  # for the first process, which downloads the data and makes the folder
    splits = sources.read_splits(
        model.dataset,
        job.recipe,
        plan.data_root,
        device=device,
        train_images=job.train_images,
        test_images=plan.limit_test,
    )
    if share.is_first:
        plan.output.make_run(job)
        distributed.wait_for_all()
    torch.manual_seed(job.seed)
    net = build(model.architecture, model.dataset)
    resumes = plan.output.continues(job)
    if plan.start is not None and not resumes:
        fill(net, plan.start, model)
    if job.grad_checkpointing:
        _checkpoint_gradients(net, job)
    _require_batches(net, plan)
    plan.reporting.report.note(_summary(plan))
    plan.reporting.report.note(f"compile {job.compile} ({plan.why})")
    training = begin(plan, net, splits, batches.pixels(*model.normalisation(job.recipe), device))
    if resumes:
        training.resume()
    return training


def _summary(plan: Plan) -> str:
    """The first line that a training prints."""
    job, recipe = plan.job, plan.job.recipe
    steps = math.ceil(job.train_images / recipe.batch_size)
    tested = f" and tested on {plan.limit_test:,}" if plan.limit_test is not None else ""
    return (
        f"training {job.name}, recipe {job.recipe_name}: {recipe.epochs:,} epochs × {steps:,} steps per epoch, "
        f"batch {min(recipe.batch_size, job.train_images):,}, {job.train_images:,} images{tested}, "
        f"{plan.device} in {'bf16' if job.amp else 'fp32'}, to {plan.output.folder}"
    )


def _require_batches(net: nn.Module, plan: Plan) -> None:
    """Raise TrainingError if an epoch has a batch of one image, and the net's batch norm can't normalize it."""
    job = plan.job
    size, images = job.recipe.batch_size, job.train_images
    if 1 not in (size, images % size) or job.recipe.freeze_epochs == job.recipe.epochs:
        return
    trial = copy.deepcopy(net).train()
    image = torch.zeros(1, *plan.model.dataset.input_size)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            trial(image)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise TrainingError(
            f"{images:,} images in batches of {size:,} leave a batch of one image, which the batch norm of {job.name} "
            f"can't normalize; set batch_size to {size + 1}, for example"
        ) from None


def _needed(job: Job) -> str:
    """The job and the ways to reduce its memory, for the error of a device without enough memory."""
    ways = ["decrease batch_size"]
    ways += [] if job.grad_checkpointing else ["recompute activations (grad_checkpointing)"]
    ways += ["keep fewer images in memory (ZOO_DATA_MEMORY=BYTES)"] if job.pictures else []
    return f"{job.name} with batch_size {job.recipe.batch_size:,}; " + ", or ".join(ways)


def _checkpoint_gradients(net: nn.Module, job: Job) -> None:
    switch = getattr(net, "set_grad_checkpointing", None)
    if switch is None:
        raise TrainingError(
            f"the net of {job.name} has no set_grad_checkpointing(), which grad_checkpointing needs; "
            "leave it out and decrease batch_size"
        )
    switch()


def _result(training: Training) -> Trained:
    """Evaluate the trained net with its weights rounded to `dtype`, and write its model folder."""
    plan, net = training.plan, training.learner.published()
    job, model = plan.job, plan.model
    if (name := weights.not_finite(net)) is not None:
        raise NonFiniteLoss(f"{name} is not finite after the last step; train with a lower learning rate (lr)")
    if job.dtype == "fp16":
        _round_to_fp16(net)
    results, confusion = measure(net, training.splits.test, training.pixels)
    rows = training.progress.rows
    rows[-1] = rows[-1].tested(results)
    how = training.learner.how
    why = plan.why if how == job.compile else f"{job.compile} failed"
    mean, std = model.normalisation(job.recipe)
    metadata = {"name": job.name, "recipe": job.recipe_name, "recipe_sha256": job.recipe.sha256()}
    metadata |= {"mean": json.dumps(mean), "std": json.dumps(std)}
    files = {
        store.WEIGHTS: weights.dump(net, metadata, half=job.dtype == "fp16"),
        store.LOG: log_text(rows).encode(),
        store.CURVE: curve.draw(model.name, rows).encode(),
        store.ERRORS: report.draw_errors(model.name, model.dataset.classes, confusion.tolist()),
    }
    record = Trained(
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
        license=plan.weights_license,
        paper=model.architecture.paper,
        job=msgspec.structs.replace(job, compile=how),
        recipe_sha256=job.recipe.sha256(),
        training=TrainingRecord(
            epochs=len(rows),
            train_seconds=sum(row.train_seconds for row in rows),
            compile_seconds=sum(row.compile_seconds for row in rows),
            compile_why=f"{why}; batch norm, addition and ReLU fused" if training.learner.fused else why,
            compile_requested=None if how == job.compile else job.compile,
            batch_norm_images=distributed.batch_norm_images(net, min(job.recipe.batch_size, job.train_images)),
            continued=training.progress.continued or UNSET,
        ),
        results=results,
        environment=environment(training.splits.train.labels.device, model.architecture),
        files={name: File.of(files[name]) for name in (store.WEIGHTS, store.LOG)},
        known_answers=tuple(
            tuple(row) for row in known_answers(net, training.pixels, model.dataset.input_size).tolist()
        ),
        pretrained_cfg=_pretrained_cfg(net, model, mean, std),
    )
    try:
        return _write(plan.output.folder, record, rows, model, files)
    except FolderError as error:
        raise FolderError(f"{error}; the trained net is in {plan.output.run}: resume continues from there") from None


def _pretrained_cfg(
    net: nn.Module, model: Model, mean: tuple[float, ...], std: tuple[float, ...]
) -> PretrainedCfg | UnsetType:
    """The entry of timm to load the weights with, if the net is one of timm's under the same name."""
    cfg = getattr(net, "pretrained_cfg", None)
    if not isinstance(cfg, dict) or cfg.get("architecture") != model.architecture.name:
        return UNSET
    dataset, resizing = model.dataset, model.dataset.resizing
    return PretrainedCfg(
        input_size=dataset.input_size,
        mean=mean,
        std=std,
        crop_pct=resizing.crop_pct,
        interpolation=resizing.interpolation,
        crop_mode=resizing.crop_mode,
        label_names=dataset.classes,
        num_classes=len(dataset.classes),
        first_conv=cfg.get("first_conv"),
        classifier=cfg.get("classifier"),
        fixed_input_size=cfg.get("fixed_input_size", False),
    )


def _record_seeds(out: Path, repetitions: list[Trained], model: Model) -> Trained:
    """Record the results of all seeds in the model folder `out`."""
    record = require_trained(store.check(out))
    seeds = tuple(repetition.seed_results for repetition in repetitions)
    if record.seeds == seeds:
        return record
    record = msgspec.structs.replace(record, seeds=seeds)
    files = {name: content for name, content in store.read_files(out).items() if name != store.CONFIG}
    return _write(out, record, store.read_log(out), model, files)


def _round_to_fp16(net: nn.Module) -> None:
    """Round the weights to fp16, so that the evaluated weights are the published ones; raises TrainingError."""
    net.load_state_dict(weights.rounded_to_half(net))
    if (name := weights.not_finite(net)) is not None:
        raise TrainingError(f"{name} has a value above 65,504, the largest of fp16; train again with dtype fp32")


def _write(out: Path, record: Trained, rows: list[EpochRow], model: Model, files: dict[str, bytes]) -> Trained:
    """Write the model folder with its card to a temporary folder, then rename it to `out`."""
    text = card.render(record, rows, model, shows_errors=store.ERRORS in files)
    with written_aside(out) as aside:
        return require_trained(store.write(aside, record, files | {store.README: text.encode()}))
