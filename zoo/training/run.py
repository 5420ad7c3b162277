"""A run, from a plan to a model folder: data, net, training, evaluation, card."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import nn

from zoo.data import batches, sources
from zoo.errors import TrainingError
from zoo.nets.build import build, parameters
from zoo.nets.device import enough_memory
from zoo.record import store
from zoo.record.job import Job
from zoo.record.types import Trained, require_trained
from zoo.training import distributed, result
from zoo.training.environment import algorithms, left_as_it_was, threads
from zoo.training.loop import Training, begin, train
from zoo.training.plan import Plan
from zoo.training.reporting import Reporting, Watched
from zoo.training.start import fill


def run_seeds(plans: Sequence[Plan]) -> Trained:
    """Run the same training from several seeds, one after another, and record all results in the first one's folder.

    Returns the first one's record. Raises what `run` raises.
    """
    first = plans[0]
    configs = [run(plan) for plan in plans]
    if len(configs) == 1 or not distributed.share().is_first:
        return configs[0]
    return result.record_seeds(first.output.folder, configs, first.model)


def run(plan: Plan) -> Trained:
    """Train the net, evaluate it once, after the last epoch, and write its model folder.

    Raises TrainingError if the output is taken or its run is of another job, DataError, Interrupted.
    """
    share, output = distributed.share(), plan.output
    if (finished := output.finished(plan.job)) is not None:
        if share.is_first:
            output.clear()  # a kill may have come before that
        return finished
    plan = replace(plan, reporting=_reporting(plan))
    report = plan.reporting.report
    with _settings(plan), contextlib.ExitStack() as on_leaving:
        on_leaving.callback(report.finish)
        training = _prepared(plan)
        train(training)
        if not share.is_first:
            distributed.wait_for_all()
            return require_trained(store.read_record(output.folder))
        config = result.write(training)
        report.result(training.progress.rows[-1])
    output.clear()
    distributed.wait_for_all()
    return config


def _reporting(plan: Plan) -> Reporting:
    """The first process reports to everyone, with trackers of its own for this run; all others are silent."""
    if not distributed.share().is_first:
        return plan.reporting.silent()
    return plan.reporting.of(Watched(plan.job.name, json.dumps(plan.job.to_json()), plan.output.events))


def _prepared(plan: Plan) -> Training:
    """Read the data, make room, build the net from its seed, or restore it from a checkpoint."""
    job, model, device, share = plan.job, plan.model, plan.machine.device, distributed.share()
    if not share.is_first:
        distributed.wait_for_all()  # for the first one, which may have to download, and makes room
    splits = sources.read_splits(
        model.dataset, job.recipe, plan.machine.data_root, device=device, train_images=job.train_images
    )
    if share.is_first:
        plan.output.make_room(parameters(model))
        distributed.wait_for_all()
    torch.manual_seed(job.seed)
    net = build(model.architecture, model.dataset)
    if plan.start is not None:
        fill(net, plan.start, model)
    if job.grad_checkpointing:
        _checkpoint_gradients(net, job)
    plan.reporting.report.note(f"compile {job.compile} ({plan.why})")
    training = begin(plan, net, splits, batches.pixels(*model.normalisation(job.recipe), device))
    if plan.output.resumes:
        training.resume()
    return training


@contextlib.contextmanager
def _settings(plan: Plan) -> Iterator[None]:
    """Compute as the job says; the caller's random numbers and settings are restored afterwards."""
    job, device = plan.job, plan.machine.device
    with (
        enough_memory(device, _needed(job)),
        left_as_it_was(device),
        algorithms(device, deterministic=job.deterministic),
        threads(job.threads),
    ):
        yield


def _needed(job: Job) -> str:
    ways = ["take smaller batches (batch_size)"]
    ways += [] if job.grad_checkpointing else ["recompute activations (grad_checkpointing)"]
    ways += ["keep fewer pictures there (ZOO_DATA_MEMORY=BYTES)"] if job.pictures else []
    return f"{job.name} with batch_size {job.recipe.batch_size:,}; " + ", or ".join(ways)


def _checkpoint_gradients(net: nn.Module, job: Job) -> None:
    switch = getattr(net, "set_grad_checkpointing", None)
    if switch is None:
        raise TrainingError(
            f"{job.name} can't recompute its activations: its net has no set_grad_checkpointing(); "
            "leave out grad_checkpointing and take a smaller batch (batch_size)"
        )
    switch()
