"""`zoo train`, `zoo reproduce`, `zoo compare`: commands that train."""

from pathlib import Path
from typing import Annotated, Any

import typer

from zoo import api
from zoo.cli import completion, options
from zoo.cli.printing import progress, say, say_published, say_trained, telling
from zoo.decoding import as_text
from zoo.record.types import obstacles, spread
from zoo.training.environment import keep_memory
from zoo.training.options import CompareOptions, ReproduceOptions, TrainOptions


def _defaults(context: typer.Context, path: Path | None) -> None:
    """Take the options in a file as the defaults of the command's."""
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
    name: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="resnet20, or in full: resnet20_cifar100.", autocompletion=completion.models
        ),
    ],
    given: dict[str, Any],
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            is_eager=True,
            callback=_defaults,
            help="Take options from a TOML file; those given here win. `zoo info MODEL --job` prints one.",
        ),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Train a model with one of its recipes, evaluate it, write its model folder; publish it with --push.

    Ctrl-C leaves a checkpoint; --resume goes on from it, to the same weights.
    """
    keep_memory()
    trained = api.train(name, **given, report=None if quiet else progress(), tell=None if quiet else telling())
    if not _speaks_for_all():
        return
    say_trained(trained)
    if len(trained.config.seeds) > 1:
        top1 = {result.seed: result.test_top1 for result in trained.config.seeds}
        each = ", ".join(f"seed {seed} {value:.2f}%" for seed, value in top1.items())
        say(f"{trained.config.name}: top-1 {spread([*top1.values()])}% from {len(top1)} seeds ({each})")
    if trained.published:
        say_published(trained.published)


@options.with_options(ReproduceOptions)
def reproduce(
    model: options.ModelName,
    given: dict[str, Any],
    quiet: options.Quiet = False,
) -> None:
    """Train a published model again with the recipe in its folder, and set the result beside its card's.

    Where processor, threads, versions and all else that decides the weights are the same, the same bytes
    are to be expected; the exit code is 1 where they are, and don't come.
    """
    keep_memory()
    trained, published = api.reproduce(
        model, **given, report=None if quiet else progress(), tell=None if quiet else telling()
    )
    if not _speaks_for_all():
        return
    say_trained(trained)
    for who, config in (("here", trained.config), ("card", published)):
        job, results, training = config.job, config.results, config.training
        say(
            f"{config.name}  {who}: top-1 {results.test_top1:.2f}%  top-5 {results.test_top5:.2f}%  "
            f"{training.epochs} epochs, seed {job.seed}, {config.environment.device}"
        )
    different = obstacles(trained.config, published)
    say(f"not expected to be the same bytes: {'; '.join(different)}" if different else "expected to be the same bytes")
    same = trained.config.weights.sha256 == published.weights.sha256
    say("the weights are the published ones, byte for byte" if same else "the weights are not the published bytes")
    if not (different or same):
        raise typer.Exit(1)


@options.with_options(
    CompareOptions,
    only=(
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
    ),
)
def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...", help="Which models, as in: plain20 plain56.", autocompletion=completion.models
        ),
    ],
    given: dict[str, Any],
    quiet: options.Quiet = False,
) -> None:
    """Train several models the same way, and draw error against epoch, train dashed and test solid.

    The degradation problem: zoo compare plain20 plain56 resnet20 resnet56 --recipe paper. What was
    finished before in the same folder is taken as it is, and what was stopped goes on.
    """
    keep_memory()
    trained = api.compare(models, **given, report=None if quiet else progress())
    for result in trained:
        say_trained(result)
    out = trained[0].folder.parent
    say(f"the errors are drawn to {out / 'errors.svg'} and {out / 'errors.png'}")


def _speaks_for_all() -> bool:
    """Whether this process prints: of the processes of torchrun only the first one does."""
    from zoo.training.distributed import share

    return share().is_first
