"""`zoo list`, `zoo search`, `zoo info`: what there is."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from zoo.cli import completion, options
from zoo.cli.printing import console, count, print_json, print_rows, print_table, say
from zoo.hub import listing

if TYPE_CHECKING:
    from zoo.record.types import Record
    from zoo.spec import Recipe


def list_models(
    pattern: Annotated[
        str | None,
        typer.Argument(
            metavar="[PATTERN]",
            help="A name, the beginning of names, or a pattern: resnet56, 'resnet*b_*'. Case is ignored.",
            autocompletion=completion.models,
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset", metavar="NAME", help="Only models on this data set.", autocompletion=completion.datasets
        ),
    ] = None,
    pretrained: Annotated[
        bool | None,
        typer.Option("--pretrained/--untrained", help="Only models with, or without, published weights."),
    ] = None,
    max_parameters: Annotated[
        int | None,
        typer.Option(
            "--max-parameters",
            metavar="N",
            help="Only models with at most so many parameters: 270k, 1M, 1000000.",
            parser=options.count_of,
        ),
    ] = None,
    hub: Annotated[
        str | None,
        typer.Option("--hub", metavar="HUB", help="The models in this hub alone. " + options.HUB_HELP),
    ] = None,
    sort: Annotated[
        listing.Order,
        typer.Option(
            "--sort",
            metavar="published|name|top1|parameters",
            help="Models with weights first; by name; by top-1, the best of each data set first; or by parameters.",
        ),
    ] = listing.Order.PUBLISHED,
    as_json: options.Json = False,
) -> None:
    """List the models: parameters, test accuracy, license, and where the weights are.

    A table on a terminal, tab-separated lines in a pipe. Where there is nothing to list, it says so and exits with 1.
    The best on CIFAR-100: zoo list --dataset cifar100 --max-parameters 1M --sort top1.
    """
    rows = listing.overview(
        pattern, dataset=dataset, pretrained=pretrained, max_parameters=max_parameters, hub=hub
    )
    if not rows:
        raise listing.nothing(
            pattern, dataset=dataset, pretrained=pretrained, max_parameters=max_parameters, hub=hub
        )
    print_rows(listing.ordered(rows, sort), as_json=as_json)


def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Part of a repository's name, as in resnet20.")],
    hub: Annotated[
        str, typer.Option("--hub", metavar="HUB", help="Search this hub: hf://NAMESPACE, or a plugin's.")
    ] = "hf://",
    as_json: options.Json = False,
) -> None:
    """Search the whole Hugging Face Hub for models of the zoo, or one hub."""
    print_rows(listing.search(text, hub=hub), as_json=as_json)


def _results(config: "Record") -> list[str]:
    """What published weights score, and how they came about."""
    from zoo.record.types import Trained  # here, as in info: `zoo list` reads no record

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
    lines.append(
        f"  trained by  {source.by}, not by the zoo; {f'{download.address}, ' if download else ''}{config.license}"
    )
    if (claim := source.claim) is not None:
        lines.append(f"  claimed     top-1 {claim.test_top1:.2f}%" + (f" ({claim.meaning})" if claim.meaning else ""))
    return lines


def _elsewhere(name: str, config: "Record") -> list[str]:
    """What is known of somebody else's weights, of a data set that no plugin here declares."""
    shown = ", ".join(config.classes[:5]) + (", …" if len(config.classes) > 5 else "")
    resizing = config.resizing
    return [
        name,
        f"  parameters  {count(config.parameters)}",
        f"  data set    {config.dataset}, {len(config.classes)} classes ({shown}), input {config.input_size}",
        f"  resizing    {resizing.crop_mode}, crop_pct {resizing.crop_pct:g}, {resizing.interpolation}",
        f"  paper       {config.paper or '–'}",
        f"  plugin      {config.plugin_distribution}",
        *_results(config),
    ]


def _chosen(recipe: "Recipe") -> set[str]:
    """The fields of a recipe that it does not leave at their defaults, and those that everybody looks for."""
    given = {one.name for one in msgspec.structs.fields(recipe) if getattr(recipe, one.name) != one.default}
    return given | {"epochs", "batch_size", "opt", "lr"}


def info(
    name: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A model's name: resnet20, resnet20_cifar100; or a path or an address.",
            autocompletion=completion.models,
        ),
    ],
    hub: options.Hub = None,
    layers: Annotated[
        bool, typer.Option("--layers/--no-layers", help="With the net's layers, which takes torch to build it.")
    ] = True,
    depth: Annotated[int, typer.Option("--depth", metavar="N", min=0, help="How deep to look into the net.")] = 2,
    everything: Annotated[bool, typer.Option("--all", help="Every hyper-parameter of a recipe.")] = False,
    as_json: options.Json = False,
) -> None:
    """Show a model: what its recipes choose, its published results, its layers.

    What a recipe leaves at its default is not shown but with --all.
    """
    from zoo import api  # here: `zoo list` starts faster without
    from zoo.record.types import Imported

    found = api.info(name, hub=hub)
    model, config = found.model, found.config
    summary = api.layers(found.name, depth=depth) if layers and model else []
    if isinstance(config, Imported) and model is None and not as_json:
        for text in _elsewhere(found.name, config):
            say(text)
        return
    if as_json or model is None:
        facts: dict[str, object] = {}
        if model:
            facts = {"description": model.description, "parameters": model.parameters}
        recipes = {key: recipe.to_json() for key, recipe in model.recipes.items()} if model else {}
        config_json = msgspec.to_builtins(config) if config else None
        facts |= {"weights": found.weights, "recipes": recipes, "config": config_json}
        print_json({"name": found.name, **facts, "layers": [dataclasses.asdict(one) for one in summary]})
        return
    lines = [
        found.name,
        f"  {model.description}",
        f"  parameters  {count(model.parameters)}",
        f"  data set    {model.dataset.title}, {len(model.dataset.classes)} classes, input {model.dataset.input_size}",
        f"  paper       {model.architecture.paper or '–'}",
        f"  license     {model.architecture.license}",
        f"  weights     {found.weights or 'none published; train it: zoo train ' + model.name}",
    ]
    for one in model.reported:
        remark = f" ({one.remark})" if one.remark else ""
        lines.append(f"  reported    top-1 {one.test_top1:.2f}% by {one.by}{remark}")
    if config:
        lines += _results(config)
    for name_of_recipe, recipe in model.recipes.items():
        default = " (default)" if name_of_recipe == model.default_recipe else ""
        values = recipe.every()
        shown = values.keys() if everything else _chosen(recipe)
        fields = ", ".join(f"{key}={value}" for key, value in values.items() if key in shown)
        lines.append(f"  recipe {name_of_recipe}{default}: {fields}")
    for text in lines:
        console().print(text, highlight=False, soft_wrap=True)
    if summary:
        cells = [
            (
                one.name or model.architecture.name,
                one.type,
                "×".join(map(str, one.output_shape or ())) or "–",
                f"{one.parameters:,}",
                f"{one.multiply_adds:,}",
            )
            for one in summary
        ]
        print_table(("layer", "type", "output", "parameters", "multiply-adds"), cells, right=(3, 4))
