"""Exported files run by their own runtimes: measured when written, used in the net's place, verified later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from zoo.data import sources
from zoo.data.batches import Pixels
from zoo.data.preprocessing import to_pixels
from zoo.data.sources import Split, parts
from zoo.errors import DataError, ExportError, PluginError
from zoo.evaluation.evaluate import Evaluated, fixed_inputs, score
from zoo.evaluation.outcome import Check
from zoo.evaluation.predict import Look
from zoo.evaluation.verify import LOGITS_TOLERANCE, POINTS_TOLERANCE
from zoo.exporters import formats
from zoo.exporters.graph import reason
from zoo.exporters.protocol import Answers, Exporter, Run
from zoo.hub.resolve import Published, is_trusted
from zoo.nets.device import exact
from zoo.record.types import Export, ExportTest, Record
from zoo.spec import Model

# -- measuring -------------------------------------------------------------------------------------


SUM_TOLERANCE = 1e-4  # of the probabilities of an image, from softmax


@dataclass(frozen=True, eq=False)
class Tested:
    """A test set, and the logits [N, num_classes] float32 that the net has for it, on the CPU."""

    split: Split
    logits: Tensor


def tested(net: nn.Module, pixels: Pixels, split: Split) -> Tested:
    """Run a net over a whole test set, in evaluation mode and fp32."""
    with exact():
        found = [net(pixels.normalise(images)).float().cpu() for images in parts(split.images)]
    return Tested(Split(split.images.cpu(), split.labels.cpu()), torch.cat(found))


def answers(run: Run, images: Tensor, classes: int) -> Answers:
    """What a runtime answers to images; raises ExportError where that isn't logits and their softmax."""
    found = run(images)
    shape, probabilities = (len(images), classes), found.probabilities
    for name, values in vars(found).items():
        if values.shape != shape or values.dtype != torch.float32 or not bool(torch.isfinite(values).all()):
            raise ExportError(f"its {name} are {values.dtype} {list(values.shape)}, expected float32 {list(shape)}")
    if (probabilities - found.logits.softmax(dim=1)).abs().max().item() > SUM_TOLERANCE:
        raise ExportError("its probabilities are not the softmax of its logits")
    return found


def known_logits(run: Run, config: Record) -> Tensor:
    """The logits of the fixed inputs, asked all at once and one by one, which must not matter; raises ExportError."""
    images = fixed_inputs(config.input_size)
    classes = len(config.classes)
    at_once = answers(run, images, classes).logits
    one_by_one = torch.cat([answers(run, image, classes).logits for image in torch.split(images, 1)])
    if (at_once - one_by_one).abs().max().item() > 1e-3 * max(1.0, at_once.abs().max().item()):
        raise ExportError("an image's logits are others alone than in a batch")
    return at_once


def test_of(run: Run, on: Tested) -> ExportTest:
    """What a runtime makes of a whole test set, beside what the net does."""
    classes = on.logits.shape[1]
    found = torch.cat([answers(run, images, classes).logits for images in parts(on.split.images)])
    predicted = found.argmax(dim=1)
    return ExportTest(
        test_top1=top1(found, on.split.labels),
        test_images=len(on.split),
        otherwise=int((predicted != on.logits.argmax(dim=1)).sum()),
        logits=(found - on.logits).abs().max().item(),
    )


def top1(logits: Tensor, labels: Tensor) -> float:
    """Percent of images whose largest logit is their label's."""
    return 100 * int((logits.argmax(dim=1) == labels).sum()) / len(labels)


# -- in the place of the net -----------------------------------------------------------------------


def open_export(found: Published, format: str) -> Run:  # noqa: A002 - what it is everywhere
    """What runs a model's file in that format, hash checked.

    What runs its author's code is opened where a person names its folder by path, or trusts its hub. Raises
    ExportError, FolderError or HashMismatch.
    """
    exporter = formats.exporter(format)
    name, of_format = found.config.name, [one for one in found.config.exports if one.format == format]
    if not of_format:
        raise ExportError(f"{name} has no {format} file; make a folder that has: zoo export {name} --to {format}")
    formats.require_installed((exporter.runtime,), f"to run {format}")
    if exporter.runs_code and not found.is_local and not is_trusted(found.place):
        raise ExportError(
            f"to open the {format} file of {found.place} is to run its author's code; where you trust them, list it in "
            "ZOO_TRUST"
        )
    return run_of(found, exporter, of_format[0])


def run_of(found: Published, exporter: Exporter, export: Export) -> Run:
    """What runs a file of a model's folder; raises ExportError where it can't be opened, or FolderError."""
    content = found.read(export.file)
    try:
        return exporter.open(content, torch.get_num_threads())
    except Exception as error:  # a runtime may fail in any way on what is no such file
        raise ExportError(
            f"{export.file} of {found.config.name} can't be opened by {formats.runtime(exporter)}: {reason(error)}"
        ) from error


def logits_of(run: Run, classes: int) -> Callable[[Tensor], Tensor]:
    """The logits [N, classes] that a runtime has for images [N, H, W, C] uint8."""

    def ask(images: Tensor) -> Tensor:
        return _asked(run, images, classes)[0]

    return ask


def evaluated(found: Published, format: str, root: Path) -> Evaluated:  # noqa: A002
    """The score of the folder's file in this format on the whole test set; raises ExportError and DataError."""
    model, run = found.model, open_export(found, format)
    test = sources.read_split(model.dataset, root, train=False, device=torch.device("cpu"))
    results, confusion = score(logits_of(run, len(model.dataset.classes)), test)
    return Evaluated(model.name, model.dataset.classes, results, tuple(map(tuple, confusion.tolist())), found.config)


def probabilities_of(run: Run, config: Record) -> Look:
    """The probability of every class [num_classes] that a runtime has for a picture of any size and mode."""
    pixels = to_pixels(config.input_size, config.resizing, config.mean)

    def look(image: Image.Image) -> Tensor:
        images = pixels(image).permute(1, 2, 0)[None].contiguous()
        return _asked(run, images, len(config.classes))[1][0]

    return look


def _asked(run: Run, images: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    try:
        found = answers(run, images, classes)
    except Exception as error:  # a stranger's graph may do anything
        why = str(error) if isinstance(error, ExportError) else reason(error)
        raise ExportError(f"the exported file does not answer as one should: {why}; export it again") from error
    return found.logits, found.probabilities


# -- verifying -------------------------------------------------------------------------------------


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
    distance, largest = (known_logits(run, config) - kept).abs().max().item(), kept.abs().max().item()
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
