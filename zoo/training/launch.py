"""Start trainings, publish their models, and compare models."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from zoo import registry
from zoo.errors import HubError, TrainingError
from zoo.hub import Hub, Pushed, open_hub, publish
from zoo.record import curve, store
from zoo.record.paths import path_of
from zoo.record.types import Trained as TrainedRecord
from zoo.training.options import CompareOptions, TrainOptions
from zoo.training.plan import plans

if TYPE_CHECKING:
    from zoo.training.plan import Plan


@dataclass(frozen=True)
class Trained:
    """The result of a training.

    Attributes:
        folder: The model folder.
        config: The record of the model.
        published: The published revision; None if the model was not published.
    """

    folder: Path
    config: TrainedRecord
    published: Pushed | None


def train(name: str, options: TrainOptions) -> Trained:
    """Train a model from every seed of the options, and publish the first seed's with `options.push`.

    Raises what `plans` and `launch` raise.
    """
    target = open_hub(options.hub) if options.push else None
    return launch(plans(name, options), target)


def launch(plans: Sequence[Plan], target: Hub | None = None) -> Trained:
    """Run plans that differ in their seed, and publish the first model.

    Args:
        plans: The plans of all seeds.
        target: The hub to publish to, if any.

    Raises:
        TrainingError: An output is in use or taken, or the training can't run.
        HubError: The model can't be published.
        Interrupted: A signal stopped the training.
    """
    from zoo.nets.device import describe
    from zoo.training import distributed
    from zoo.training.output import locked
    from zoo.training.run import run_seeds

    first, is_first = plans[0], distributed.share().is_first
    outputs = [plan.output for plan in plans]
    with locked(outputs if is_first else ()):
        if is_first:
            for plan in plans:
                plan.output.require(plan.job, describe(plan.device))
            if target is not None:
                publish.require_public(first.job, target)
                target.require_writable(first.model.name)
                publish.require_card(first.model, first.job, first.weights_license, target)
        with distributed.process_group(first.device):
            config = run_seeds(plans)
        folder = first.output.folder
        published = _published(folder, target) if target is not None and is_first else None
        return Trained(folder, config, published)


def _published(folder: Path, hub: Hub) -> Pushed:
    """Publish a trained model folder; an error names the command that publishes it later."""
    try:
        return publish.publish(folder, hub)
    except HubError as error:
        command = f"zoo push {shlex.quote(str(folder))} --hub {hub.address}"
        raise type(error)(f"{error}; the model folder {folder} is complete: publish it with: {command}") from None


def compare(names: Sequence[str], options: CompareOptions) -> list[Trained]:
    """Train models with the same options, each into a folder in `options.out`, and plot their errors there.

    Args:
        names: The models or architectures.
        options: The options of all trainings.

    Returns:
        The results, in the order of the names.

    Raises:
        TrainingError: The models are on different datasets, and `options.mixed` is not set.
    """
    out = path_of(options.out or "compare")
    full = list(dict.fromkeys(registry.resolve(name, options.dataset) for name in names))
    models = [registry.load(name) for name in full]
    recipes = [options.recipe_of(model)[0] for model in models]
    datasets = list(dict.fromkeys(model.dataset.name for model in models))
    if len(datasets) > 1 and not options.mixed:
        raise TrainingError(
            f"models on {' and '.join(datasets)} have errors that can't be compared; name models of one dataset, for "
            f"example {full[0]}, or plot them together (mixed)"
        )
    trained = [train(name, replace(options, dataset=None, out=out / name, resume=True)) for name in full]
    records = [result.config for result in trained]
    # Labels are architectures, or full names if two models have the same architecture.
    is_short = len({record.architecture for record in records}) == len(records)
    runs = {
        result.config.architecture if is_short else result.config.name: store.read_log(result.folder)
        for result in trained
    }
    title = f"{', '.join(datasets)}, recipe {', '.join(dict.fromkeys(recipes))}"
    for kind in ("svg", "png"):
        curve.write(out / f"errors.{kind}", curve.errors(runs, kind, title))
    return trained
