"""Export a published model: write files in other formats, compare each with the net, and write a model folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from zoo.data import batches, sources
from zoo.data.sources import Split, parts
from zoo.errors import DataError, ExportError, FolderError
from zoo.evaluation.evaluate import known_answers
from zoo.evaluation.verify import LOGITS_TOLERANCE
from zoo.exporters import formats
from zoo.exporters.formats import Exporter, Subject
from zoo.exporters.graph import reason
from zoo.exporters.runtime import known_logits, measured, test_set, top1
from zoo.hub.resolve import Published
from zoo.nets.device import describe, exact
from zoo.record import card, curve, store
from zoo.record.lock import alone
from zoo.record.paths import path_of
from zoo.record.replace import written_aside
from zoo.record.types import Export, File, Record

CPU = torch.device("cpu")
MOST_LOSS = 0.5  # percentage points of top-1 that an inexact format may lose


@dataclass(frozen=True, eq=False)
class Exported:
    """An exported file, and its entry in the record."""

    content: bytes
    entry: Export


@dataclass(frozen=True, eq=False)
class _Expected:
    """The net's logits for the fixed inputs, and for the test set if it is present."""

    fixed: Tensor
    test: tuple[Split, Tensor] | None


def exporters(names: Sequence[str]) -> list[Exporter]:
    """Load exporters by the names of their formats.

    Raises:
        ExportError: No name is given, a name is unknown, or an exporter needs a module that is not installed.
        PluginError: A plugin can't be loaded.
    """
    if not names:
        raise ExportError(f"there is nothing to export to; name formats among {', '.join(formats.EXPORTERS.names())}")
    loaded = [formats.EXPORTERS.load(name) for name in dict.fromkeys(names)]
    for exporter in loaded:
        formats.require_installed((*exporter.needs, exporter.runtime), f"to export to {exporter.format}")
    return loaded


def subject(model: Published, root: Path) -> Subject:
    """The input of an exporter for a model; `root` is the data folder."""
    return Subject(model.net(), model.config, store.identity(model.folder), partial(_training_images, model, root))


def require_free(out: Path) -> None:
    """Raise FolderError if the output path already exists."""
    if os.path.lexists(target := path_of(out)):
        raise FolderError(f"{target} is there already; remove it or name another folder as out")


def export(model: Published, wanted: Sequence[Exporter], root: Path, *, allow_loss: bool) -> list[Exported]:
    """Export a model, and compare each file with the net by running it with its runtime.

    Args:
        model: The published model.
        wanted: The exporters of the formats to write.
        root: The data folder. The comparison includes the test set if it is there.
        allow_loss: Whether a format may lose more than MOST_LOSS points of top-1.

    Returns:
        The exported files, in the order of `wanted`.

    Raises:
        ExportError: A file can't be written or run, or its output differs too much.
        DataError: A format needs training images, and they are missing.
    """
    exported_model = subject(model, root)
    expected = _expected(exported_model, test_set(model, root))
    made = []
    for exporter in wanted:
        content = exporter.write(exported_model)
        entry = _compared(exporter, content, model.config, expected)
        if not allow_loss:
            _require_accurate(exporter, entry, expected, model.config)
        made.append(Exported(content, entry))
    return made


def write(model: Published, made: Sequence[Exported], out: Path) -> tuple[Path, Record]:
    """Write a copy of the model folder with the exported files.

    Args:
        model: The published model.
        made: The exported files.
        out: The new folder.

    Returns:
        The path of the folder, and its record.

    Raises:
        FolderError: The folder exists already, or can't be written.
    """
    base = model.config
    new = {exported.entry.file: exported.content for exported in made}
    files = {name: model.read(name) for name in base.files if name not in new} | new
    kept = (export for export in base.exports if export.file not in new)
    config: Record = msgspec.structs.replace(
        base,
        exports=(*kept, *(exported.entry for exported in made)),
        files={name: File.of(content) for name, content in files.items()},
    )
    log, target = model.log(), path_of(out)
    files |= model.presentation()
    text = card.render(config, log, model.declared, shows_errors=store.ERRORS in files)
    files[store.README] = text.encode()
    if log:
        files[store.CURVE] = curve.draw(config.name, log).encode()
    with alone(target):
        require_free(target)
        with written_aside(target) as aside:
            return target, store.write(aside, config, files)


def _expected(given: Subject, split: Split | None) -> _Expected:
    pixels = batches.pixels(given.config.mean, given.config.std, CPU)
    fixed = known_answers(given.net, pixels, given.config.input_size)
    if split is None:
        return _Expected(fixed, None)
    with exact():
        logits = torch.cat([given.net(pixels.normalise(images)).float() for images in parts(split.images)])
    return _Expected(fixed, (split, logits))


def _compared(exporter: Exporter, content: bytes, config: Record, expected: _Expected) -> Export:
    """Run a new file and compare it with the net; raises ExportError if it fails or its logits differ."""
    threads, runtime = torch.get_num_threads(), formats.runtime(exporter)
    try:
        run = exporter.open(content, threads)
        fixed = known_logits(run, config)
        test = measured(run, *expected.test) if expected.test else None
    except Exception as error:  # a runtime may raise anything
        cause = str(error) if isinstance(error, ExportError) else reason(error)
        raise ExportError(f"{config.name}: {runtime} can't run the exported {exporter.format} file: {cause}") from error
    distance = (fixed - expected.fixed).abs().max().item()
    if exporter.is_exact and not distance <= LOGITS_TOLERANCE * expected.fixed.abs().max().item():
        raise ExportError(
            f"{config.name}: logits by {runtime} differ from the net's by up to {distance:.1e} for the "
            "fixed inputs; nothing was written"
        )
    return Export(
        format=exporter.format,
        file=exporter.file,
        runtime=runtime,
        device=describe(CPU),
        threads=threads,
        known_logits=distance,
        test=test,
        any_size=exporter.any_size and config.resizing.is_plain,
    )


def _require_accurate(exporter: Exporter, entry: Export, expected: _Expected, config: Record) -> None:
    """Raise ExportError if a format loses too much top-1, or if an inexact format was not run on the test set."""
    if entry.test and expected.test:
        split, logits = expected.test
        before = top1(logits, split.labels)
        if before - entry.test.test_top1 > MOST_LOSS:
            raise ExportError(
                f"{config.name}: {exporter.format} has a top-1 of {entry.test.test_top1:.2f}%, the net {before:.2f}%, "
                f"expected at most {MOST_LOSS} points less; pass allow_loss to export it anyway"
            )
    elif not exporter.is_exact:
        raise ExportError(
            f"{config.name}: the loss of accuracy by {exporter.format} can't be measured without its test set; "
            "name its folder as data, or pass allow_loss"
        )


def _training_images(model: Published, root: Path, count: int) -> Tensor:
    dataset = model.model.dataset
    if not sources.is_there(dataset, root):
        raise DataError(
            f"training images of {dataset.name} are needed, and are not in {root}; name their folder as data"
        )
    return sources.read_split(dataset, root, train=True, device=CPU, part=slice(count)).uncropped().images
