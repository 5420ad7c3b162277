"""`zoo list`, `zoo search`, `zoo info`: list, find and describe models."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from zoo.cli import completion, options
from zoo.cli.printing import console, count, print_json, print_rows, print_table, say
from zoo.hub import listing

if TYPE_CHECKING:
    from zoo.hub.info import ModelInfo
    from zoo.record.types import Record
    from zoo.spec import Model, Recipe


def list_models(
    pattern: Annotated[
        str | None,
        options.model_argument("A name, a prefix or a pattern: resnet56, 'resnet2*'. Case is ignored.", "PATTERN"),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset", metavar="NAME", help="Only models on this dataset.", autocompletion=completion.datasets
        ),
    ] = None,
    pretrained: Annotated[
        bool | None,
        typer.Option("--pretrained/--untrained", help="Only models with or without published weights."),
    ] = None,
    max_parameters: Annotated[
        int | None,
        typer.Option(
            "--max-parameters",
            metavar="N",
            help="Only models with at most N parameters: 270k, 1M, 1000000.",
            parser=options.count_of,
        ),
    ] = None,
    hub: Annotated[
        str | None,
        typer.Option("--hub", metavar="HUB", help="List the models of this hub: file:PATH, hf://NAMESPACE."),
    ] = None,
    sort: Annotated[
        listing.Order,
        typer.Option(
            "--sort",
            metavar="published|name|top1|parameters",
            help="Sort by published weights first, name, top-1 within each dataset, or number of parameters.",
        ),
    ] = listing.Order.PUBLISHED,
    as_json: options.Json = False,
) -> None:
    """List models: parameters, accuracy, license and weights.

    Prints a table on a terminal, and tab-separated lines in a pipe. The exit code is 1 if no model matches. For the
    best small models on CIFAR-100: zoo list --dataset cifar100 --max-parameters 1M --sort top1.
    """
    rows = listing.overview(
        pattern, dataset=dataset, pretrained=pretrained, max_parameters=max_parameters, hub=hub, sort=sort
    )
    if not rows:
        raise listing.no_models(pattern, dataset=dataset, pretrained=pretrained, max_parameters=max_parameters, hub=hub)
    print_rows(rows, as_json=as_json)


def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Part of a repository's name: resnet20.")],
    hub: Annotated[
        str, typer.Option("--hub", metavar="HUB", help="Search this hub: hf://NAMESPACE, or a plugin's.")
    ] = "hf://",
    as_json: options.Json = False,
) -> None:
    """Search the Hugging Face Hub, or another hub.

    Lists the zoo's models there.
    """
    print_rows(listing.search(text, hub=hub), as_json=as_json)


def _results(config: "Record") -> list[str]:
    """Return lines about the results of published weights and their origin."""
    from zoo.record.types import Trained  # imported here: `zoo list` does not need it

    lines = []
    if (results := config.results) is not None:
        lines.append(
            f"  results     top-1 {results.test_top1:.2f}%, top-5 {results.test_top5:.2f}%, "
            f"loss {results.test_loss:.4f} on {results.test_images:,} test images"
        )
    if isinstance(config, Trained):
        job = config.job
        return [*lines, f"  trained     recipe {job.recipe_name}, seed {job.seed}, {config.training.epochs} epochs"]
    source, download = config.source, config.download
    lines += [] if results else ["  results     not measured here"]
    lines.append(f"  trained by  {source.by}, not by the zoo{f'; {download.address}' if download else ''}")
    if (claim := source.claim) is not None:
        lines.append(f"  claimed     top-1 {claim.test_top1:.2f}%" + (f" ({claim.meaning})" if claim.meaning else ""))
    return lines


def _description(shown: "ModelInfo") -> list[str]:
    """Return lines about a model, without its recipes and layers."""
    from zoo.record.types import Imported

    model, config = shown.model, shown.config
    classes = ", ".join(shown.classes[:5]) + (", …" if len(shown.classes) > 5 else "")
    title = model.dataset.title if model else config.dataset if config else ""
    author = f" by {config.source.by}" if isinstance(config, Imported) else ""
    lines = [f"  {model.description}"] if model else []
    lines += [
        f"  parameters  {count(shown.parameters)}",
        f"  dataset     {title}, {len(shown.classes)} classes ({classes}), input {shown.input_size}",
        f"  paper       {(config.paper if config else model.architecture.paper if model else '') or '–'}",
        f"  license     {shown.license}, of {f'the weights{author}' if config else 'the code; there are no weights'}",
        f"  weights     {shown.weights or f'none published; train it: zoo train {shown.name}'}",
    ]
    if config:
        resizing = config.resizing
        lines += [
            f"  resizing    {resizing.crop_mode}, crop_pct {resizing.crop_pct:g}, {resizing.interpolation}",
            f"  plugin      {config.plugin_distribution}",
            *_results(config),
        ]
    for report in model.reported if model else ():
        remark = f" ({report.remark})" if report.remark else ""
        lines.append(f"  reported    top-1 {report.test_top1:.2f}% by {report.by}{remark}")
    return [shown.name, *lines]


def _recipes(model: "Model", *, everything: bool) -> list[str]:
    """Return a line for each recipe of a model."""
    lines = []
    for name, recipe in model.recipes.items():
        default = " (default)" if name == model.default_recipe else ""
        values = recipe.every()
        fields = values.keys() if everything else _chosen(recipe)
        text = ", ".join(f"{key}={value}" for key, value in values.items() if key in fields)
        lines.append(f"  recipe {name}{default}: {text}")
    return lines


def _chosen(recipe: "Recipe") -> set[str]:
    """Return the fields of a recipe that are not at their defaults, and the four most important ones."""
    fields = msgspec.structs.fields(recipe)
    changed = {field.name for field in fields if getattr(recipe, field.name) != field.default}
    return changed | {"epochs", "batch_size", "opt", "lr"}


def info(
    name: Annotated[str, options.model_argument("A model's name (resnet20, resnet20_cifar100), a path or an address.")],
    hub: options.Hub = None,
    layers: Annotated[
        bool, typer.Option("--layers/--no-layers", help="Show the net's layers, which imports torch.")
    ] = True,
    depth: Annotated[int, typer.Option("--depth", metavar="N", min=0, help="Levels of layers to show.")] = 2,
    everything: Annotated[bool, typer.Option("--all", help="Show every hyper-parameter of a recipe.")] = False,
    job: Annotated[
        bool, typer.Option("--job", help="Print the options of the model's training as a file for zoo train --config.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Show a model: its recipes, published results and layers.

    Hyper-parameters at their defaults are shown with --all only.
    """
    from zoo import api  # imported here: `zoo list` does not need it

    if job:
        from zoo.hub.resolve import published
        from zoo.record.types import require_trained
        from zoo.training.config import render

        source = published(name, hub=hub)
        for line in render(require_trained(source.config), source.declared).splitlines():
            say(line)
        return
    shown = api.info(name, hub=hub)
    model, config = shown.model, shown.config
    summary = api.layers(model.name, depth=depth) if layers and model else []
    if as_json:
        print_json(
            {
                "name": shown.name,
                "description": model.description if model else None,
                "parameters": shown.parameters,
                "classes": shown.classes,
                "license": shown.license,
                "weights": shown.weights,
                "recipes": {key: recipe.to_json() for key, recipe in model.recipes.items()} if model else {},
                "config": msgspec.to_builtins(config) if config else None,
                "layers": [dataclasses.asdict(layer) for layer in summary],
            }
        )
        return
    for text in (*_description(shown), *(_recipes(model, everything=everything) if model else ())):
        console().print(text, highlight=False, markup=False, soft_wrap=True)
    if model and summary:
        cells = [
            (
                layer.name or model.architecture.name,
                layer.type,
                "×".join(map(str, layer.output_shape or ())) or "–",
                f"{layer.parameters:,}",
                f"{layer.multiply_adds:,}",
            )
            for layer in summary
        ]
        print_table(("layer", "type", "output", "parameters", "multiply-adds"), cells, right=(3, 4))
