"""Run exported files with their runtimes: measure new files, evaluate and predict with them, and verify them."""

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

SOFTMAX_TOLERANCE = 1e-4  # largest difference of a probability from the softmax of the logits
# Relative to the largest logit. Processors may round the integers of a quantized format differently.
ROUNDING_TOLERANCE = 0.02


def answers(run: Run, images: Tensor, classes: int) -> Answers:
    """Run images [N, H, W, C] uint8; raises ExportError if the output is not logits and their softmax."""
    output = run(images)
    shape = (len(images), classes)
    for name, values in vars(output).items():
        if values.shape != shape or values.dtype != torch.float32 or not bool(torch.isfinite(values).all()):
            raise ExportError(f"its {name} are {values.dtype} {list(values.shape)}, expected float32 {list(shape)}")
    if (output.probabilities - output.logits.softmax(dim=1)).abs().max().item() > SOFTMAX_TOLERANCE:
        raise ExportError("its probabilities are not the softmax of its logits")
    return output


def known_logits(run: Run, config: Record) -> Tensor:
    """The logits of the fixed inputs, run as a batch; raises ExportError if they depend on the size of the batch."""
    images = fixed_inputs(config.input_size)
    classes = len(config.classes)
    batch = answers(run, images, classes).logits
    single = torch.cat([answers(run, image, classes).logits for image in torch.split(images, 1)])
    if (batch - single).abs().max().item() > 1e-3 * max(1.0, batch.abs().max().item()):
        raise ExportError("the logits of an image differ between a batch of 1 and a larger batch")
    return batch


def measured(run: Run, split: Split, expected: Tensor) -> ExportTest:
    """Run a whole test set, and compare the logits [N, num_classes] with the net's, `expected`."""
    logits = torch.cat([answers(run, images, expected.shape[1]).logits for images in parts(split.images)])
    return ExportTest(
        test_top1=top1(logits, split.labels),
        test_images=len(split),
        otherwise=int((logits.argmax(dim=1) != expected.argmax(dim=1)).sum()),
        logits=(logits - expected).abs().max().item(),
    )


def top1(logits: Tensor, labels: Tensor) -> float:
    """Top-1 in percent."""
    return 100 * int((logits.argmax(dim=1) == labels).sum()) / len(labels)


def test_set(model: Published, root: Path) -> Split | None:
    """The test set of a model, if it is in the data folder `root`; nothing is downloaded."""
    declared = model.declared
    if not isinstance(declared, Model) or not model.config.fits(declared.dataset):
        return None
    try:
        if sources.is_there(declared.dataset, root):
            return sources.read_split(declared.dataset, root, train=False, device=torch.device("cpu"))
    except DataError:
        pass
    return None


def open_export(model: Published, format: str) -> Run:  # noqa: A002 - its usual name
    """Open the exported file of a model.

    Args:
        model: The published model.
        format: The name of the format.

    Returns:
        A function that runs images [N, H, W, C] uint8.

    Raises:
        ExportError: The model has no such file, its runtime is not installed or can't open it, or opening it would run
            its author's code and the model is neither a local folder nor of a trusted hub.
        FolderError: The file can't be read.
        HashMismatch: The file differs from its hash in the record.
    """
    exporter = formats.EXPORTERS.load(format)
    name = model.config.name
    export = next((export for export in model.config.exports if export.format == format), None)
    if export is None:
        raise ExportError(f"{name} has no {format} file; write it with: zoo export {name} --to {format}")
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


def evaluated(published: Published, format: str, root: Path) -> Evaluated:  # noqa: A002
    """Evaluate an exported file on the whole test set in the data folder `root`; raises ExportError or DataError."""
    model, run = published.model, open_export(published, format)
    test = sources.read_split(model.dataset, root, train=False, device=torch.device("cpu"))
    results, confusion = score(logits_of(run, len(model.dataset.classes)), test)
    return Evaluated(
        model.name, model.dataset.classes, results, tuple(map(tuple, confusion.tolist())), published.config
    )


def probabilities_of(run: Run, config: Record) -> Look:
    """A function from an image of any size and mode to the probabilities of all classes [num_classes]."""
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
        cause = str(error) if isinstance(error, ExportError) else reason(error)
        raise ExportError(f"the exported file gives an invalid output: {cause}; export the model again") from error


def checks(model: Published, root: Path) -> tuple[Check, ...]:
    """Verify every exported file of a model, also on the test set if it is in the data folder `root`."""
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
        why = f"not run, because it would run its author's code; if you trust it, add {model.address} to ZOO_TRUST"
        return Check(name, "not measured", why)
    try:
        return _compared(model.config, exporter, export, _opened(model, exporter, export), split)
    except Exception as error:  # a runtime may raise anything
        return Check(name, "differs", str(error) if isinstance(error, ExportError) else reason(error))


def _compared(config: Record, exporter: Exporter, export: Export, run: Run, split: Split | None) -> Check:
    """Compare an exported file's logits with the known answers, and its accuracy with the record's."""
    name, expected = export.format, torch.tensor(config.known_answers)
    distance, largest = (known_logits(run, config) - expected).abs().max().item(), expected.abs().max().item()
    allowed = LOGITS_TOLERANCE * largest
    if not exporter.is_exact:
        allowed += export.known_logits + ROUNDING_TOLERANCE * largest
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
