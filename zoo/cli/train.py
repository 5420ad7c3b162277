"""`zoo train`, `zoo reproduce`, `zoo compare`: what makes weights."""

from pathlib import Path
from typing import Annotated

import typer

from zoo import api
from zoo.cli import completion, options
from zoo.cli.printing import progress, say, say_published, say_trained, telling
from zoo.record.same_bytes import obstacles
from zoo.record.types import spread
from zoo.training.memory import keep_memory


def train(
    name: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="resnet20, or in full: resnet20_cifar100.", autocompletion=completion.models
        ),
    ],
    recipe: options.Recipe = None,
    dataset: options.Dataset = None,
    start: options.Start = None,
    test_part: options.TestPart = None,
    skip_bad: options.SkipBad = False,
    license: options.License = None,  # noqa: A002 - what it is called everywhere
    settings: options.Settings = None,
    epochs: options.Epochs = None,
    seed: options.Seed = 0,
    seeds: options.Seeds = 1,
    side_by_side: options.SideBySide = False,
    device: options.Device = None,
    amp: options.Amp = None,
    compiled: options.Compile = "auto",
    deterministic: options.Deterministic = None,
    grad_checkpointing: options.GradCheckpointing = False,
    dtype: options.Dtype = "fp32",
    threads: options.Threads = None,
    data: options.Data = None,
    limit_train: options.LimitTrain = None,
    out: options.RunOut = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    save_every: options.SaveEvery = 1,
    eval_every: options.EvalEvery = 1,
    push: options.Push = False,
    hub: options.PushHub = None,
    track: options.Track = None,
    quiet: options.Quiet = False,
) -> None:
    """Train a model with one of its recipes, evaluate it, write its model folder; publish it with --push.

    Ctrl-C leaves a checkpoint; --resume goes on from it, to the same weights.
    """
    keep_memory()
    trained = api.train(
        name,
        dataset=dataset,
        start=start,
        test_part=test_part,
        skip_bad=skip_bad,
        license=license,
        recipe=recipe,
        settings=_settings(settings or []),
        epochs=epochs,
        seed=seed,
        seeds=seeds,
        side_by_side=side_by_side,
        device=device,
        amp=amp,
        compile=compiled,
        deterministic=deterministic,
        grad_checkpointing=grad_checkpointing,
        dtype=dtype,
        threads=threads,
        data=data,
        limit_train=limit_train,
        out=out,
        resume=resume,
        overwrite=overwrite,
        save_every=save_every,
        eval_every=eval_every,
        push=push,
        hub=hub,
        track=track or (),
        report=None if quiet else progress(),
        tell=None if quiet else telling(),
    )
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
        settings=_settings(settings or []),
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


def _settings(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise typer.BadParameter(f"{pair!r} should be FIELD=VALUE, as in lr=0.05", param_hint="--set")
    return dict(pair.split("=", 1) for pair in pairs)
