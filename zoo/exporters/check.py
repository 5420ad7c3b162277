"""A folder's files in other formats, run again and held against what it says of them."""

from __future__ import annotations

from pathlib import Path

import torch

from zoo.data import sources
from zoo.errors import DataError, ExportError, PluginError
from zoo.evaluation.evaluate import score
from zoo.evaluation.verify import LOGITS_TOLERANCE, POINTS_TOLERANCE, Check
from zoo.exporters import formats, measure
from zoo.exporters.graph import reason
from zoo.exporters.protocol import Exporter, Run
from zoo.exporters.use import logits_of, run_of
from zoo.hub.resolve import Published, is_trusted
from zoo.record.types import Export, Record
from zoo.spec import Model

# What is not exact rounds to whole numbers, and on another processor one of them may be the next.
STEPS_TOLERANCE = 0.02  # of the largest logit


def checks(found: Published, root: Path) -> tuple[Check, ...]:
    """A check of every exported file; its test set is run where it can be read from `root` without a download."""
    split = _test_set(found, root)
    return tuple(_check(found, one, split) for one in found.config.exports)


def _check(found: Published, export: Export, split: sources.Split | None) -> Check:
    name = export.format
    try:
        exporter = formats.exporter(export.format)
        formats.require_installed((exporter.runtime,), f"to run {export.format}")
    except (ExportError, PluginError) as error:
        return Check(name, "not measured", f"not run, {error}")
    if exporter.runs_code and not is_trusted(found.place):
        why = f"not run, that would be running its author's code; to allow it, list {found.place} in ZOO_TRUST"
        return Check(name, "not measured", why)
    try:
        run = run_of(found, exporter, export)
        return _held(found.config, exporter, export, run, split)
    except Exception as error:  # a stranger's graph may do anything
        return Check(name, "differs", str(error) if isinstance(error, ExportError) else reason(error))


def _held(config: Record, exporter: Exporter, export: Export, run: Run, split: sources.Split | None) -> Check:
    """What a runtime answers now: the net's known answers, and the accuracy that the folder says."""
    name = export.format
    if not config.known_answers:
        return Check(name, "not measured", "not run, the folder has no known answers")
    kept = torch.tensor(config.known_answers)
    distance, largest = (measure.known_logits(run, config) - kept).abs().max().item(), kept.abs().max().item()
    allowed = LOGITS_TOLERANCE * largest
    if not exporter.is_exact:
        allowed += export.known_logits + STEPS_TOLERANCE * largest
    if not distance <= allowed:
        said = f"the logits of the fixed inputs differ from the net's by {distance:.1e}, expected up to {allowed:.1e}"
        return Check(name, "differs", f"{export.file}: {said}")
    found = f"known answers within {distance:.1e}"
    if split is None or export.test is None:
        return Check(name, "as published", f"{found}; no test set")
    top1 = score(logits_of(run, len(config.classes)), split)[0].test_top1
    if abs(top1 - export.test.test_top1) > POINTS_TOLERANCE:
        said = f"top-1 is {top1:.4f}%, the card says {export.test.test_top1:.4f}%"
        return Check(name, "differs", f"{export.file}: {said}")
    return Check(name, "as published", f"{found}, top-1 {top1:.2f}%")


def _test_set(found: Published, root: Path) -> sources.Split | None:
    known, config = found.known, found.config
    if not isinstance(known, Model) or not config.fits(known.dataset) or not sources.is_there(known.dataset, root):
        return None
    try:
        return sources.read_split(known.dataset, root, train=False, device=torch.device("cpu"))
    except DataError:
        return None
