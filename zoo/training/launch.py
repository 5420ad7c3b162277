"""Start trainings: one model from one or several seeds, a published model again, several models to be compared."""

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
    """The result of a training: its model folder, its record, and where it was published."""

    folder: Path
    config: TrainedRecord
    published: Pushed | None


def train(name: str, options: TrainOptions) -> Trained:
    """Train a model from every seed, and publish that of the first one where the options say so."""
    target = open_hub(options.hub) if options.push else None
    return launch(plans(name, options), target)


def launch(plans: Sequence[Plan], target: Hub | None = None) -> Trained:
    """Run plans that differ in their seed, and publish the first one's model."""
    from zoo.training import distributed
    from zoo.training.output import locked
    from zoo.training.run import run_seeds

    first, is_first = plans[0], distributed.share().is_first
    outputs = [plan.output for plan in plans]
    with locked(outputs if is_first else ()):
        if is_first:
            for plan in plans:
                plan.output.require(plan.job)
            if target is not None:
                publish.require_public(first.job, target)
                target.require_writable(first.model.name)
                publish.require_card(first.model, first.job, first.weights_license, target)
        with distributed.process_group(first.machine.device):
            config = run_seeds(plans)
        folder = first.output.folder
        published = _published(folder, target) if target is not None and is_first else None
        return Trained(folder, config, published)


def _published(folder: Path, hub: Hub) -> Pushed:
    """Publish the folder of a training that has ended; an error says how to publish it later."""
    try:
        return publish.publish(folder, hub)
    except HubError as error:
        command = f"zoo push {shlex.quote(str(folder))} --hub {hub.address}"
        raise type(error)(f"{error}; the model folder {folder} is whole: publish it with: {command}") from None


def compare(names: Sequence[str], options: CompareOptions) -> list[Trained]:
    """Train models with the same options, each into its folder in `options.out`, and draw their errors there."""
    out = path_of(options.out or "compare")
    full = list(dict.fromkeys(registry.resolve(name, options.dataset) for name in names))
    models = [registry.load(name) for name in full]
    recipes = [options.recipe_of(model)[0] for model in models]
    datasets = list(dict.fromkeys(model.dataset.name for model in models))
    if len(datasets) > 1 and not options.mixed:
        raise TrainingError(
            f"errors on {' and '.join(datasets)} are not to be compared; name models of one data set, in full as in "
            f"{full[0]}, or draw them together (mixed)"
        )
    trained = [train(name, replace(options, dataset=None, out=out / name, resume=True)) for name in full]
    records = [result.config for result in trained]
    # By architecture, or in full where two models have the same one.
    is_short = len({record.architecture for record in records}) == len(records)
    runs = {
        result.config.architecture if is_short else result.config.name: store.read_log(result.folder)
        for result in trained
    }
    title = f"{', '.join(datasets)}, recipe {', '.join(dict.fromkeys(recipes))}"
    for kind in ("svg", "png"):
        curve.write(out / f"errors.{kind}", curve.errors(runs, kind, title))
    return trained
