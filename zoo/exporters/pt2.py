"""The format `pt2`: an archive of torch.export, which torch runs without the zoo and the net's source.

It takes images of any size, and resizes them as torchvision does, unless the model's resizing is not plain. Opening an
archive can run its author's code, because torch evaluates Python expressions in it.
"""

from __future__ import annotations

import io
import warnings

import torch
from torch import Tensor

from zoo.exporters.formats import Answers, Exporter, Run, Subject
from zoo.exporters.graph import program


def write(subject: Subject) -> bytes:
    """Write the model as a .pt2 archive, with the metadata in `extra/`; raises ExportError."""
    target = io.BytesIO()
    any_size = subject.config.resizing.is_plain
    traced = program(subject.net, subject.config, any_size=any_size)
    torch.export.save(traced, target, extra_files=subject.metadata(any_size=any_size))
    return target.getvalue()


def open_file(content: bytes, threads: int) -> Run:
    """Open an archive; `threads` is ignored, torch uses the threads of this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.export.load(io.BytesIO(content)).module()

    def run(images: Tensor) -> Answers:
        with torch.inference_mode():
            return Answers(*module(images))

    return run


PT2 = Exporter(
    format="pt2",
    file="pt2/model.pt2",
    needs=(),
    runtime="torch",
    write=write,
    open=open_file,
    any_size=True,
    runs_code=True,
)
