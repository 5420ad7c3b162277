"""The command line: parse and print; everything it does is a function of `zoo.api`."""

import dataclasses
import gc
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo import api
from zoo.errors import PluginWarning, ZooError

if TYPE_CHECKING:
    from rich.console import Console

    from zoo.training.watch import Report

app = typer.Typer(
    name="zoo",
    help="A zoo of residual networks: train them, publish them, load them back.\n\n"
    "Start with: zoo list · zoo train resnet8_digits · zoo info resnet20",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

HUB_HELP = "Which hub: file:PATH for a folder, hf://NAMESPACE for the Hugging Face Hub."
HubOption = Annotated[
    str | None, typer.Option("--hub", metavar="HUB", help=HUB_HELP + " [default: the catalogue, then ZOO_HUB]")
]
PushHubOption = Annotated[
    str | None,
    typer.Option("--hub", metavar="HUB", help=HUB_HELP + " [default: ZOO_HUB, else the account logged in]"),
]
RevisionOption = Annotated[
    str | None,
    typer.Option("--revision", metavar="ID", help="A revision of the model: a commit, tag or branch."),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FOLDER",
        help="Where data sets are, or are downloaded to. [default: ZOO_DATA, else ~/.cache/zoo/data]",
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option("--device", metavar="NAME", help="cpu, cuda or cuda:N. [default: a GPU if there is one]"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RecipeOption = Annotated[
    str | None, typer.Option("--recipe", metavar="NAME", help="Which recipe. [default: the model's first]")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the recipe; may be repeated."),
]
EpochsOption = Annotated[int | None, typer.Option("--epochs", help="Train this long. [default: the recipe's]")]
SeedOption = Annotated[int, typer.Option("--seed", help="Of all that is random.")]
AmpOption = Annotated[
    bool | None,
    typer.Option("--amp/--no-amp", help="Train in bf16 autocast. [default: where the hardware has bf16]"),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option("--threads", metavar="N", help="Threads of the processor to compute with. [default: torch's]"),
]
LimitOption = Annotated[
    int | None, typer.Option("--limit-train", metavar="N", help="Train on the first N images only.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the end and errors.")]
ModelArgument = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A model's name, a model folder's path, or hf://namespace/name."),
]


@app.command("list")
def list_models(
    pattern: Annotated[str | None, typer.Argument(metavar="[PATTERN]", help="Names to show, as in 'resnet*'.")] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", metavar="NAME", help="Only models on this data set.")
    ] = None,
    pretrained: Annotated[
        bool | None,
        typer.Option("--pretrained/--untrained", help="Only models with, or without, weights in the catalogue."),
    ] = None,
    hub: Annotated[
        str | None,
        typer.Option("--hub", metavar="HUB", help="The models in this hub, not the catalogue. " + HUB_HELP),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the models: parameters, test accuracy, license, and where the weights are.

    A table on a terminal, tab-separated lines in a pipe.
    """
    _print_rows(api.overview(pattern, dataset=dataset, pretrained=pretrained, hub=hub), as_json=as_json)


@app.command()
def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Part of a repository's name, as in resnet20.")],
    hub: Annotated[
        str, typer.Option("--hub", metavar="HUB", help="Search this hub: hf://NAMESPACE, or a plugin's.")
    ] = "hf://",
    as_json: JsonOption = False,
) -> None:
    """Search the whole Hugging Face Hub for models of the zoo, or one hub."""
    _print_rows(api.search(text, hub=hub), as_json=as_json)


@app.command()
def info(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="A model's name: resnet20, resnet20_cifar100.")],
    hub: HubOption = None,
    layers: Annotated[
        bool, typer.Option("--layers/--no-layers", help="With the net's layers, which takes torch to build it.")
    ] = True,
    depth: Annotated[int, typer.Option("--depth", metavar="N", min=0, help="How deep to look into the net.")] = 2,
    as_json: JsonOption = False,
) -> None:
    """Show a model: its recipes with every hyper-parameter, its published results, its layers."""
    found = api.info(name, hub=hub)
    model, config = found.model, found.config
    summary = api.layers(found.name, depth=depth) if layers and model else []
    if as_json or model is None:
        facts: dict[str, object] = {}
        if model:
            facts = {"description": model.description, "parameters": model.parameters}
        recipes = {key: recipe.to_json() for key, recipe in model.recipes.items()} if model else {}
        config_json = dataclasses.asdict(config) if config else None
        facts |= {"weights": found.weights, "recipes": recipes, "config": config_json}
        _print_json({"name": found.name, **facts, "layers": [dataclasses.asdict(one) for one in summary]})
        return
    lines = [
        model.name,
        f"  {model.description}",
        f"  parameters  {_count(model.parameters)}",
        f"  data set    {model.dataset.title}, {len(model.dataset.classes)} classes, input {model.dataset.input_size}",
        f"  paper       {model.architecture.paper or '–'}",
        f"  license     {model.architecture.license}",
        f"  weights     {found.weights or 'none published; train it: zoo train ' + model.name}",
    ]
    for one in model.reported:
        remark = f" ({one.remark})" if one.remark else ""
        lines.append(f"  reported    top-1 {one.test_top1:.2f}% by {one.by}{remark}")
    if config:
        results, training = config.results, config.training
        lines.append(
            f"  results     top-1 {results.test_top1:.2f}%, top-5 {results.test_top5:.2f}%, "
            f"loss {results.test_loss:.4f} on {results.test_images:,} test images; recipe {config.job.recipe_name}, "
            f"seed {config.job.seed}, {training.epochs} epochs"
        )
    for name_of_recipe, recipe in model.recipes.items():
        default = " (default)" if name_of_recipe == model.default_recipe else ""
        fields = ", ".join(f"{key}={value}" for key, value in recipe.to_json().items() if value not in (None, []))
        lines.append(f"  recipe {name_of_recipe}{default}: {fields}")
    for text in lines:
        _console().print(text, highlight=False, soft_wrap=True)
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
        _print_table(("layer", "type", "output", "parameters", "multiply-adds"), cells, right=(3, 4))


@app.command()
def train(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="resnet20, or in full: resnet20_cifar100.")],
    recipe: RecipeOption = None,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", metavar="NAME", help="Another data set than the architecture's default."),
    ] = None,
    settings: SetOption = None,
    epochs: EpochsOption = None,
    seed: SeedOption = 0,
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds", metavar="N", help="Repeat from N seeds; the first one's is the model, all on its card."
        ),
    ] = 1,
    device: DeviceOption = None,
    amp: AmpOption = None,
    compiled: Annotated[
        str,
        typer.Option(
            "--compile",
            metavar="HOW",
            help="none, graph (a step as one CUDA graph), default (torch.compile), auto: what pays.",
        ),
    ] = "auto",
    deterministic: Annotated[
        bool | None,
        typer.Option("--deterministic/--fast", help="The same bytes from the same seed. [default: on a CPU]"),
    ] = None,
    grad_checkpointing: Annotated[
        bool,
        typer.Option("--grad-checkpointing", help="Compute activations again in the backward pass, for less memory."),
    ] = False,
    dtype: Annotated[
        str,
        typer.Option("--dtype", metavar="TYPE", help="Store weights in fp32, or in fp16 where that costs nothing."),
    ] = "fp32",
    threads: ThreadsOption = None,
    data: DataOption = None,
    limit_train: LimitOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="The model folder to make. [default: runs/MODEL-RECIPE-seedN]"),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the run that was stopped there; start it where there is none."),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start again where a run or a folder is.")] = False,
    save_every: Annotated[int, typer.Option("--save-every", metavar="N", help="Epochs between checkpoints.")] = 1,
    eval_every: Annotated[
        int,
        typer.Option("--eval-every", metavar="N", help="Epochs between test evaluations, for the curve only."),
    ] = 1,
    push: Annotated[bool, typer.Option("--push", help="Publish the model folder to the hub at the end.")] = False,
    hub: PushHubOption = None,
    quiet: QuietOption = False,
) -> None:
    """Train a model with one of its recipes, evaluate it, write its model folder; publish it with --push.

    Ctrl-C leaves a checkpoint; --resume goes on from it, to the same weights.
    """
    trained = api.train(
        name,
        dataset=dataset,
        recipe=recipe,
        settings=_settings(settings or []),
        epochs=epochs,
        seed=seed,
        seeds=seeds,
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
        report=None if quiet else _progress(),
    )
    from zoo.training.distributed import share

    if not share().is_first:  # torchrun's first process speaks for all
        return
    _say_trained(trained)
    if len(trained.config.seeds) > 1:
        from statistics import mean, stdev

        top1 = [one.test_top1 for one in trained.config.seeds]
        each = ", ".join(f"seed {one.seed} {one.test_top1:.2f}%" for one in trained.config.seeds)
        _say(f"{trained.config.name}: top-1 {mean(top1):.2f} ± {stdev(top1):.2f}% from {len(top1)} seeds ({each})")
    if trained.published:
        _say(f"published as {trained.published.address} at revision {trained.published.revision[:12]}")


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A model folder, as zoo train leaves it.")],
    hub: PushHubOption = None,
    weights_at: Annotated[
        str | None,
        typer.Option(
            "--weights-at", metavar="HUB", help="Publish the weights there, and pin them in --hub, which is a folder."
        ),
    ] = None,
) -> None:
    """Publish a model folder to a hub, under its model's name."""
    published = api.push(folder, hub=hub, weights_at=weights_at)
    _say(f"published as {published.address} at revision {published.revision[:12]}")


@app.command()
def pull(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="A model's name, or hf://namespace/name.")],
    hub: HubOption = None,
    revision: RevisionOption = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FOLDER", help="Where to. [default: ./MODEL]")] = None,
) -> None:
    """Fetch a published model folder, whole and hash checked."""
    _say(f"pulled into {api.pull(name, hub=hub, revision=revision, out=out)}")


@app.command("eval")
def evaluate(
    model: ModelArgument,
    hub: HubOption = None,
    revision: RevisionOption = None,
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
    device: DeviceOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a model over the whole test set again, beside what its card says."""
    found = api.evaluate(model, hub=hub, revision=revision, weights=weights, device=device, data=data)
    card = found.config.results if found.config else None
    classes = api.report(found, out or Path(f"{found.name}-report")) if report else []
    if as_json:
        _print_json(
            {
                "name": found.name,
                "now": dataclasses.asdict(found.results),
                "card": dataclasses.asdict(card) if card else None,
                **({"classes": [dataclasses.asdict(one) for one in classes]} if report else {}),
            }
        )
        return
    for who, results in (("now", found.results), ("card", card)):
        if results:
            _say(
                f"{found.name}  {who:>4}: top-1 {results.test_top1:.2f}%  top-5 {results.test_top5:.2f}%  "
                f"loss {results.test_loss:.6f}  ({results.test_images:,} test images)"
            )
    if report:
        cells = [
            (one.name, f"{one.images:,}", f"{one.top1:.1f}%", one.mistaken_for or "–", f"{one.mistakes:,}")
            for one in classes
        ]
        _print_table(("class", "images", "top-1", "mistaken for", "times"), cells, right=(1, 2, 4))
        _say(f"the confusion matrix is in {out or Path(f'{found.name}-report')}")


@app.command()
def verify(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL...", help="Names, model folders' paths, or hf://namespace/name."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every model in the catalogue, or in --hub.")] = False,
    hub: HubOption = None,
    device: DeviceOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold models against their folders: hash, strict load, known answers, and the test set where the data is there.

    The exit code is 1 where anything differs.
    """
    if everything == bool(models):
        raise typer.BadParameter("name models, or give --all", param_hint="MODEL")
    names = [row.name for row in api.overview(pretrained=True, hub=hub)] if everything else models or []
    found = []
    for name in names:
        one = api.verify(name, hub=hub, device=device, data=data)
        found.append(one)
        if not as_json:
            _say(f"{one.name}: {'DIFFERS' if one.differences else 'as published'}")
            for what, finding in one.checks:
                _say(f"  {what}: {finding}")
            for difference in one.differences:
                print(f"zoo: {one.name}: {difference}", file=sys.stderr)
    if as_json:
        _print_json([dataclasses.asdict(one) for one in found])
    if any(one.differences for one in found):
        raise typer.Exit(1)


@app.command()
def reproduce(
    model: ModelArgument,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Train this long. [default: as published]")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Another seed. [default: as published]")] = None,
    hub: HubOption = None,
    revision: RevisionOption = None,
    device: DeviceOption = None,
    data: DataOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="What to make. [default: runs/MODEL-reproduced]"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that was stopped there.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start again where a run or a folder is.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Train a published model again with the recipe in its folder, and set the result beside its card's."""
    trained, published = api.reproduce(
        model,
        hub=hub,
        revision=revision,
        epochs=epochs,
        seed=seed,
        device=device,
        data=data,
        out=out,
        resume=resume,
        overwrite=overwrite,
        report=None if quiet else _progress(),
    )
    _say_trained(trained)
    for who, config in (("here", trained.config), ("card", published)):
        results, training = config.results, config.training
        _say(
            f"{config.name}  {who}: top-1 {results.test_top1:.2f}%  top-5 {results.test_top5:.2f}%  "
            f"{training.epochs} epochs, seed {config.job.seed}, {config.environment.device}"
        )
    same = trained.config.weights.sha256 == published.weights.sha256
    _say("the weights are the published ones, byte for byte" if same else "the weights are not the published bytes")


@app.command()
def predict(
    model: ModelArgument,
    pictures: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Pictures of any size and mode, or folders of them.")
    ],
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="How many classes to name.")] = 5,
    hub: HubOption = None,
    revision: RevisionOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a published model sees in pictures: class names with probabilities.

    A picture that can't be read is named and passed over, and the exit code is then 1.
    """
    unreadable = 0
    answers = []
    for one in api.predict(model, pictures, top=top, hub=hub, revision=revision, device=device):
        unreadable += one.error is not None
        if one.error is not None:
            print(f"zoo: {one.error}", file=sys.stderr)
        if as_json:
            answers.append({**dataclasses.asdict(one), "path": str(one.path)})
        elif one.error is None:
            _say("\n".join([str(one.path), *(f"  {100 * g.probability:6.2f}%  {g.label}" for g in one.guesses)]))
    if as_json:
        _print_json(answers)
    if unreadable:
        raise typer.Exit(1)


@app.command()
def plot(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Model folders, unfinished runs, names, or addresses in a hub."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The picture to make: .svg, .png or .pdf.")] = Path(
        "plot.svg"
    ),
) -> None:
    """Draw loss, top-1 and learning rate against epoch, several runs over one another."""
    _say(f"drawn to {api.plot(runs, out)}")


@app.command()
def compare(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Which models, as in: plain20 plain56.")],
    recipe: RecipeOption = None,
    settings: SetOption = None,
    epochs: EpochsOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = None,
    amp: AmpOption = None,
    data: DataOption = None,
    limit_train: LimitOption = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Where the model folders and the plot go.")
    ] = Path("compare"),
    quiet: QuietOption = False,
) -> None:
    """Train several models the same way, and draw error against epoch, train dashed and test solid.

    The degradation problem: zoo compare plain20 plain56 resnet20 resnet56 --recipe paper. What was
    finished before in the same folder is taken as it is, and what was stopped goes on.
    """
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
        report=None if quiet else _progress(),
    )
    for one in trained:
        _say_trained(one)
    _say(f"the errors are drawn to {out / 'errors.svg'} and {out / 'errors.png'}")


def main() -> None:
    """Run the command line; a person's mistake is one line on stderr and a non-zero exit."""
    gc.set_threshold(100_000)  # start-up makes many objects that stay; collecting among them takes a tenth of it
    warnings.showwarning = _show_warning
    try:
        app()
    except ZooError as error:
        print(f"zoo: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of a pipe went away: `zoo list | head`
        sys.stderr.close()
        sys.exit(141)


def _settings(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise typer.BadParameter(f"{pair!r} should be FIELD=VALUE, as in lr=0.05", param_hint="--set")
    return dict(pair.split("=", 1) for pair in pairs)


def _print_rows(rows: list[api.Row], *, as_json: bool) -> None:
    if as_json:
        _print_json([dataclasses.asdict(row) for row in rows])
        return
    heading = ("model", "parameters", "top-1", "license", "weights")
    cells = [
        (
            row.name,
            _count(row.parameters),
            "–" if row.top1 is None else f"{row.top1:.2f}%",
            row.license,
            row.weights or "–",
        )
        for row in rows
    ]
    _print_table(heading, cells, right=(1, 2))


def _count(parameters: int | None) -> str:
    return "–" if parameters is None else f"{parameters:,}"


def _print_table(heading: tuple[str, ...], cells: Sequence[tuple[str, ...]], *, right: tuple[int, ...]) -> None:
    """A table on a terminal, with the columns `right` set to the right; tab-separated lines in a pipe."""
    if not sys.stdout.isatty():
        for line in (heading, *cells):
            _say("\t".join(line))
        return
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column, name in enumerate(heading):
        table.add_column(name, justify="right" if column in right else "left", no_wrap=True)
    for line in cells:
        table.add_row(*line)
    _console().print(table)


def _say_trained(trained: api.Trained) -> None:
    results = trained.config.results
    _say(
        f"{trained.config.name}: top-1 {results.test_top1:.2f}%, top-5 {results.test_top5:.2f}%, loss "
        f"{results.test_loss:.4f} on {results.test_images:,} test images; the model folder is {trained.folder}"
    )


def _progress() -> "Report":
    from zoo.training.progress import Bar, Lines

    console = _console()
    return Bar(console) if console.is_terminal else Lines(console)


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _say(text: str) -> None:
    print(text, flush=True)


def _console() -> "Console":
    from rich.console import Console

    return Console()


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    text = str(message) if issubclass(category, PluginWarning) else f"{category.__name__}: {message}"
    print(f"zoo: warning: {text}", file=sys.stderr)
