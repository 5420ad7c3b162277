"""Render the card of a model, README.md, from its record, its log and the description of its architecture.

The template is `card.md.j2`. The last line of a card has the SHA-256 of the text above it, which distinguishes an
edited card from a stale one. Results are in `model-index`; `zoo.hub.hugging_face` also writes them to `.eval_results/`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from zoo import plugins
from zoo.decoding import as_text
from zoo.record.job import Job
from zoo.record.types import EpochRow, Imported, Record, Trained, spread
from zoo.spec import FEW, Architecture, Dataset, Model, Recipe

if TYPE_CHECKING:
    from jinja2 import Template

State = Literal["current", "stale", "edited"]
MOST_NAMED: Final = 20  # with more classes, the sentence about the intended use does not name them
SIGNATURE = re.compile(
    r"<!-- Written by zoo (?P<version>\S+), SHA-256 of the text above: (?P<sha256>[0-9a-f]{64}) -->\s*\Z"
)
HUB_MODEL = re.compile(r"hf://([A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9._-]+)(?:@[^@]*)?")  # group 1 is the repository


def render(
    record: Record,
    log: Sequence[EpochRow],
    model: Model | Architecture,
    address: str | None = None,
    *,
    shows_errors: bool = False,
) -> str:
    """Render the text of README.md.

    Args:
        record: The record of the model.
        log: The rows of the log; empty if the zoo did not train the model.
        model: The model, or only its architecture if no plugin declares the dataset.
        address: The address of the published model, for `zoo.load`; None if it is not published.
        shows_errors: Show errors.svg, which not every model folder has.

    Returns:
        The text, which ends with the hash of all lines above the last one.
    """
    context = _context(record, log, model, address)
    text = _template().render(context, shows_errors=shows_errors).rstrip("\n") + "\n\n"
    version = plugins.core_version()
    return f"{text}<!-- Written by zoo {version}, SHA-256 of the text above: {_sha256(text)} -->\n"


def state(text: str, expected: str) -> State:
    """Compare a card with the expected text.

    Args:
        text: The text of the card.
        expected: The text that `render` returns now.

    Returns:
        "current" if they are equal but for the version of the zoo and line ends, "stale" if `text` was rendered from
        another record, "edited" if a person changed it.
    """
    text, signature = _split(text)
    if text == _split(expected)[0]:
        return "current"
    return "stale" if signature is not None and signature["sha256"] == _sha256(text) else "edited"


def _split(text: str) -> tuple[str, re.Match[str] | None]:
    """The card without its last line, and that line; line ends become `\\n`."""
    text = text.replace("\r\n", "\n")
    signature = SIGNATURE.search(text)
    return (text, None) if signature is None else (text[: signature.start()], signature)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,  # the Hub's renderer of Markdown takes care of HTML
    )
    environment.filters |= {
        "count": "{:,}".format, "percent": "{:.2f}%".format, "json": json.dumps,
        "plural": _plural, "duration": _duration, "spread": lambda percents: spread(list(percents)),
    }  # fmt: skip
    return environment.get_template("card.md.j2")


def _context(
    record: Record, log: Sequence[EpochRow], model: Model | Architecture, address: str | None
) -> dict[str, object]:
    """The variables of the template."""
    dataset = model.dataset if isinstance(model, Model) else None
    architecture = model.architecture if isinstance(model, Model) else model
    title = dataset.title if dataset else record.dataset
    shown: dict[str, object] = {
        "record": record,
        "trained": None,
        "imported": None,
        "pictures": None,
        "dataset": dataset,
        "title": title,
        "description": architecture.trained_on(title),
        "metadata": _metadata(record, architecture, dataset),
        "license": _license(record.license),
        "intended_use": _intended_use(record, title),
        "citation": architecture.citation.strip(),
        "install": install(record),
        "snippets": snippets(record, model, address),
        "resized": "" if record.resizing.is_plain else _resized(record),
        "few": FEW,
        "log": log,
    }
    if isinstance(record, Imported):
        return shown | {"imported": record}
    return shown | {
        "trained": record,
        "pictures": record.pictures,
        "part": _part(record, dataset),
        "tested": _tested(record, dataset),
        "how": _how(record),
        **dict(zip(("settings", "defaults"), _hyper_parameters(record.job.recipe), strict=True)),
        "versions": _versions(record),
        "command": command(record.job, model, max(1, len(record.seeds))),
    }


def _metadata(record: Record, architecture: Architecture, dataset: Dataset | None) -> str:
    """The metadata at the beginning of the card, as YAML."""
    import yaml

    hub_id = dataset.hub_id if dataset else ""
    license = _license(record.license)  # noqa: A001
    named: dict[str, object] = {
        **_base_model(record),
        "datasets": [hub_id] if hub_id else None,
        "library_name": "zoo",
        "license": "other" if license.link else license.name,
        "license_name": license.name if license.link else None,
        "license_link": license.link,
        "metrics": ["accuracy"],
        "pipeline_tag": "image-classification",
        "tags": list(dict.fromkeys(["zoo", *architecture.tags, record.architecture, record.dataset])),
        # For listings, which don't request the config.json of each model.
        "zoo": {
            "dataset": record.dataset,
            "parameters": record.parameters,
            "plugin": record.plugin_distribution,
            **_origin(record),
        },
        "model-index": _model_index(record, hub_id, dataset),
    }
    values = {name: value for name, value in named.items() if value is not None}
    return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def _origin(record: Record) -> dict[str, object]:
    if isinstance(record, Imported):
        claim = record.source.claim if record.results is None else None
        return {"by": record.source.by, **({"claim": claim.test_top1} if claim else {})}
    return {"recipe": record.job.recipe_name, "seed": record.job.seed, "sha256": record.weights.sha256}


def _model_index(record: Record, hub_id: str, dataset: Dataset | None) -> list[object] | None:
    """The results in the Hub's form, top-1 first; None if the model was not measured."""
    if (results := record.results) is None:
        return None
    metrics = (("accuracy", results.test_top1, "top-1"), ("top_5_accuracy", results.test_top5, "top-5"))
    result = {
        "task": {"type": "image-classification", "name": "Image Classification"},
        "dataset": {
            "name": dataset.title if dataset else record.dataset,
            "type": hub_id or record.dataset,
            "split": "test",
        },
        "metrics": [{"type": metric, "value": round(value, 4), "name": name} for metric, value, name in metrics],
    }
    return [{"name": record.name, "results": [result]}]


def _base_model(record: Record) -> dict[str, object]:
    """The repository on the Hub of the weights that training started from, or of the teacher."""
    if isinstance(record, Trained):
        for origin, relation in ((record.job.start, {"base_model_relation": "finetune"}), (record.job.teacher, {})):
            if origin and (match := HUB_MODEL.fullmatch(origin.address)):
                return {"base_model": match[1], **relation}
    return {}


@dataclass(frozen=True)
class _License:
    """A license by its id on the Hub, or by a name and the address of its text."""

    name: str
    link: str | None = None


def _license(text: str) -> _License:
    if not text.startswith("https://"):
        return _License(text)
    parts = re.findall(r"[a-z0-9.-]*[a-z0-9]", text.removeprefix("https://").lower())
    return _License(parts[-1] if parts else "custom", text)


def _intended_use(record: Record, title: str) -> str:
    """Two sentences about the images and classes that the model is for, and about its limits."""
    channels, height, width = record.input_size
    kind = {1: "grayscale images", 3: "color images"}.get(channels, f"images of {channels} channels")
    classes = "1 class" if len(record.classes) == 1 else f"{len(record.classes):,} classes"
    names = f": {', '.join(record.classes)}" if len(record.classes) <= MOST_NAMED else ""
    return (
        f"It classifies {kind} of {height}×{width} pixels that resemble those of {title} into {classes}{names}. "
        "It is not meant for other images: it returns one of these classes for any image, and its accuracy on images "
        "from other sources was not measured."
    )


def _hyper_parameters(recipe: Recipe) -> tuple[dict[str, object], dict[str, object]]:
    """The hyper-parameters that differ from the defaults of `Recipe`, and those that do not."""
    defaults = {field.name: field.default for field in msgspec.structs.fields(Recipe)}
    settings, others = dict[str, object](), dict[str, object]()
    for name, value in recipe.to_json().items():
        (others if getattr(recipe, name) == defaults[name] else settings)[name] = value
    return settings, others


def _resized(record: Record) -> str:
    """Describe how an image of another size is resized."""
    resizing, (_, height, width) = record.resizing, record.input_size
    larger = f"{math.floor(height / resizing.crop_pct)}×{math.floor(width / resizing.crop_pct)}"
    how = {
        "squash": f"resized to {larger}, without keeping its aspect ratio",
        "center": f"resized to cover {larger}",
        "border": f"resized to fit into {larger}, with a border in the color of the mean",
    }[resizing.crop_mode]
    is_cut = resizing.crop_mode == "center" or larger != f"{height}×{width}"
    cut = f", then cropped to the middle {height}×{width}" if is_cut else ""
    return f"{how} ({resizing.interpolation}){cut}"


def _part(record: Trained, dataset: Dataset | None) -> str:
    """The number of training images; empty for the whole training set."""
    trained = record.job.train_images
    if dataset is None:
        return f" {trained:,} images,"
    return "" if trained == dataset.train_images else f" on the first {trained:,} of {dataset.train_images:,} images,"


def _tested(record: Trained, dataset: Dataset | None) -> str:
    """The part of the test set that it was tested on."""
    images = record.results.test_images
    if dataset is None or images >= dataset.test_images:
        return "the whole test set"
    return f"the first {images:,} of {dataset.test_images:,} test images"


def _how(record: Trained) -> list[str]:
    """A phrase for each: numeric type, threads, processes and compiler of the training."""
    job, training = record.job, record.training
    how = ["bf16 autocast" if job.amp else "fp32", _plural(job.threads, "thread")]
    if job.processes > 1:
        how.append(f"{job.processes} processes")
    if training.batch_norm_images is not None:
        images = _plural(training.batch_norm_images, "image")
        how.append(f"batch norm over the {images} of each process")
    if job.grad_checkpointing:
        how.append("gradient checkpointing")
    how.append(f"compile {job.compile}" + (f": {training.compile_why}" if training.compile_why else ""))
    if training.compile_seconds:
        how.append(f"plus {_duration(training.compile_seconds)} to compile")
    return how


def _versions(record: Trained) -> str:
    """The versions of the zoo and of the plugin, with the commits of their checkouts."""
    versions, own = record.job.versions, record.environment
    if own.plugin_commit is None:
        return f"zoo {versions.zoo}, {versions.plugin}" + (f", commit {own.commit}" if own.commit else "")
    zoos = f" (commit {own.commit})" if own.commit else ""
    return f"zoo {versions.zoo}{zoos}, {versions.plugin} (commit {own.plugin_commit})"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


@dataclass(frozen=True)
class Snippet:
    """A piece of Python, and a line about it."""

    about: str  # in Markdown
    code: str


def snippets(record: Record, model: Model | Architecture | None, address: str | None) -> tuple[Snippet, ...]:
    """Write the Python that loads the weights, with the zoo and with torch.hub.

    Args:
        record: The record of the model.
        model: The model, only its architecture, or None if no plugin here provides it.
        address: The address of the published model; None if it is not published.
    """
    name = json.dumps(address or f"PATH/TO/{record.name}", ensure_ascii=False)
    where = "From this folder, by its path:" if address is None else f"From `{address}`:"
    if address == record.name:
        where = "From the catalogue of the zoo:"
    # hubconf.py has an entry for each declared model of the catalogue, and `load` for all others.
    declared = address == record.name and isinstance(model, Model) and model.parameters is not None
    entry = name if declared else f'"load", {name}'
    needs = "which needs only torch, safetensors and msgspec"
    if not is_shipped(record):
        needs = f"which needs `{record.plugin_distribution}`"
    channels, height, width = record.input_size
    return (
        Snippet(
            where,
            f"""import zoo

model = zoo.load({name}, pretrained=True)  # hash checked, evaluation mode
preprocess = zoo.transforms({name})  # image to tensor [{channels}, {height}, {width}]
""",
        ),
        Snippet(
            f"With torch.hub, from a checkout of the zoo, {needs}:",
            f"""import torch

model = torch.hub.load("PATH/TO/CHECKOUT", {entry}, source="local", pretrained=True)
""",
        ),
    )


def install(record: Record) -> str:
    """Write the command that installs the zoo, and the plugin of the model if it comes with the zoo.

    The command installs from the public repository of the zoo, or from a checkout if there is none.
    """
    url = plugins.repository()
    words = ["pip", "install", f"{plugins.DISTRIBUTION} @ git+{url}" if url else "PATH/TO/CHECKOUT"]
    if is_shipped(record):
        plugin = plugins.normal(record.plugin_distribution)
        folder = f"plugins/{plugin}"
        words.append(f"{plugin} @ git+{url}#subdirectory={folder}" if url else f"PATH/TO/CHECKOUT/{folder}")
    return shlex.join(words)


def is_shipped(record: Record) -> bool:
    """Whether the plugin of a model comes with the zoo."""
    return plugins.normal(record.plugin_distribution) in plugins.SHIPPED


# The flags of an option for True and for False.
FLAGS: Final = {"amp": ("--amp", "--no-amp"), "deterministic": ("--deterministic", "--fast")}


def command(job: Job, model: Model | Architecture, seeds: int = 1) -> str:
    """Write the `zoo train` command that repeats a job, with every option whose default depends on the machine.

    Args:
        job: The job.
        model: The model, or only its architecture if no plugin declares the dataset.
        seeds: The number of seeds.
    """
    words = ["zoo"] if job.processes == 1 else ["torchrun", "--nproc-per-node", str(job.processes), "-m", "zoo"]
    options = job_options(job, model, seeds)
    words += ["train", str(options.pop("model"))]
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, dict):
            for field, setting in value.items():
                words += ["--set", f"{field}={as_text(setting)}"]
        elif isinstance(value, bool):
            words += [FLAGS[name][not value] if name in FLAGS else option]
        else:
            words += [option, str(value)]
    return shlex.join(words)


def job_options(job: Job, model: Model | Architecture, seeds: int = 1) -> dict[str, Any]:
    """List the arguments of `zoo.train` that repeat a job.

    `settings` has the fields that differ from the recipe that the plugin declares now. For a dataset by address,
    `model` is the architecture, and `dataset` the address.

    Args:
        job: The job.
        model: The model, or only its architecture if no plugin declares the dataset.
        seeds: The number of seeds.

    Returns:
        The arguments by name, in the order of the command line.
    """
    options: dict[str, Any] = {"model": job.name}
    pictures = model.dataset.pictures if isinstance(model, Model) else None
    if pictures is not None:
        options = {"model": job.architecture, "dataset": pictures.address}
        options |= {} if pictures.test_part is None else {"test_part": pictures.test_part}
        options |= {"skip_bad": True} if pictures.skipped else {}
    options["recipe"] = job.recipe_name if job.recipe_name in model.recipes else next(iter(model.recipes))
    declared = model.recipes[options["recipe"]].every()
    settings = {field: value for field, value in job.recipe.every().items() if value != declared[field]}
    options |= {"epochs": settings.pop("epochs")} if "epochs" in settings else {}
    options |= {"settings": settings} if settings else {}
    options["seed"] = job.seed
    if not isinstance(model, Model) or job.train_images != model.dataset.train_images - job.recipe.val_images:
        options["limit_train"] = job.train_images
    options |= {"start": job.start.address} if job.start else {}
    options |= {"device": job.device, "amp": job.amp, "compile": job.compile, "deterministic": job.deterministic}
    options["threads"] = job.threads
    options |= {"grad_checkpointing": True} if job.grad_checkpointing else {}
    options |= {"dtype": job.dtype} if job.dtype != "fp32" else {}
    return options | ({"seeds": seeds} if seeds > 1 else {})
