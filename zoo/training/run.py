"""A run, from a job to a model folder: data, net, training, evaluation, card."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from zoo.data import batches, sources
from zoo.errors import TrainingError
from zoo.nets.build import build, parameters
from zoo.nets.device import enough_memory
from zoo.record import store
from zoo.record.job import Job
from zoo.record.types import Trained, require_trained
from zoo.spec import Model
from zoo.training import distributed, result
from zoo.training.algorithms import algorithms, threads
from zoo.training.caller import left_as_it_was
from zoo.training.loop import Training, begin, train, train_side_by_side
from zoo.training.place import Place
from zoo.training.plan import Machine, Plan
from zoo.training.start import fill
from zoo.training.watch import Silent, Watch, Watched


def run(
    plan: Plan, model: Model, place: Place, *, machine: Machine, watch: Watch, teacher: nn.Module | None = None
) -> Trained:
    """Train what the job asks for, evaluate it once, after the last epoch, and write its model folder.

    `teacher` is the net that the job names, on the device and in evaluation mode.

    Raises TrainingError where the place is taken or the run there is another's, DataError, Interrupted.
    """
    share = distributed.share()
    if (finished := place.finished(plan.job)) is not None:
        if share.is_first:
            place.clear()  # a kill may have come before that
        return finished
    watch = watch.tracked(_watched(plan.job, place)) if share.is_first else replace(watch, report=Silent())
    # The caller's random numbers and settings are left as they were.
    with _as_asked(plan.job, machine.device), contextlib.ExitStack() as on_leaving:
        on_leaving.callback(watch.report.finish)
        training = _prepared(plan, model, place, machine, watch, teacher)
        train(training)
        if not share.is_first:
            distributed.wait_for_all()
            return require_trained(store.read_record(place.folder))
        config = result.write(training, plan, model, place)
        watch.report.result(training.progress.rows[-1])
    place.clear()
    distributed.wait_for_all()
    return config


def run_seeds(
    plans: Sequence[Plan],
    model: Model,
    places: Sequence[Place],
    *,
    machine: Machine,
    watch: Watch,
    teacher: nn.Module | None = None,
    side_by_side: bool = False,
) -> Trained:
    """Run the same job from several seeds, and say on the card of the first what all of them came to.

    One after another, or side by side in this process, where one net leaves most of a GPU idle.
    Returns the first one's facts. Raises what `run` raises.
    """
    if side_by_side and len(plans) > 1:
        configs = _run_side_by_side(plans, model, places, machine, watch, teacher)
    else:
        configs = [
            run(plan, model, place, machine=machine, watch=watch, teacher=teacher)
            for plan, place in zip(plans, places, strict=True)
        ]
    if len(configs) == 1 or not distributed.share().is_first:
        return configs[0]
    return result.record_seeds(places[0].folder, configs, model)


def _run_side_by_side(
    plans: Sequence[Plan],
    model: Model,
    places: Sequence[Place],
    machine: Machine,
    watch: Watch,
    teacher: nn.Module | None,
) -> list[Trained]:
    """Run jobs that differ in nothing but their seed at once; the first one is who tells how it goes."""
    if distributed.share().world > 1:
        raise TrainingError("seeds can't be trained side by side by several processes; leave out --side-by-side")
    configs = [place.finished(plan.job) for plan, place in zip(plans, places, strict=True)]
    with _as_asked(plans[0].job, machine.device), contextlib.ExitStack() as on_leaving:
        trainings: dict[int, Training] = {}
        for number, (plan, place) in enumerate(zip(plans, places, strict=True)):
            if configs[number] is None:
                seen = replace(watch, report=Silent()) if trainings else watch
                seen = seen.tracked(_watched(plan.job, place))
                on_leaving.callback(seen.report.finish)
                trainings[number] = _prepared(plan, model, place, machine, seen, teacher)
                _require_no_dropout(trainings[number].learner.net, model)
        train_side_by_side(list(trainings.values()))
        for number, training in trainings.items():
            configs[number] = result.write(training, plans[number], model, places[number])
            training.watch.report.result(training.progress.rows[-1])
        for place in places:
            place.clear()
    return [config for config in configs if config is not None]


def _watched(job: Job, place: Place) -> Watched:
    return Watched(job.name, json.dumps(job.to_json()), place.events)


def _require_no_dropout(net: nn.Module, model: Model) -> None:
    """Nets that draw while they train would draw from one another's numbers, and none be what it is alone."""
    if any(isinstance(module, _DropoutNd) for module in net.modules()):
        raise TrainingError(f"{model.name} has dropout, and can't be trained side by side; leave out --side-by-side")


def _prepared(
    plan: Plan, model: Model, place: Place, machine: Machine, watch: Watch, teacher: nn.Module | None
) -> Training:
    """Read the data, make room, build the net from its seed, or take up what a checkpoint kept."""
    job, share = plan.job, distributed.share()
    if not share.is_first:
        distributed.wait_for_all()  # for the first one, which may have to download, and makes room
    splits = sources.read_splits(
        model.dataset, job.recipe, machine.data_root, device=machine.device, train_images=job.train_images
    )
    if share.is_first:
        place.make_room(parameters(model))
        distributed.wait_for_all()
    torch.manual_seed(job.seed)
    net = build(model.architecture, model.dataset)
    if plan.start is not None:
        fill(net, plan.start, model)
    if job.grad_checkpointing:
        _checkpoint_gradients(net, job)
    watch.report.note(f"compile {job.compile} ({plan.why})")
    pixels = batches.pixels(*model.normalisation(job.recipe), machine.device)
    training = begin(job, net, splits, pixels, run=place.run, watch=watch, teacher=teacher)
    if place.resumes:
        training.resume()
    return training


@contextlib.contextmanager
def _as_asked(job: Job, device: torch.device) -> Iterator[None]:
    """Compute as the job says; afterwards everything is as it was."""
    with (
        enough_memory(device, _needed(job)),
        left_as_it_was(device),
        algorithms(device, deterministic=job.deterministic),
        threads(job.threads),
    ):
        yield


def _needed(job: Job) -> str:
    ways = ["take smaller batches (--set batch_size=…)"]
    ways += [] if job.grad_checkpointing else ["recompute activations (--grad-checkpointing)"]
    ways += ["keep fewer pictures there (ZOO_DATA_MEMORY=BYTES)"] if job.pictures else []
    return f"{job.name} with batch_size {job.recipe.batch_size:,}; " + ", or ".join(ways)


def _checkpoint_gradients(net: nn.Module, job: Job) -> None:
    switch = getattr(net, "set_grad_checkpointing", None)
    if switch is None:
        raise TrainingError(
            f"{job.name} can't recompute its activations: its net has no set_grad_checkpointing(); "
            "leave out --grad-checkpointing and take a smaller batch (--set batch_size=…)"
        )
    switch()
