"""The card of a model, README.md: rendered from record, log and what the plugins know of the model.

The text is the template `card.md.j2`; here is what it shows, typed. It ends with a comment that has the SHA-256 of the
text above it, by which a card that a person edited is told from one that was rendered from something else.
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


def render(record: Record, log: Sequence[EpochRow], known: Model | Architecture) -> str:
    """Render the card of a model.

    `known` is the model itself, or its architecture where no plugin declares the data set.
    """
    text = _template().render(_context(record, log, known)).rstrip("\n") + "\n\n"
    version = plugins.core_version()
    return f"{text}<!-- Written by zoo {version}, SHA-256 of the text above: {_sha256(text)} -->\n"


def state(text: str, expected: str) -> State:
    """Tell whether a card is what is rendered now, was rendered from something else, or was edited by a person."""
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


def _context(record: Record, log: Sequence[EpochRow], known: Model | Architecture) -> dict[str, object]:
    """What the template shows."""
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
        "snippets": snippets(record, known),
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
        return {"by": record.source.by}
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
    """Where imported weights are from, and how their file was converted."""
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
    """How a picture of any size becomes what the net sees."""
    resizing, (_, height, width) = record.resizing, record.input_size
    larger = f"{math.floor(height / resizing.crop_pct)}×{math.floor(width / resizing.crop_pct)}"
    how = {
        "squash": f"resized to {larger}, whatever its own proportions",
        "center": f"resized until it just covers {larger}",
        "border": f"resized until it just fits into {larger}, with a border in the colour of the mean",
    }[resizing.crop_mode]
    cut = f", and the middle {height}×{width} are cut out" if larger != f"{height}×{width}" else ""
    cut = cut or (", and what juts out is cut off" if resizing.crop_mode == "center" else "")
    return f"{how} ({resizing.interpolation}){cut}"


def _part(record: Trained, dataset: Dataset | None) -> str:
    """How much of the data set it was trained on, where that isn't all of it."""
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
    """How the steps were computed, a phrase each."""
    job, training = record.job, record.training
    how = ["bf16 autocast" if job.amp else "fp32", _plural(job.threads, "thread")]
    if job.processes > 1:
        how.append(f"{job.processes} processes")
    if training.batch_norm_images is not None:
        images = _plural(training.batch_norm_images, "image")
        how.append(f"batch norm over the {images} of a batch that each process had")
    if job.grad_checkpointing:
        how.append("activations recomputed")
    how.append(f"compile {job.compile}" + (f": {training.compile_why}" if training.compile_why else ""))
    if training.compile_seconds:
        how.append(f"{_duration(training.compile_seconds)} more to compile")
    return how


def _versions(record: Trained) -> str:
    """The zoo and the plugin, and the commits where they ran from checkouts: one, where the plugin is in the zoo's."""
    versions, own = record.versions, record.environment
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
    """A piece of Python, and where it loads from; words between backticks are code."""

    about: str
    code: str


def snippets(record: Record, known: Model | Architecture | None) -> tuple[Snippet, ...]:
    """The ways to load a model: by name, from a checkout by torch.hub, from its folder.

    `known` is the model, its architecture where no plugin declares the data set, None where none has that either.
    """
    channels, height, width = record.input_size
    by_name, bare = '"' + record.name + '"', "nothing installed but torch, safetensors and msgspec"
    where = 'the zoo\'s catalogue or the hub it was published to (`hub="hf://NAMESPACE"`, `hub="file:PATH"`)'
    if not is_shipped(record):  # which the catalogue has no models of
        by_name, bare = f'"HUB/{record.name}"', f"with `{record.plugin_distribution}` installed"
        where = "the hub it was published to (`hf://NAMESPACE` or `file:PATH`)"
    return (
        Snippet(
            f"By name, from {where}:",
            f"""import zoo

model = zoo.load({by_name}, pretrained=True)  # hash checked, eval mode
preprocess = zoo.transforms({by_name})  # image to tensor [{channels}, {height}, {width}]
""",
        ),
        Snippet(
            f"From a checkout of the zoo, {bare}:",
            f"""import torch

model = torch.hub.load("PATH/TO/CHECKOUT", {_entry(record, known)}, source="local", pretrained=True)
""",
        ),
        Snippet(
            "From this folder, wherever it lies:",
            f"""import zoo

model = zoo.load("PATH/TO/{record.name}", pretrained=True)
""",
        ),
    )


def is_shipped(record: Record) -> bool:
    """Whether its plugin comes with the zoo: the catalogue and hubconf.py have only such models."""
    return plugins.normal(record.plugin_distribution) in plugins.SHIPPED


def _entry(record: Record, known: Model | Architecture | None) -> str:
    """What torch.hub is asked for: hubconf.py has a name for every declared model, and `load` for any other."""
    declared = isinstance(known, Model) and known.parameters is not None and is_shipped(record)
    return f'"{record.name}"' if declared else f'"load", "PATH/TO/{record.name}"'


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
