"""From a published model to a model folder that has it in other formats too, each held to the net's answers."""

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
from zoo.errors import DataError, ExportError, FolderError
from zoo.evaluation.evaluate import known_answers
from zoo.evaluation.verify import LOGITS_TOLERANCE
from zoo.exporters import formats
from zoo.exporters.graph import reason
from zoo.exporters.protocol import Exporter, Run, Subject
from zoo.exporters.runtime import Tested, known_logits, test_of, tested, top1
from zoo.hub.resolve import Published
from zoo.nets.device import describe
from zoo.record import card, curve, store
from zoo.record.lock import alone
from zoo.record.paths import path_of
from zoo.record.replace import written_aside
from zoo.record.types import Export, Record
from zoo.spec import Model

CPU = torch.device("cpu")
MOST_LOSS = 0.5  # points of top-1 that a format which is not exact may cost


@dataclass(frozen=True, eq=False)
class Exported:
    """A file in another format, and how it was held against the net."""

    content: bytes
    facts: Export


def exporters(names: Sequence[str]) -> list[Exporter]:
    """The formats of those names, which can be written and run here; raises ExportError or PluginError."""
    found = [formats.exporter(name) for name in dict.fromkeys(names)]
    if not found:
        raise ExportError(f"there is nothing to export to; name formats of {', '.join(formats.formats())}")
    for one in found:
        formats.require_installed((*one.needs, one.runtime), f"to export to {one.format}")
    return found


def subject(found: Published, root: Path) -> Subject:
    """What an exporter is given of a model; its training images are read where its data set is in `root`."""
    images = partial(_training_images, found, root)
    return Subject(found.net(), found.config, store.identity(found.folder), images)


def require_free(out: Path) -> None:
    """Refuse a place where something is already, before anything is computed; raises FolderError."""
    if os.path.lexists(target := path_of(out)):
        raise FolderError(f"{target} is there already; remove it or name another folder as out")


def export(found: Published, wanted: Sequence[Exporter], root: Path, *, allow_loss: bool) -> list[Exported]:
    """Write a model in these formats, and run what was written, on the test set too where it is there.

    Raises ExportError: also where a runtime answers otherwise than
    the net, or a format costs more than MOST_LOSS points and `allow_loss` does not allow it.
    """
    asked = subject(found, root)
    net, config = asked.net, asked.config
    pixels = batches.pixels(config.mean, config.std, CPU)
    kept = known_answers(net, pixels, config.input_size)
    split = _test_set(found, root)
    on = tested(net, pixels, split) if split else None
    made = []
    for exporter in wanted:
        content = exporter.write(asked)
        facts = _held(exporter, content, config, kept, on)
        _require_accurate(exporter, facts, on, config, allow_loss=allow_loss)
        made.append(Exported(content, facts))
    return made


def write(found: Published, made: Sequence[Exported], out: Path) -> tuple[Path, Record]:
    """Write the model folder again, with those files in it, where there is nothing yet; raises FolderError."""
    base = found.config
    new = {one.facts.file: one.content for one in made}
    files = {name: found.read(name) for name in base.files if name not in new} | new
    config: Record = msgspec.structs.replace(
        base,
        exports=(*(one for one in base.exports if one.file not in new), *(one.facts for one in made)),
        files={name: store.file_facts(content) for name, content in files.items()},
    )
    log, target = found.log(), path_of(out)
    files[store.README] = card.render(config, log, found.known).encode()
    if log:
        files[store.CURVE] = curve.draw(config.name, log).encode()
    with alone(target):
        require_free(target)
        with written_aside(target) as aside:
            return target, store.write(aside, config, files)


def _held(exporter: Exporter, content: bytes, config: Record, kept: Tensor, on: Tested | None) -> Export:
    """A file run by its own runtime, beside the net; raises ExportError where it can't be, or answers otherwise."""
    threads = torch.get_num_threads()
    try:
        run: Run = exporter.open(content, threads)
        asked = known_logits(run, config)
        test = test_of(run, on) if on else None
    except Exception as error:  # a runtime may fail in any way
        why = str(error) if isinstance(error, ExportError) else reason(error)
        raise ExportError(
            f"{config.name}: {formats.runtime(exporter)} can't run the {exporter.format} file just written: {why}"
        ) from error
    distance = (asked - kept).abs().max().item()
    if exporter.is_exact and not distance <= LOGITS_TOLERANCE * kept.abs().max().item():
        raise ExportError(
            f"{config.name}: {formats.runtime(exporter)} answers otherwise than the net: logits of the fixed inputs "
            f"differ by up to {distance:.1e}; nothing was written"
        )
    return Export(
        format=exporter.format,
        file=exporter.file,
        runtime=formats.runtime(exporter),
        device=describe(CPU),
        threads=threads,
        known_logits=distance,
        test=test,
        any_size=exporter.any_size and config.resizing.is_plain,
    )


def _require_accurate(
    exporter: Exporter, facts: Export, on: Tested | None, config: Record, *, allow_loss: bool
) -> None:
    """Refuse what costs too much, and what may and could not be measured; raises ExportError."""
    if allow_loss:
        return
    if facts.test is None or on is None:
        if exporter.is_exact:
            return
        raise ExportError(
            f"{config.name}: what {exporter.format} costs can't be measured, its test set is not there: "
            "name its folder as data, or allow any loss with allow_loss"
        )
    before = top1(on.logits, on.split.labels)
    if before - facts.test.test_top1 > MOST_LOSS:
        raise ExportError(
            f"{config.name}: {exporter.format} has a top-1 of {facts.test.test_top1:.2f}%, the net {before:.2f}%, "
            f"expected up to {MOST_LOSS} points less; to have it all the same: allow_loss"
        )


def _test_set(found: Published, root: Path) -> sources.Split | None:
    """The test set where its data is there; nothing is downloaded for it."""
    if not isinstance(found.known, Model) or not sources.is_there(found.known.dataset, root):
        return None
    return sources.read_split(found.model.dataset, root, train=False, device=CPU)


def _training_images(found: Published, root: Path, count: int) -> Tensor:
    dataset = found.model.dataset
    if not sources.is_there(dataset, root):
        raise DataError(f"{dataset.name} is not in {root}, and its training images are needed; name its folder as data")
    return sources.read_split(dataset, root, train=True, device=CPU, part=slice(count)).uncropped().images
