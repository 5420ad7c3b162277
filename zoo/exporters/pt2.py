"""The format `pt2`: the archive of torch.export, for torch without the zoo and without the net's source.

It takes pictures of any size, and resizes them as torchvision does, unless the model has another resizing. Opening an
archive runs code: torch evaluates expressions and objects in it with Python.
"""

from __future__ import annotations

import io
import warnings

import torch
from torch import Tensor

from zoo.exporters.formats import Answers, Exporter, Run, Subject
from zoo.exporters.graph import program


def write(subject: Subject) -> bytes:
    """The model as a .pt2 archive, its metadata in extra/; raises ExportError."""
    target = io.BytesIO()
    any_size = subject.config.resizing.is_plain
    traced = program(subject.net, subject.config, any_size=any_size)
    torch.export.save(traced, target, extra_files=subject.metadata(any_size=any_size))
    return target.getvalue()


def open_file(content: bytes, threads: int) -> Run:
    """Open an archive; it runs with the threads of this process."""
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
