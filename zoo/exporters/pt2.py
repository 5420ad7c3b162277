"""`pt2`: the graph as torch.export keeps it, for torch without the zoo and without the net's source.

It resizes as torchvision does, with the same function of torch's, so that it takes pictures of any size; of a model
that has its pictures resized otherwise, cut in the middle say, it takes the model's own size, and says so.

Opening one is running code: torch reads expressions and objects in it with Python's own means.
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
    """What runs such a file; the threads are those of this process, which are torch's to set."""
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
