"""A model's file in another format, asked in the place of its net."""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor

from zoo.data.preprocess import to_pixels
from zoo.errors import ExportError
from zoo.evaluation.predict import Look
from zoo.exporters import formats
from zoo.exporters.graph import reason
from zoo.exporters.measure import answers
from zoo.exporters.protocol import Exporter, Run
from zoo.hub.resolve import Published, is_trusted
from zoo.record.types import Export, Record


def opened(found: Published, format: str) -> Run:  # noqa: A002 - what it is everywhere
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
