"""The card of a model, README.md: `card.md.j2`, rendered from the record, the log and the plugin's description.

The last line of a card has the SHA-256 of the text above, which tells an edited card from a stale one.
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

from zoo import plugins
from zoo.decoding import as_text
from zoo.record.job import Job
from zoo.record.types import EpochRow, Imported, Record, Trained, spread
from zoo.spec import FEW, Architecture, Dataset, Model

if TYPE_CHECKING:
    from jinja2 import Template

State = Literal["current", "stale", "edited"]
SIGNATURE = re.compile(
    r"<!-- Written by zoo (?P<version>\S+), SHA-256 of the text above: (?P<sha256>[0-9a-f]{64}) -->\s*\Z"
)
HUB_MODEL = re.compile(r"hf://([A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9._-]+)(?:@[^@]*)?")  # and its repository


def render(record: Record, log: Sequence[EpochRow], known: Model | Architecture, address: str | None = None) -> str:
    """Render the text of README.md.

    Args:
        record: The record of the model.
        log: A row an epoch; empty where the zoo did not train the model.
        known: The model, or its architecture where no plugin declares the data set.
        address: Where the model is published, as `zoo.load` takes it; None for a folder that is not published.
    """
    text = _template().render(_context(record, log, known, address)).rstrip("\n") + "\n\n"
    version = plugins.core_version()
    return f"{text}<!-- Written by zoo {version}, SHA-256 of the text above: {_sha256(text)} -->\n"


def state(text: str, expected: str) -> State:
    """Whether a card is the expected one (current), was rendered from another record (stale), or was edited."""
    text, signature = _split(text)
    if text == _split(expected)[0]:
        return "current"
    return "stale" if signature is not None and signature["sha256"] == _sha256(text) else "edited"


def _split(text: str) -> tuple[str, re.Match[str] | None]:
    """A card without its last line, and that line, whatever a line ends with."""
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
    record: Record, log: Sequence[EpochRow], known: Model | Architecture, address: str | None
) -> dict[str, object]:
    """The values of the template's names."""
    dataset = known.dataset if isinstance(known, Model) else None
    architecture = known.architecture if isinstance(known, Model) else known
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
        "install": install(record),
        "snippets": snippets(record, known, address),
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
        "versions": _versions(record),
        "command": command(record.job, known, max(1, len(record.seeds))),
    }


def _metadata(record: Record, architecture: Architecture, dataset: Dataset | None) -> str:
    """The block at the beginning, which the Hub reads, as YAML."""
    import yaml

    hub_id = dataset.hub_id if dataset else ""
    base = _base(record)
    named: dict[str, object] = {
        "base_model": base,
        "base_model_relation": "finetune" if base else None,
        "datasets": [hub_id] if hub_id else None,
        "library_name": "zoo",
        "license": record.license,
        "metrics": ["accuracy"],
        "pipeline_tag": "image-classification",
        "tags": list(dict.fromkeys(["zoo", *architecture.tags, record.architecture, record.dataset])),
        # What a listing shows of a model without a request for its config.json.
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
    """The results, as the Hub reads them."""
    if (results := record.results) is None:
        return None
    measured = {"top-1": results.test_top1, "top-5": results.test_top5}
    result = {
        "task": {"type": "image-classification", "name": "Image Classification"},
        "dataset": {
            "name": dataset.title if dataset else record.dataset,
            "type": hub_id or record.dataset,
            "split": "test",
        },
        "metrics": [{"type": "accuracy", "value": round(value, 4), "name": name} for name, value in measured.items()],
    }
    return [{"name": record.name, "results": [result]}]


def _base(record: Record) -> str | None:
    """The repository of the weights that it began with, where those are on the Hub."""
    start = record.job.start if isinstance(record, Trained) else None
    repository = HUB_MODEL.fullmatch(start.address) if start else None
    return repository[1] if repository else None


def _resized(record: Record) -> str:
    """How a picture of another size is resized, in words."""
    resizing, (_, height, width) = record.resizing, record.input_size
    larger = f"{math.floor(height / resizing.crop_pct)}×{math.floor(width / resizing.crop_pct)}"
    how = {
        "squash": f"resized to {larger}, whatever its aspect ratio",
        "center": f"resized to cover {larger}",
        "border": f"resized to fit into {larger}, with a border in the color of the mean",
    }[resizing.crop_mode]
    is_cut = resizing.crop_mode == "center" or larger != f"{height}×{width}"
    cut = f", then cropped to the middle {height}×{width}" if is_cut else ""
    return f"{how} ({resizing.interpolation}){cut}"


def _part(record: Trained, dataset: Dataset | None) -> str:
    """The number of training images, unless it is the whole training set."""
    trained = record.job.train_images
    if dataset is None:
        return f" {trained:,} images,"
    return "" if trained == dataset.train_images else f" on the first {trained:,} of {dataset.train_images:,} images,"


def _tested(record: Trained, dataset: Dataset | None) -> str:
    """How much of the test set it was tested on."""
    images = record.results.test_images
    if dataset is None or images >= dataset.test_images:
        return "the whole test set"
    return f"the first {images:,} of {dataset.test_images:,} test images"


def _how(record: Trained) -> list[str]:
    """How the steps were computed, in phrases."""
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
    """The versions of the zoo and of the plugin, with the commits of the checkouts that they ran from."""
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
    """A piece of Python, and a line above it; words between backticks are code."""

    about: str
    code: str


def snippets(record: Record, known: Model | Architecture | None, address: str | None) -> tuple[Snippet, ...]:
    """Python that loads these weights, with the arguments of `render`: with the zoo installed, and by torch.hub."""
    model = json.dumps(address or f"PATH/TO/{record.name}", ensure_ascii=False)
    where = "From this folder, by its path:" if address is None else f"From `{address}`:"
    if address == record.name:
        where = "From the catalogue of the zoo:"
    # hubconf.py has a name for each declared model of the catalogue, and `load` for any other.
    declared = address == record.name and isinstance(known, Model) and known.parameters is not None
    entry = model if declared else f'"load", {model}'
    needs = "nothing installed but torch, safetensors and msgspec"
    if not is_shipped(record):
        needs = f"with `{record.plugin_distribution}` installed"
    channels, height, width = record.input_size
    return (
        Snippet(
            where,
            f"""import zoo

model = zoo.load({model}, pretrained=True)  # hash checked, evaluation mode
preprocess = zoo.transforms({model})  # image to tensor [{channels}, {height}, {width}]
""",
        ),
        Snippet(
            f"By torch.hub from a checkout of the zoo, {needs}:",
            f"""import torch

model = torch.hub.load("PATH/TO/CHECKOUT", {entry}, source="local", pretrained=True)
""",
        ),
    )


def install(record: Record) -> str:
    """The command that installs the zoo and the plugin of a model, if that comes with the zoo.

    From the repository of the zoo if it has a public address, else from a checkout.
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


# Options that are two flags: for True and for False.
FLAGS: Final = {"amp": ("--amp", "--no-amp"), "deterministic": ("--deterministic", "--fast")}


def command(job: Job, known: Model | Architecture, seeds: int = 1) -> str:
    """The command that trains the same, with every option that a later machine would choose."""
    words = ["zoo"] if job.processes == 1 else ["torchrun", "--nproc-per-node", str(job.processes), "-m", "zoo"]
    options = job_options(job, known, seeds)
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


def job_options(job: Job, known: Model | Architecture, seeds: int = 1) -> dict[str, Any]:
    """The options of `zoo.train` that train the same, by name, in the order of a command.

    `settings` has the fields that differ from the recipe that the plugin declares now. Somebody's own pictures are
    named by their address, and the model by its architecture.
    """
    options: dict[str, Any] = {"model": job.name}
    pictures = known.dataset.pictures if isinstance(known, Model) else None
    if pictures is not None:
        options = {"model": job.architecture, "dataset": pictures.address}
        options |= {} if pictures.test_part is None else {"test_part": pictures.test_part}
        options |= {"skip_bad": True} if pictures.skipped else {}
    options["recipe"] = job.recipe_name if job.recipe_name in known.recipes else next(iter(known.recipes))
    declared = known.recipes[options["recipe"]].every()
    settings = {field: value for field, value in job.recipe.every().items() if value != declared[field]}
    options |= {"epochs": settings.pop("epochs")} if "epochs" in settings else {}
    options |= {"settings": settings} if settings else {}
    options["seed"] = job.seed
    if not isinstance(known, Model) or job.train_images != known.dataset.train_images - job.recipe.val_images:
        options["limit_train"] = job.train_images
    options |= {"start": job.start.address} if job.start else {}
    options |= {"device": job.device, "amp": job.amp, "compile": job.compile, "deterministic": job.deterministic}
    options["threads"] = job.threads
    options |= {"grad_checkpointing": True} if job.grad_checkpointing else {}
    options |= {"dtype": job.dtype} if job.dtype != "fp32" else {}
    return options | ({"seeds": seeds} if seeds > 1 else {})
