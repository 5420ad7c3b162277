"""Export formats: the type `Exporter`, and the installed formats.

An exporter writes the graph of `zoo.exporters.graph`, which takes pixels and returns probabilities. The zoo runs the
file, compares its output with the net's, and writes the model folder.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import msgspec

from zoo.errors import ExportError
from zoo.plugins import Group

if TYPE_CHECKING:
    from torch import Tensor, nn

    from zoo.record.types import Record


@dataclass(frozen=True)
class Answers:
    """The output of an exported file for N images: two tensors [N, num_classes] float32 on the CPU.

    Examples:
        >>> import torch
        >>> from zoo.plugin import Answers
        >>> logits = torch.tensor([[4.0, 1.0]])
        >>> answers = Answers(logits, probabilities=logits.softmax(dim=1))
    """

    logits: Tensor
    probabilities: Tensor


# From images [N, H, W, C] uint8 on the CPU.
Run = Callable[["Tensor"], Answers]


@dataclass(frozen=True, eq=False)
class Subject:
    """The model to export: its net in evaluation mode on the CPU, its record, and images for calibration.

    Examples:
        >>> from safetensors.torch import save
        >>> from zoo.plugin import Subject
        >>> def write(subject: Subject) -> bytes:
        ...     return save(subject.net.state_dict(), subject.metadata(any_size=False))
    """

    net: nn.Module
    config: Record
    id: str  # of the model folder
    training_images: Callable[[int], Tensor]  # from a count N to the first images [N, H, W, C] uint8; raises DataError

    def metadata(self, *, any_size: bool) -> dict[str, str]:
        """The metadata to store in an exported file.

        Args:
            any_size: Whether the file takes images of any size, instead of only the model's.
        """
        _, height, width = self.config.input_size
        values = {
            "name": self.config.name,
            "id": self.id,
            "license": self.config.license,
            "classes": json.dumps(self.config.classes, ensure_ascii=False),
            "size": "any" if any_size else f"{height}x{width}",  # of input images
        }
        if not self.config.resizing.is_plain:
            values["resizing"] = json.dumps(msgspec.structs.asdict(self.config.resizing))
        return values


@dataclass(frozen=True)
class Exporter:
    """An export format, as a plugin declares it under the entry point group `zoo.exporters`.

    Examples:
        >>> from zoo.plugin import Answers, Exporter
        >>> def write(subject):
        ...     return b"a file with the weights of subject.net"
        >>> def open_file(content, threads):
        ...     return lambda images: Answers(logits=..., probabilities=...)
        >>> Exporter("mine", "mine/model.bin", needs=(), runtime="torch", write=write, open=open_file).is_exact
        True
    """

    format: str
    file: str  # in the model folder
    needs: tuple[str, ...]  # modules that `write` imports
    runtime: str  # the module, and distribution, that `open` imports
    write: Callable[[Subject], bytes]  # raises ExportError
    open: Callable[[bytes, int], Run]  # from a file and a number of threads; may raise anything for an invalid file
    is_exact: bool = True  # logits equal the net's up to rounding
    any_size: bool = False  # takes images of any height and width, if the model's resizing is plain
    runs_code: bool = False  # opening a file runs code that its author wrote


EXPORTERS: Final = Group[Exporter](
    "zoo.exporters",
    "export format",
    "the zoo.plugin.Exporter of that name",
    lambda value, name: isinstance(value, Exporter) and value.format == name,
    own={
        "onnx": "zoo.exporters.onnx:ONNX",
        "int8": "zoo.exporters.onnx:INT8",
        "pt2": "zoo.exporters.pt2:PT2",
    },
    unknown=ExportError,
)


def require_installed(modules: Iterable[str], purpose: str) -> None:
    """Raise ExportError, with a pip command, if a module is missing; `purpose` begins the message."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(f"{purpose} needs {' and '.join(missing)}: pip install 'residual-zoo[export]'")


def runtime(exporter: Exporter) -> str:
    """The runtime of an exporter with its version, such as `onnxruntime 1.32.0`."""
    return f"{exporter.runtime} {version(exporter.runtime)}"
