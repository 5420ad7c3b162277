"""`zoo eval`, `zoo verify`, `zoo predict`: evaluate, verify and use models."""

import dataclasses
import os
import warnings
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from zoo import api
from zoo.cli import options
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
        bool, typer.Option("--report", help="Also report each class, and write the confusion matrix to --out.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Where --report writes. [default: MODEL-report]")
    ] = None,
    device: options.AnyDevice = None,
    data: options.Data = None,
    dataset: options.SameImages = None,
    runtime: options.Runtime = None,
    as_json: options.Json = False,
) -> None:
    """Evaluate a model on its test set.

    All test images are used. The results are compared with those on the model's card.
    """
    if out is not None:
        if not report:
            raise typer.BadParameter("--report writes to this folder; add --report", param_hint="--out")
        require_writable(out)
    evaluated = api.evaluate(
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
    card = evaluated.config.results if evaluated.config else None
    folder = out or Path(f"{evaluated.name}-report")
    classes = api.report(evaluated, folder) if report else []
    if as_json:
        print_json(
            {
                "name": evaluated.name,
                "now": msgspec.structs.asdict(evaluated.results),
                "card": msgspec.structs.asdict(card) if card else None,
                **({"classes": [dataclasses.asdict(result) for result in classes]} if report else {}),
            }
        )
        return
    for source, results in (("now", evaluated.results), ("card", card)):
        if results:
            say(
                f"{evaluated.name}  {source:>4}: top-1 {results.test_top1:.2f}%  top-5 {results.test_top5:.2f}%  "
                f"loss {results.test_loss:.6f}  ({results.test_images:,} test images)"
            )
    if isinstance(evaluated.config, Trained) and evaluated.config.pictures:
        low, high = evaluated.results.interval
        say(f"95% confidence interval of top-1 (Wilson): {low:.1f}% to {high:.1f}%")
    if report:
        cells = [
            (row.name, f"{row.images:,}", f"{row.top1:.1f}%", row.mistaken_for or "–", f"{row.mistakes:,}")
            for row in classes
        ]
        print_table(("class", "images", "top-1", "mistaken for", "times"), cells, right=(1, 2, 4))
        say(f"the confusion matrix is in {folder}")


def verify(
    models: Annotated[
        list[str] | None,
        options.model_argument("Names, model folders' paths, or hf://namespace/name.", "MODEL..."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Verify all models with published weights.")] = False,
    hub: options.Hub = None,
    device: options.AnyDevice = None,
    data: options.Data = None,
    dataset: options.SameImages = None,
    as_json: options.Json = False,
) -> None:
    """Verify models against their records.

    Checks hashes, strict loading, recorded logits, and the accuracy if the data is on this machine. Each model is "as
    published", "DIFFERS" or "not measured", with the names of the checks that could not be made. Accuracy is not
    measured if the test set is not on this machine; it is not downloaded. The exit code is 1 if a model differs or
    can't be read; the other models are still verified.
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
    """Whether a model has a record: False for a path without a readable config.json."""
    reference = parse(name)
    if not isinstance(reference, Path):
        return True
    try:
        return os.access(path_of(reference) / store.CONFIG, os.R_OK)
    except FolderError:  # not a valid path
        return False


def _published(hub: str | None) -> tuple[list[str], int]:
    """Return the models with weights, or those of a hub, and the number of models too damaged to be listed.

    Models of a hub are named by address: there `resnet8` is a model, not the architecture on its default dataset.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", HubWarning)
        rows = api.overview(pretrained=True, hub=hub)
        names = [row.name if row.weights in (None, "catalogue") else row.weights for row in rows]
    for warning in caught:
        warnings.showwarning(warning.message, warning.category, warning.filename, warning.lineno)
    return names, sum(issubclass(warning.category, HubWarning) for warning in caught)


def _say_verified(verified: Verified) -> None:
    outcome = "DIFFERS" if verified.outcome == "differs" else verified.outcome
    checks = f": {', '.join(verified.not_measured)}" if verified.outcome == "not measured" else ""
    say(f"{verified.name}: {outcome}{checks}")
    for check in verified.checks:
        if check.outcome != "differs":  # differences are printed on stderr
            say(f"  {check.name}: {check.finding}")


def predict(
    model: options.ModelName,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Images of any size and mode, or folders of them.")
    ],
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="Print the N most probable classes.")] = 5,
    hub: options.Hub = None,
    revision: options.Revision = None,
    device: options.AnyDevice = None,
    runtime: options.Runtime = None,
    as_json: options.Json = False,
) -> None:
    """Classify images with a published model.

    Prints class names with probabilities. An image that can't be read is reported and skipped; the exit code is then 1.
    """
    unreadable = 0
    rows = []
    predictions = api.predict(model, images, top=top, hub=hub, revision=revision, device=device, runtime=runtime)
    for prediction in predictions:
        unreadable += prediction.error is not None
        if prediction.error is not None:
            complain(prediction.error)
        if as_json:
            rows.append({**dataclasses.asdict(prediction), "path": str(prediction.path)})
        elif prediction.error is None:
            guesses = (f"  {100 * guess.probability:6.2f}%  {guess.label}" for guess in prediction.guesses)
            say("\n".join([str(prediction.path), *guesses]))
    if as_json:
        print_json(rows)
    if unreadable:
        raise typer.Exit(1)
