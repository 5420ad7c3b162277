"""The card of a model: config and log to the text of README.md, as the Hugging Face Hub renders it.

What the zoo trained tells how; of what somebody else did it says so first, whose it is and from where.

Generated whenever a folder is written, never edited: whatever it says stands in config.json, or in what
the plugins know of the model. Where no plugin declares its data set the card has that one's name.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from typing import Literal

from zoo.plugins import core_version
from zoo.record.command import command
from zoo.record.snippets import snippets
from zoo.record.types import EpochRow, Export, Imported, Record, Results, Trained, spread
from zoo.spec import FEW, Architecture, Dataset, Model

HUB_MODEL = re.compile(r"hf://([A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9._-]+)(?:@[^@]*)?")  # and its repository


State = Literal["current", "stale", "edited"]
SIGNATURE = re.compile(
    r"<!-- Written by zoo (?P<version>\S+), SHA-256 of the text above: (?P<sha256>[0-9a-f]{64}) -->\s*\Z"
)


def render(record: Record, log: Sequence[EpochRow], model: Model | Architecture) -> str:
    """Render the card; its last line is a comment that says which text the zoo wrote.

    `model` is the model itself, or its architecture where no plugin declares the data set.
    """
    text = f"---\n{_metadata(record, model)}\n---\n\n{_text(record, log, model)}".rstrip("\n") + "\n\n"
    return f"{text}<!-- Written by zoo {core_version()}, SHA-256 of the text above: {_sha256(text)} -->\n"


def state(text: str, expected: str) -> State:
    """Tell whether a card is what is rendered now, was rendered from something else, or was edited by a person."""
    text, signature = _parted(text)
    if text == _parted(expected)[0]:
        return "current"
    return "stale" if signature is not None and signature["sha256"] == _sha256(text) else "edited"


def _parted(text: str) -> tuple[str, re.Match[str] | None]:
    """A card without its last line, and that line, whatever a line ends with."""
    text = text.replace("\r\n", "\n")
    signature = SIGNATURE.search(text)
    return (text, None) if signature is None else (text[: signature.start()], signature)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _dataset(known: Model | Architecture) -> Dataset | None:
    return known.dataset if isinstance(known, Model) else None


def _architecture(known: Model | Architecture) -> Architecture:
    return known.architecture if isinstance(known, Model) else known


def _title(config: Record, known: Model | Architecture) -> str:
    dataset = _dataset(known)
    return dataset.title if dataset else config.dataset


def _metadata(config: Record, known: Model | Architecture) -> str:
    """The YAML block that the Hub reads."""
    from huggingface_hub import EvalResult, ModelCardData

    measured = config.results
    results = {"top-1": measured.test_top1, "top-5": measured.test_top5} if measured else {}
    dataset = _dataset(known)
    hub_id = dataset.hub_id if dataset else ""
    data = ModelCardData(
        license=config.license,
        library_name="zoo",
        pipeline_tag="image-classification",
        base_model=(base := _base(config)),
        base_model_relation="finetune" if base else None,
        tags=list(dict.fromkeys(["zoo", *_architecture(known).tags, config.architecture, config.dataset])),
        datasets=[hub_id] if hub_id else None,
        metrics=["accuracy"],
        model_name=config.name,
        eval_results=[
            EvalResult(
                task_type="image-classification",
                task_name="Image Classification",
                dataset_type=hub_id or config.dataset,
                dataset_name=_title(config, known),
                dataset_split="test",
                metric_type="accuracy",
                metric_name=name,
                metric_value=round(value, 4),
            )
            for name, value in results.items()
        ]
        or None,
        # What a listing shows of a model without a request for its config.json.
        zoo={
            "dataset": config.dataset,
            "parameters": config.parameters,
            "plugin": config.plugin_distribution,
            **_how(config),
        },
    )
    return data.to_yaml().strip()


def _how(config: Record) -> dict[str, object]:
    """What a listing says of how it came about."""
    if isinstance(config, Imported):
        return {"by": config.source.by}
    job = config.job
    return {"recipe": job.recipe_name, "seed": job.seed, "sha256": config.weights.sha256}


def _text(config: Record, rows: Sequence[EpochRow], known: Model | Architecture) -> str:
    channels, height, width = config.input_size
    source = f" [Source]({config.paper})." if config.paper else ""
    architecture, title = _architecture(known), _title(config, known)
    whose = _whose(config) if isinstance(config, Imported) else ""
    return f"""# {config.name}

{whose}{architecture.trained_on(title)}{source}
It has {config.parameters:,} parameters and takes images of {channels}×{height}×{width} to
{len(config.classes)} classes.{_about(_dataset(known))}{_pictures(config)}

{_results(config, title)}

{_loading(config, known)}
{_exports(config)}
{_origin(config) if isinstance(config, Imported) else _training(config, rows, known)}"""


def _about(dataset: Dataset | None) -> str:
    """Where the data set is from, where its facts say so."""
    if dataset is None or not (dataset.homepage or dataset.license):
        return ""
    named = f"[{dataset.title}]({dataset.homepage})" if dataset.homepage else dataset.title
    return f"\nThe data set: {named}{f', {dataset.license}' if dataset.license else ''}."


def _pictures(config: Record) -> str:
    """Which pictures it was trained on, where they are somebody's own: how many, and their hash; none is published."""
    if not isinstance(config, Trained) or (pictures := config.pictures) is None:
        return ""
    parted = "in a test set of their own"
    if pictures.test_part is not None:
        parted = f"the test set a part of {pictures.test_part:g} that the pictures' own bytes decide"
    skipped = f"\n{_plural(pictures.skipped, 'picture')} could not be read and were left out." * bool(pictures.skipped)
    return f"""

Trained on pictures of somebody's own, which are not published with it: {pictures.train_images:,}, and
{pictures.test_images:,} to test with, {parted}. Their SHA-256 is
`{pictures.sha256}`.{skipped}"""


def _interval(config: Record, results: Results) -> str:
    """How much a top-1 of so many pictures says."""
    if not isinstance(config, Trained) or (pictures := config.pictures) is None:
        return ""
    low, high = results.interval
    few = f" The rarest class has {_plural(pictures.fewest, 'test picture')}, which says little." * (
        pictures.fewest < FEW
    )
    return f"""
On other pictures of the same kind, top-1 would be from {low:.1f}% to {high:.1f}% in 95 of 100 cases.{few}"""


def _results(config: Record, title: str) -> str:
    claimed = _claim(config)
    if (results := config.results) is None:
        return f"Not measured here.{claimed} `zoo verify {config.name}` measures it where there is a network."
    how = f"the whole test set of {title}, one forward pass per image in fp32."
    said = (
        f"Measured by the zoo: {how}{claimed}"
        if isinstance(config, Imported)
        else f"Last epoch, {how} Nothing was\nchosen on test data."
    )
    return f"""| test images | top-1 | top-5 | loss |
|---:|---:|---:|---:|
| {results.test_images:,} | {results.test_top1:.2f}% | {results.test_top5:.2f}% | {results.test_loss:.4f} |

{said}{_half(config)}{_interval(config, results)}{_seeds(config)}"""


def _whose(config: Imported) -> str:
    """The first line of a card of somebody else's weights."""
    address = config.download.address if config.download else ""
    at = f"<{address}>" if address.startswith("https:") else f"`{address}`"
    return f"**Trained by {config.source.by}, not by the zoo**{f', and published at {at}' if address else ''}.\n\n"


def _claim(config: Record) -> str:
    if not isinstance(config, Imported) or (claim := config.source.claim) is None:
        return ""
    return f" Its author says {claim.test_top1:.2f}%{f', {claim.meaning}' if claim.meaning else ''}."


def _origin(config: Imported) -> str:
    """Whose weights they are, and what was made of their file."""
    source, download = config.source, config.download
    facts = {
        "by": source.by,
        "address": f"`{download.address}`" if download else "a file that was given",
        "revision": f"`{source.revision}`" if source.revision else "",
        "file": f"`{download.file}`{f', {download.bytes:,} bytes' if download.bytes else ''}" if download else "",
        "SHA-256 of the file": f"`{download.sha256}`{' (its first digits)' * (len(download.sha256) < 64)}"
        if download
        else "",
        "SHA-256 of its tensors": f"`{download.tensors_sha256}`" if download and download.tensors_sha256 else "",
        "license": config.license,
        "citation": source.citation,
        "names of tensors": source.mapped,
    }
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items() if value)
    return f"""## Where it is from

| | |
|---|---|
{rows}

The zoo has no recipe of it. Its tensors are the author's; only their names and their container were changed.

SHA-256 of the weights as safetensors `{config.weights.sha256}`.
"""


def _loading(config: Record, known: Model | Architecture) -> str:
    ways = "\n".join(f"{one.about}\n\n```python\n{one.code}```\n" for one in snippets(config, known))
    resized = f"\n\n{_resizing(config)}" if not config.resizing.is_plain else ""
    return f"""## Load it

{ways}
The architecture comes with the plugin `{config.plugin_distribution}`. Without the zoo: `{_file(config)}
is a plain state dict, and an input is (pixel / 255 − mean) / std with mean {list(config.mean)} and
std {list(config.std)}.{resized}"""


def _resizing(config: Record) -> str:
    """How a picture of any size becomes what the net sees, where that is said."""
    resizing, (_, height, width) = config.resizing, config.input_size
    larger = f"{math.floor(height / resizing.crop_pct)}×{math.floor(width / resizing.crop_pct)}"
    how = {
        "squash": f"resized to {larger}, whatever its own proportions",
        "center": f"resized until it just covers {larger}",
        "border": f"resized until it just fits into {larger}, with a border in the colour of the mean",
    }[resizing.crop_mode]
    cut = f", and the middle {height}×{width} are cut out" if larger != f"{height}×{width}" else ""
    cut = cut or (", and what juts out is cut off" if resizing.crop_mode == "center" else "")
    return (
        f"A picture of another size is {how} ({resizing.interpolation}){cut}: in timm's words `crop_pct` "
        f"{resizing.crop_pct:g},\n`crop_mode` {resizing.crop_mode}, `interpolation` {resizing.interpolation}."
    )


def _file(config: Record) -> str:
    """Where the weights are as safetensors; of what only says where they are, after they were fetched."""
    fetched = config.download is not None
    return f"model.safetensors` that `zoo pull {config.name}` leaves" if fetched else "model.safetensors`"


def _exports(config: Record) -> str:
    """The same model in other formats, and how each was held against it."""
    if not config.exports:
        return ""
    channels, height, width = config.input_size
    rows = "\n".join(_export(config, one) for one in config.exports)
    return f"""
## Out of Python

Pixels in, probabilities out: each of these files takes `pixels`, uint8 [N, {height}, {width}, {channels}] (any
number N of images, channels last), normalises them itself, and answers `logits` and `probabilities`,
float32 [N, {len(config.classes)}]. Its metadata has the classes, in their order.

| file | size | top-1 | classified otherwise | logits differ by up to | run by |
|---|---:|---:|---:|---:|---|
{rows}

Each was run by its own runtime when it was written, and held against the net on {_on(config)}.
"""


def _export(config: Record, export: Export) -> str:
    size, test = config.files[export.file].bytes, export.test
    top1, otherwise, logits = (
        (f"{test.test_top1:.2f}%", f"{test.otherwise:,} of {test.test_images:,}", max(test.logits, export.known_logits))
        if test
        else ("–", "–", export.known_logits)
    )
    remarks = ["any height and width"] * export.any_size
    run_by = f"{export.runtime}, {export.device}, {_plural(export.threads, 'thread')}"
    note = "".join(f", {remark}" for remark in remarks)
    return f"| `{export.file}` ({export.format}{note}) | {size:,} | {top1} | {otherwise} | {logits:.1e} | {run_by} |"


def _on(config: Record) -> str:
    """What exported files were held against the net on."""
    everywhere = all(one.test for one in config.exports)
    return "a few fixed inputs" + (
        " and the whole test set" if everywhere else ", and where it has a top-1 the test set"
    )


def _training(config: Trained, rows: Sequence[EpochRow], known: Model | Architecture) -> str:
    job, training, environment, versions = config.job, config.training, config.environment, config.versions
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
    recipe = "\n".join(f"| `{name}` | `{json.dumps(value)}` |" for name, value in job.recipe.to_json().items())
    return f"""## How it was trained

Recipe `{job.recipe_name}`, seed {job.seed},{_part(config, known)} {_plural(training.epochs, "epoch")} in \
{_duration(training.train_seconds)} on
{environment.device} ({", ".join(how)}); Python \
{environment.python}, torch {versions.torch}, {_versions(config)}.

```sh
{command(job, known, max(1, len(config.seeds)))}
```

| hyper-parameter | value |
|---|---|
{recipe}
{_start(config)}{_teacher(config)}{_average(config)}
SHA-256 of the recipe `{config.recipe_sha256}`, of the weights `{config.weights.sha256}`.

## Its curve

![Loss and accuracy against epoch](curve.svg)

{_curve_note(rows)}
"""


def _versions(config: Trained) -> str:
    """The zoo and the plugin, and the commits where they ran from checkouts: one, where the plugin is in the zoo's."""
    versions, own = config.versions, config.environment
    if own.plugin_commit is None:
        return f"zoo {versions.zoo}, {versions.plugin}" + (f", commit {own.commit}" if own.commit else "")
    zoos = f" (commit {own.commit})" if own.commit else ""
    return f"zoo {versions.zoo}{zoos}, {versions.plugin} (commit {own.plugin_commit})"


def _part(config: Trained, known: Model | Architecture) -> str:
    """How much of the data set it was trained on, where that isn't all of it."""
    trained, dataset = config.job.train_images, _dataset(known)
    if dataset is None:
        return f" {trained:,} images,"
    return "" if trained == dataset.train_images else f" on the first {trained:,} of {dataset.train_images:,} images,"


def _half(config: Record) -> str:
    """That the weights are stored in fp16, where they are."""
    is_half = isinstance(config, Trained) and config.job.dtype == "fp16"
    return " The weights are stored in fp16, and measured so." if is_half else ""


def _seeds(config: Record) -> str:
    """What the same training came to from other seeds, where it was repeated."""
    if not isinstance(config, Trained) or len(config.seeds) < 2:
        return ""
    top1, top5 = ([getattr(one, f"test_top{k}") for one in config.seeds] for k in (1, 5))
    rows = "\n".join(f"| {one.seed} | {one.test_top1:.2f}% | {one.test_top5:.2f}% |" for one in config.seeds)
    return f"""

From {len(config.seeds)} seeds (mean ± standard deviation): top-1 **{spread(top1)}%**, top-5 {spread(top5)}%.
These weights are those of seed {config.job.seed}, which was declared before the runs.

| seed | top-1 | top-5 |
|---:|---:|---:|
{rows}"""


def _start(config: Trained) -> str:
    """What it began with, where that is not its architecture's initialisation."""
    start = config.job.start
    if start is None:
        return ""
    deepened = ""
    if start.shallower:
        how = "the blocks that it lacks began as identities (Net2DeeperNet, arXiv:1511.05641)"
        deepened = f"\nThose are of a {start.shallower}: {how}.\n"
    return f"""
Fine-tuned: it began with the weights of `{start.address}` (SHA-256 `{start.sha256}`), its head anew where their
classes are others.
{deepened}"""


def _base(config: Record) -> str | None:
    """The repository of the weights that it began with, where those are on the Hub."""
    start = config.job.start if isinstance(config, Trained) else None
    repository = HUB_MODEL.fullmatch(start.address) if start else None
    return repository[1] if repository else None


def _teacher(config: Trained) -> str:
    """What was distilled, where anything was."""
    teacher, recipe = config.job.teacher, config.job.recipe
    if teacher is None:
        return ""
    way = "" if recipe.distill_type == "kd" else ", the target class and the others weighed apart (arXiv:2203.08679)"
    return f"""
Distilled: beside the labels it learned the logits that `{teacher.address}` (SHA-256 of its weights
`{teacher.sha256}`) has for the same augmented batches{way}.
"""


def _average(config: Trained) -> str:
    """That it is an average that is published, where it is."""
    decay = config.job.recipe.model_ema_decay
    if decay is None:
        return ""
    return f"""
Averaged: these weights, and all accuracies but those while training, are of the exponential moving average over the
steps, which keeps {decay} of itself at each.
"""


def _curve_note(rows: Sequence[EpochRow]) -> str:
    last = rows[-1]
    return (
        f"After epoch {last.epoch}: train loss {last.train_loss:.4f}, train top-1 {last.train_top1:.2f}% "
        "(with augmentation, while training). Every row is in `log.jsonl`."
    )


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
