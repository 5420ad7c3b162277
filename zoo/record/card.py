"""The card of a model, README.md: rendered from its record, its log, and its plugin's description of the model.

The text is the template `card.md.j2`; this module computes the values in it. The last line of a card is a comment with
the SHA-256 of the text above. It tells a card that a person edited from one that was rendered from another record.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zoo import plugins
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
    """Render the card of a model.

    Args:
        record: The record of the model.
        log: A row an epoch; empty where the zoo did not train the model.
        known: The model, or its architecture where no plugin declares the data set.
        address: Where the model is published, as `zoo.load` takes it; None for a folder that is not published.

    Returns:
        The text of README.md.
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
        "metadata": _yaml(metadata(record, architecture, dataset)),
        "install": install(record),
        "snippets": snippets(record, known, address),
        "resized": "" if record.resizing.is_plain else _resized(record),
        "few": FEW,
        "log": log,
    }
    if isinstance(record, Imported):
        return shown | {
            "imported": record,
            "address": record.download.address if record.download else "",
            "link": _link,
            "provenance": [(name, value) for name, value in _provenance(record).items() if value],
        }
    return shown | {
        "trained": record,
        "pictures": record.pictures,
        "part": _part(record, dataset),
        "tested": _tested(record, dataset),
        "how": _how(record),
        "versions": _versions(record),
        "command": command(record.job, known, max(1, len(record.seeds))),
    }


def metadata(record: Record, architecture: Architecture, dataset: Dataset | None) -> dict[str, object]:
    """The block at the beginning, which the Hub reads."""
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
    return {name: value for name, value in named.items() if value is not None}


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


def _yaml(values: Mapping[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True))


def _link(address: str) -> str:
    return f"<{address}>" if address.startswith("https:") else f"`{address}`"


def _provenance(record: Imported) -> dict[str, str]:
    """The source of imported weights, and how their file was converted."""
    source, download = record.source, record.download
    rows = {"by": source.by, "address": f"`{download.address}`" if download else "a file that was given"}
    if source.revision:
        rows["revision"] = f"`{source.revision}`"
    if download is not None:
        rows["file"] = f"`{download.file}`" + (f", {download.bytes:,} bytes" if download.bytes else "")
        short = " (its first digits, as the name has them)" * (len(download.sha256) < 64)
        rows["SHA-256 of the file"] = f"`{download.sha256}`{short}"
        rows["SHA-256 of its tensors"] = f"`{download.tensors_sha256}`" if download.tensors_sha256 else ""
    return rows | {"license": record.license, "citation": source.citation, "names of tensors": source.mapped}


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


# -- how it is loaded ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Snippet:
    """A piece of Python, and a line above it; words between backticks are code."""

    about: str
    code: str


def snippets(record: Record, known: Model | Architecture | None, address: str | None) -> tuple[Snippet, ...]:
    """Python that loads these weights: with the zoo installed, and by torch.hub from a checkout.

    Args:
        record: The record of the model.
        known: The model, its architecture where no plugin declares the data set, None where no plugin has either.
        address: Where the model is published, as `zoo.load` takes it; None for a folder that is not published.
    """
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
    """The command that installs the zoo and, where it comes with the zoo, the plugin of a model.

    From the repository of the zoo where it has a public address, else from a checkout.
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


# -- how it is trained -----------------------------------------------------------------------------


def command(job: Job, known: Model | Architecture, seeds: int = 1) -> str:
    """The command that trains the same; nothing is left to what a later machine would choose.

    `known` is the model, or its architecture where no plugin declares the data set; `seeds` is how
    often the training was repeated.
    """
    started = ["zoo"] if job.processes == 1 else ["torchrun", "--nproc-per-node", str(job.processes), "-m", "zoo"]
    words = [*started, "train", *_model(job, known), *_recipe(job, known), "--seed", str(job.seed)]
    if not isinstance(known, Model) or job.train_images != known.dataset.train_images - job.recipe.val_images:
        words += ["--limit-train", str(job.train_images)]
    words += ["--start", job.start.address] if job.start else []
    words += ["--device", job.device, "--amp" if job.amp else "--no-amp", "--compile", job.compile]
    words += ["--deterministic" if job.deterministic else "--fast", "--threads", str(job.threads)]
    words += ["--grad-checkpointing"] if job.grad_checkpointing else []
    words += ["--dtype", job.dtype] if job.dtype != "fp32" else []
    words += ["--seeds", str(seeds)] if seeds > 1 else []
    return shlex.join(words)


def _model(job: Job, known: Model | Architecture) -> list[str]:
    """The model by its name; of pictures that somebody has, by its architecture and their address."""
    pictures = known.dataset.pictures if isinstance(known, Model) else None
    if pictures is None:
        return [job.name]
    words = [job.architecture, "--dataset", pictures.address]
    words += [] if pictures.test_part is None else ["--test-part", str(pictures.test_part)]
    return words + (["--skip-bad"] if pictures.skipped else [])


def _recipe(job: Job, known: Model | Architecture) -> list[str]:
    """The recipe by its name, and what differs from what the plugin has under that name now."""
    name = job.recipe_name if job.recipe_name in known.recipes else next(iter(known.recipes))
    words, now = ["--recipe", name], known.recipes[name].every()
    for field, value in job.recipe.every().items():
        if value == now[field]:
            continue
        text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        words += ["--epochs", text] if field == "epochs" else ["--set", f"{field}={text}"]
    return words
