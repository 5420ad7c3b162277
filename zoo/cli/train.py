"""`zoo train`, `zoo reproduce`, `zoo compare`: commands that train."""

from pathlib import Path
from typing import Annotated, Any

import typer

from zoo import api
from zoo.cli import options
from zoo.cli.printing import progress, say, say_published, say_trained, telling
from zoo.decoding import as_text
from zoo.record.types import obstacles, spread
from zoo.training.environment import keep_memory
from zoo.training.options import CompareOptions, ReproduceOptions, TrainOptions


def _defaults(context: typer.Context, path: Path | None) -> None:
    """Use the options in a file as defaults."""
    if path is None:
        return
    from zoo.training import config

    given = config.read(path)
    if "model" in given:
        given["name"] = given.pop("model")
    if "settings" in given:
        given["settings"] = [f"{field}={as_text(value)}" for field, value in given["settings"].items()]
    context.default_map = given


@options.with_options(TrainOptions)
def train(
    name: Annotated[str, options.model_argument("An architecture or a model: resnet20, resnet20_cifar100.")],
    given: dict[str, Any],
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            is_eager=True,
            callback=_defaults,
            help="TOML file of options; the command line overrides it. `zoo info MODEL --job` prints such a file.",
        ),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Train a model, evaluate it, and write its model folder.

    With --push, the model is also published. Ctrl-C stops the training and writes a checkpoint; --resume continues from
    it.
    """
    keep_memory()
    trained = api.train(name, **given, report=None if quiet else progress(), tell=None if quiet else telling())
    if not _is_first_process():
        return
    say_trained(trained)
    if len(trained.config.seeds) > 1:
        top1 = {result.seed: result.test_top1 for result in trained.config.seeds}
        values = ", ".join(f"seed {seed} {value:.2f}%" for seed, value in top1.items())
        say(f"{trained.config.name}: top-1 {spread([*top1.values()])}% from {len(top1)} seeds ({values})")
    if trained.published:
        say_published(trained.published)


@options.with_options(ReproduceOptions)
def reproduce(
    model: options.ModelName,
    given: dict[str, Any],
    quiet: options.Quiet = False,
) -> None:
    """Train a published model again, and compare the results.

    The settings are those in its record. With the same processor, threads and versions, the weights must be the same,
    byte for byte; the exit code is 1 if they are not.
    """
    keep_memory()
    trained, published = api.reproduce(
        model, **given, report=None if quiet else progress(), tell=None if quiet else telling()
    )
    if not _is_first_process():
        return
    say_trained(trained)
    for source, config in (("here", trained.config), ("card", published)):
        job, results, training = config.job, config.results, config.training
        say(
            f"{config.name}  {source}: top-1 {results.test_top1:.2f}%  top-5 {results.test_top5:.2f}%  "
            f"{training.epochs} epochs, seed {job.seed}, {config.environment.device}"
        )
    reasons = obstacles(trained.config, published)
    say(f"expecting different weights: {'; '.join(reasons)}" if reasons else "expecting identical weights")
    is_identical = trained.config.weights.sha256 == published.weights.sha256
    say(f"the weights are {'identical to' if is_identical else 'different from'} the published ones")
    if not (reasons or is_identical):
        raise typer.Exit(1)


COMPARED = (
    "recipe",
    "dataset",
    "settings",
    "epochs",
    "seed",
    "device",
    "amp",
    "data",
    "limit_train",
    "out",
    "mixed",
    "track",
)


@options.with_options(CompareOptions, only=COMPARED)
def compare(
    models: Annotated[list[str], options.model_argument("The models: plain20 plain56.", "MODEL...")],
    given: dict[str, Any],
    quiet: options.Quiet = False,
) -> None:
    """Train several models, and plot their errors.

    All are trained with the same options. For example, to show the degradation problem: zoo compare plain20 plain56
    resnet20 resnet56 --recipe paper. Models that are finished in the same folder are not trained again, and stopped
    runs continue.
    """
    keep_memory()
    trained = api.compare(models, **given, report=None if quiet else progress())
    for result in trained:
        say_trained(result)
    out = trained[0].folder.parent
    say(f"the errors are plotted in {out / 'errors.svg'} and {out / 'errors.png'}")


def _is_first_process() -> bool:
    """Whether this is the only process, or the first one of torchrun, which prints for all."""
    from zoo.training.distributed import share

    return share().is_first
