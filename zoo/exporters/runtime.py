"""Run exported files by their own runtimes: to measure a new file, to use it instead of the net, and to verify it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from zoo.data import sources
from zoo.data.preprocessing import to_pixels
from zoo.data.sources import Split, parts
from zoo.errors import DataError, ExportError, PluginError
from zoo.evaluation.evaluate import Evaluated, fixed_inputs, score
from zoo.evaluation.outcome import Check
from zoo.evaluation.predict import Look
from zoo.evaluation.verify import LOGITS_TOLERANCE, POINTS_TOLERANCE
from zoo.exporters import formats
from zoo.exporters.formats import Answers, Exporter, Run
from zoo.exporters.graph import reason
from zoo.hub.resolve import Published, is_trusted
from zoo.record.types import Export, ExportTest, Record
from zoo.spec import Model

SUM_TOLERANCE = 1e-4  # of an image's probabilities, from softmax
# A format that is not exact rounds to whole numbers; another processor may round one of them to the next.
STEPS_TOLERANCE = 0.02  # of the largest logit


def answers(run: Run, images: Tensor, classes: int) -> Answers:
    """Run images; raises ExportError where the output isn't logits and their softmax."""
    output = run(images)
    shape = (len(images), classes)
    for name, values in vars(output).items():
        if values.shape != shape or values.dtype != torch.float32 or not bool(torch.isfinite(values).all()):
            raise ExportError(f"its {name} are {values.dtype} {list(values.shape)}, expected float32 {list(shape)}")
    if (output.probabilities - output.logits.softmax(dim=1)).abs().max().item() > SUM_TOLERANCE:
        raise ExportError("its probabilities are not the softmax of its logits")
    return output


def known_logits(run: Run, config: Record) -> Tensor:
    """The logits of the fixed inputs, as a batch; raises ExportError where single images get other logits."""
    images = fixed_inputs(config.input_size)
    classes = len(config.classes)
    batch = answers(run, images, classes).logits
    single = torch.cat([answers(run, image, classes).logits for image in torch.split(images, 1)])
    if (batch - single).abs().max().item() > 1e-3 * max(1.0, batch.abs().max().item()):
        raise ExportError("an image's logits are others alone than in a batch")
    return batch


def measured(run: Run, split: Split, expected: Tensor) -> ExportTest:
    """Run a whole test set, and compare with the logits [N, num_classes] that the net has for it."""
    logits = torch.cat([answers(run, images, expected.shape[1]).logits for images in parts(split.images)])
    return ExportTest(
        test_top1=top1(logits, split.labels),
        test_images=len(split),
        otherwise=int((logits.argmax(dim=1) != expected.argmax(dim=1)).sum()),
        logits=(logits - expected).abs().max().item(),
    )


def top1(logits: Tensor, labels: Tensor) -> float:
    """Percent of images whose largest logit is their label's."""
    return 100 * int((logits.argmax(dim=1) == labels).sum()) / len(labels)


def test_set(model: Published, root: Path) -> Split | None:
    """The test set, where it can be read from `root` without a download."""
    known = model.declared
    if not isinstance(known, Model) or not model.config.fits(known.dataset):
        return None
    try:
        if sources.is_there(known.dataset, root):
            return sources.read_split(known.dataset, root, train=False, device=torch.device("cpu"))
    except DataError:
        pass
    return None


def open_export(model: Published, format: str) -> Run:  # noqa: A002 - its usual name
    """Open a model's file in a format; raises ExportError, FolderError or HashMismatch.

    A file that runs its author's code is opened where its folder was named by path, or its hub is trusted.
    """
    exporter = formats.EXPORTERS.load(format)
    name = model.config.name
    export = next((export for export in model.config.exports if export.format == format), None)
    if export is None:
        raise ExportError(f"{name} has no {format} file; make a folder that has: zoo export {name} --to {format}")
    formats.require_installed((exporter.runtime,), f"to run {format}")
    if exporter.runs_code and not model.is_local and not is_trusted(model.address):
        raise ExportError(
            f"the {format} file of {model.address} runs its author's code when it is opened; "
            "if you trust it, add it to ZOO_TRUST"
        )
    return _opened(model, exporter, export)


def logits_of(run: Run, classes: int) -> Callable[[Tensor], Tensor]:
    """A function from images [N, H, W, C] uint8 to a runtime's logits [N, classes]."""
    return lambda images: _answers(run, images, classes).logits


def evaluated(found: Published, format: str, root: Path) -> Evaluated:  # noqa: A002
    """The score of the folder's file in this format on the whole test set; raises ExportError and DataError."""
    model, run = found.model, open_export(found, format)
    test = sources.read_split(model.dataset, root, train=False, device=torch.device("cpu"))
    results, confusion = score(logits_of(run, len(model.dataset.classes)), test)
    return Evaluated(model.name, model.dataset.classes, results, tuple(map(tuple, confusion.tolist())), found.config)


def probabilities_of(run: Run, config: Record) -> Look:
    """A function from a picture of any size and mode to a runtime's probability of every class [num_classes]."""
    pixels = to_pixels(config.input_size, config.resizing, config.mean)

    def look(image: Image.Image) -> Tensor:
        images = pixels(image).permute(1, 2, 0)[None].contiguous()
        return _answers(run, images, len(config.classes)).probabilities[0]

    return look


def _opened(model: Published, exporter: Exporter, export: Export) -> Run:
    content = model.read(export.file)
    try:
        return exporter.open(content, torch.get_num_threads())
    except Exception as error:  # a runtime may raise anything for an invalid file
        raise ExportError(
            f"{export.file} of {model.config.name} can't be opened by {formats.runtime(exporter)}: {reason(error)}"
        ) from error


def _answers(run: Run, images: Tensor, classes: int) -> Answers:
    try:
        return answers(run, images, classes)
    except Exception as error:  # a runtime may raise anything
        why = str(error) if isinstance(error, ExportError) else reason(error)
        raise ExportError(f"the exported file does not answer as one should: {why}; export it again") from error


def checks(model: Published, root: Path) -> tuple[Check, ...]:
    """Verify every exported file, on the test set too where it can be read from `root` without a download."""
    split = test_set(model, root)
    return tuple(_check(model, export, split) for export in model.config.exports)


def _check(model: Published, export: Export, split: Split | None) -> Check:
    name = export.format
    if not model.config.known_answers:
        return Check(name, "not measured", "not run, the folder has no known answers")
    try:
        exporter = formats.EXPORTERS.load(export.format)
        formats.require_installed((exporter.runtime,), f"to run {export.format}")
    except (ExportError, PluginError) as error:
        return Check(name, "not measured", f"not run, {error}")
    if exporter.runs_code and not is_trusted(model.address):
        why = f"not run, that would be running its author's code; to allow it, list {model.address} in ZOO_TRUST"
        return Check(name, "not measured", why)
    try:
        return _compared(model.config, exporter, export, _opened(model, exporter, export), split)
    except Exception as error:  # a runtime may raise anything
        return Check(name, "differs", str(error) if isinstance(error, ExportError) else reason(error))


def _compared(config: Record, exporter: Exporter, export: Export, run: Run, split: Split | None) -> Check:
    """Compare a file's answers with the net's known answers, and its accuracy with the record's."""
    name, expected = export.format, torch.tensor(config.known_answers)
    distance, largest = (known_logits(run, config) - expected).abs().max().item(), expected.abs().max().item()
    allowed = LOGITS_TOLERANCE * largest
    if not exporter.is_exact:
        allowed += export.known_logits + STEPS_TOLERANCE * largest
    if not distance <= allowed:
        why = f"the logits of the fixed inputs differ from the net's by {distance:.1e}, expected up to {allowed:.1e}"
        return Check(name, "differs", f"{export.file}: {why}")
    finding = f"known answers within {distance:.1e}"
    if split is None or export.test is None:
        return Check(name, "as published", f"{finding}; no test set")
    now = score(logits_of(run, len(config.classes)), split)[0].test_top1
    if abs(now - export.test.test_top1) > POINTS_TOLERANCE:
        why = f"top-1 is {now:.4f}%, the card says {export.test.test_top1:.4f}%"
        return Check(name, "differs", f"{export.file}: {why}")
    return Check(name, "as published", f"{finding}, top-1 {now:.2f}%")
