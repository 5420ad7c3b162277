"""What an exporter is: facts about a format, and two functions, to write a file of it and to run one.

A plugin's is an entry point of the group `zoo.exporters`, named as the format:

    [project.entry-points."zoo.exporters"]
    tflite = "zoo_tflite:TFLITE"

It writes from `zoo.exporters.graph`, so that pixels go in and probabilities come out; the zoo runs what it wrote,
holds the answers against the net's, and writes the model folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from zoo.record.types import Record


@dataclass(frozen=True)
class Answers:
    """What a runtime answers to N images: both [N, num_classes] float32, on the CPU."""

    logits: Tensor
    probabilities: Tensor


# From images [N, H, W, C] uint8, on the CPU.
Run = Callable[["Tensor"], Answers]


@dataclass(frozen=True, eq=False)
class Subject:
    """What is exported: a net in evaluation mode on the CPU, its facts, and images to calibrate by."""

    net: nn.Module
    config: Record
    id: str  # of its model folder
    training_images: Callable[[int], Tensor]  # the first so many [N, H, W, C] uint8; raises DataError

    def metadata(self, *, any_size: bool) -> dict[str, str]:
        """What a file says of itself, in whatever way its format has for that."""
        _, height, width = self.config.input_size
        return {
            "name": self.config.name,
            "id": self.id,
            "license": self.config.license,
            "classes": json.dumps(self.config.classes, ensure_ascii=False),
            "size": "any" if any_size else f"{height}x{width}",  # of the images that it takes
            **(
                {}
                if self.config.resizing.is_plain
                else {"resizing": json.dumps(msgspec.structs.asdict(self.config.resizing))}
            ),
        }


@dataclass(frozen=True)
class Exporter:
    """A format: what its files are, how one is written, how one is run."""

    format: str
    file: str  # in the model folder
    needs: tuple[str, ...]  # modules to write one
    runtime: str  # the module and distribution that runs one
    write: Callable[[Subject], bytes]  # raises ExportError
    open: Callable[[bytes, int], Run]  # with so many threads; may fail in any way on what is no such file
    is_exact: bool = True  # answers as the net does, but for rounding
    any_size: bool = False  # takes images of any height and width, where the model's resizing is plain
    runs_code: bool = False  # to open a file is to run what its author wrote
