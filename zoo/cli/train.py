"""`zoo train`, `zoo reproduce`, `zoo compare`: what makes weights."""

from pathlib import Path
from typing import Annotated, Any

import typer

from zoo import api
from zoo.cli import completion, options
from zoo.cli.printing import progress, say, say_published, say_trained, telling
from zoo.record.types import obstacles, spread
from zoo.training.environment import keep_memory


@options.with_training_options
def train(
    name: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="resnet20, or in full: resnet20_cifar100.", autocompletion=completion.models
        ),
    ],
    given: dict[str, Any],
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
        top1 = {one.seed: one.test_top1 for one in trained.config.seeds}
        each = ", ".join(f"seed {seed} {value:.2f}%" for seed, value in top1.items())
        say(f"{trained.config.name}: top-1 {spread([*top1.values()])}% from {len(top1)} seeds ({each})")
    if trained.published:
        say_published(trained.published)


def reproduce(
    model: options.ModelName,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Train this long. [default: as published]")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Another seed. [default: as published]")] = None,
    hub: options.Hub = None,
    revision: options.Revision = None,
    device: options.Device = None,
    data: options.Data = None,
    dataset: options.SamePictures = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="What to make. [default: runs/MODEL-reproduced]"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that was stopped there.")] = False,
    overwrite: options.Overwrite = False,
    track: options.Track = None,
    quiet: options.Quiet = False,
) -> None:
    """Train a published model again with the recipe in its folder, and set the result beside its card's.

    Where processor, threads, versions and all else that decides the weights are the same, the same bytes
    are to be expected; the exit code is 1 where they are, and don't come.
    """
    keep_memory()
    trained, published = api.reproduce(
        model,
        hub=hub,
        revision=revision,
        epochs=epochs,
        seed=seed,
        device=device,
        data=data,
        dataset=dataset,
        out=out,
        resume=resume,
        overwrite=overwrite,
        track=track or (),
        report=None if quiet else progress(),
        tell=None if quiet else telling(),
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


def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...", help="Which models, as in: plain20 plain56.", autocompletion=completion.models
        ),
    ],
    recipe: options.Recipe = None,
    settings: options.Settings = None,
    epochs: options.Epochs = None,
    seed: options.Seed = 0,
    device: options.Device = None,
    amp: options.Amp = None,
    data: options.Data = None,
    limit_train: options.LimitTrain = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Where the model folders and the plot go.")
    ] = Path("compare"),
    mixed: Annotated[
        bool, typer.Option("--mixed", help="Also models on different data sets, in the same axes.")
    ] = False,
    track: options.Track = None,
    quiet: options.Quiet = False,
) -> None:
    """Train several models the same way, and draw error against epoch, train dashed and test solid.

    The degradation problem: zoo compare plain20 plain56 resnet20 resnet56 --recipe paper. What was
    finished before in the same folder is taken as it is, and what was stopped goes on.
    """
    keep_memory()
    trained = api.compare(
        models,
        out=out,
        recipe=recipe,
        settings=options.settings_of(settings),
        epochs=epochs,
        seed=seed,
        device=device,
        amp=amp,
        data=data,
        limit_train=limit_train,
        mixed=mixed,
        track=track or (),
        report=None if quiet else progress(),
    )
    for one in trained:
        say_trained(one)
    say(f"the errors are drawn to {out / 'errors.svg'} and {out / 'errors.png'}")


def _speaks_for_all() -> bool:
    """Whether this process is torchrun's first, which alone prints."""
    from zoo.training.distributed import share

    return share().is_first
