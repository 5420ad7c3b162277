"""`zoo eval`, `zoo verify`, `zoo predict`: what a model does, and whether it is what it says."""

import dataclasses
import os
import warnings
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from zoo import api
from zoo.cli import completion, options
from zoo.cli.printing import print_json, print_table, say, telling
from zoo.errors import FolderError, HubWarning, ZooError
from zoo.evaluation.outcome import Check, Verified
from zoo.evaluation.report import require_writable
from zoo.hub.address import parse
from zoo.plain import complain
from zoo.record import store
from zoo.record.paths import path_of
from zoo.record.types import Trained


def evaluate(
    model: options.ModelName,
    hub: options.Hub = None,
    revision: options.Revision = None,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="FILE", help="Evaluate this safetensors file in the model's net."),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Class by class too; the confusion matrix into the folder --out.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Where --report writes. [default: MODEL-report]")
    ] = None,
    device: options.AnyDevice = None,
    data: options.Data = None,
    dataset: options.SamePictures = None,
    runtime: options.Runtime = None,
    as_json: options.Json = False,
) -> None:
    """Run a model over the whole test set again, beside what its card says."""
    if out is not None:
        if not report:
            raise typer.BadParameter("it is where --report writes; add --report", param_hint="--out")
        require_writable(out)
    found = api.evaluate(
        model,
        hub=hub,
        revision=revision,
        weights=weights,
        device=device,
        data=data,
        dataset=dataset,
        runtime=runtime,
        tell=None if as_json else telling(),
    )
    card = found.config.results if found.config else None
    classes = api.report(found, out or Path(f"{found.name}-report")) if report else []
    if as_json:
        print_json(
            {
                "name": found.name,
                "now": msgspec.structs.asdict(found.results),
                "card": msgspec.structs.asdict(card) if card else None,
                **({"classes": [dataclasses.asdict(one) for one in classes]} if report else {}),
            }
        )
        return
    for who, results in (("now", found.results), ("card", card)):
        if results:
            say(
                f"{found.name}  {who:>4}: top-1 {results.test_top1:.2f}%  top-5 {results.test_top5:.2f}%  "
                f"loss {results.test_loss:.6f}  ({results.test_images:,} test images)"
            )
    if isinstance(found.config, Trained) and found.config.pictures:
        low, high = found.results.interval
        say(f"95% confidence interval of top-1 (Wilson): {low:.1f}% to {high:.1f}%")
    if report:
        cells = [
            (one.name, f"{one.images:,}", f"{one.top1:.1f}%", one.mistaken_for or "–", f"{one.mistakes:,}")
            for one in classes
        ]
        print_table(("class", "images", "top-1", "mistaken for", "times"), cells, right=(1, 2, 4))
        say(f"the confusion matrix is in {out or Path(f'{found.name}-report')}")


def verify(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL...",
            help="Names, model folders' paths, or hf://namespace/name.",
            autocompletion=completion.models,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every model that zoo list shows weights of.")] = False,
    hub: options.Hub = None,
    device: options.AnyDevice = None,
    data: options.Data = None,
    dataset: options.SamePictures = None,
    as_json: options.Json = False,
) -> None:
    """Compare models with their records: hash, strict load, known answers, and the test set where the data is there.

    Each is "as published", "DIFFERS", or "not measured", with the names of the checks that were not made:
    the test set where its data is not there (nothing is downloaded for it), or the folder where it can't be
    read. The exit code is 1 where anything differs, or a model could not be read; the others are
    verified all the same. It is 0 where something was not measured, and nothing differs.
    """
    if everything == bool(models):
        raise typer.BadParameter("name models, or give --all", param_hint="MODEL")
    names, unreadable = models or [], 0
    if everything:
        (names, unreadable), hub = _published(hub), None
    results: list[Verified] = []
    tell = None if as_json else telling()
    for name in names:
        try:
            result = api.verify(name, hub=hub, device=device, data=data, dataset=dataset, tell=tell)
        except ZooError as error:
            differs = isinstance(error, FolderError) and _has_record(name)
            result = Verified(name, (Check("folder", "differs" if differs else "not measured", str(error)),))
            if not differs:
                unreadable += 1
                complain(f"{name}: {error}")
        results.append(result)
        if not as_json:
            _say_verified(result)
        for difference in result.differences:
            complain(f"{result.name}: {difference}")
    if as_json:
        print_json(
            [
                {**dataclasses.asdict(result), "outcome": result.outcome, "not_measured": result.not_measured}
                for result in results
            ]
        )
    if unreadable or any(result.outcome == "differs" for result in results):
        raise typer.Exit(1)


def _has_record(name: str) -> bool:
    """Whether a model was found: False for a path that has no config.json which can be read."""
    reference = parse(name)
    if not isinstance(reference, Path):
        return True
    try:
        return os.access(path_of(reference) / store.CONFIG, os.R_OK)
    except FolderError:  # it can't be a path
        return False


def _published(hub: str | None) -> tuple[list[str], int]:
    """All models that zoo list shows weights of, or those in a hub, and how many are too damaged to be listed.

    By their addresses: what is called `resnet8` in a hub is that one's, and not resnet8 on its default data set.
    """
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", HubWarning)
        rows = api.overview(pretrained=True, hub=hub)
        names = [row.name if row.weights in (None, "catalogue") else row.weights for row in rows]
    for one in seen:
        warnings.showwarning(one.message, one.category, one.filename, one.lineno)
    return names, sum(issubclass(one.category, HubWarning) for one in seen)


def _say_verified(verified: Verified) -> None:
    outcome = "DIFFERS" if verified.outcome == "differs" else verified.outcome
    named = f": {', '.join(verified.not_measured)}" if verified.outcome == "not measured" else ""
    say(f"{verified.name}: {outcome}{named}")
    for check in verified.checks:
        if check.outcome != "differs":  # those go to stderr
            say(f"  {check.name}: {check.finding}")


def predict(
    model: options.ModelName,
    pictures: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Pictures of any size and mode, or folders of them.")
    ],
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="How many classes to name.")] = 5,
    hub: options.Hub = None,
    revision: options.Revision = None,
    device: options.AnyDevice = None,
    runtime: options.Runtime = None,
    as_json: options.Json = False,
) -> None:
    """Say what a published model sees in pictures: class names with probabilities.

    A picture that can't be read is named and passed over, and the exit code is then 1.
    """
    unreadable = 0
    answers = []
    for one in api.predict(model, pictures, top=top, hub=hub, revision=revision, device=device, runtime=runtime):
        unreadable += one.error is not None
        if one.error is not None:
            complain(one.error)
        if as_json:
            answers.append({**dataclasses.asdict(one), "path": str(one.path)})
        elif one.error is None:
            say("\n".join([str(one.path), *(f"  {100 * g.probability:6.2f}%  {g.label}" for g in one.guesses)]))
    if as_json:
        print_json(answers)
    if unreadable:
        raise typer.Exit(1)
