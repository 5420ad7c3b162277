"""`aot`: the same graph compiled ahead of time, by AOTInductor, for the processor that it is written on.

Machine code, with the paths of that machine in it: nothing to publish, and nothing to run that a stranger made.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import torch
from torch import Tensor
from torch._inductor import aoti_compile_and_package, aoti_load_package

from zoo.errors import ExportError
from zoo.exporters.graph import program, reason
from zoo.exporters.protocol import Answers, Exporter, Run, Subject


def write(subject: Subject) -> bytes:
    """The model as an AOTInductor package; raises ExportError, also where there is no compiler."""
    traced = program(subject.net, subject.config, any_size=False)
    metadata = {"aot_inductor.metadata": subject.metadata(any_size=False)}
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            path = aoti_compile_and_package(
                traced, package_path=str(Path(scratch) / "model.pt2"), inductor_configs=metadata
            )
        except Exception as error:  # a compiler may fail in any way
            raise ExportError(
                f"{subject.config.name} can't be compiled ahead of time ({reason(error)}); it takes a C++ compiler: "
                "install g++, or leave out aot"
            ) from error
        return Path(path).read_bytes()


def open_file(content: bytes, threads: int) -> Run:
    """What runs such a file; the threads are those of this process, which are torch's to set."""
    with tempfile.TemporaryDirectory() as scratch:  # the loader unpacks it elsewhere
        path = Path(scratch) / "model.pt2"
        path.write_bytes(content)
        compiled = aoti_load_package(str(path))

    def run(images: Tensor) -> Answers:
        with torch.inference_mode():
            logits, probabilities = compiled(images)
        return Answers(logits, probabilities)

    return run


AOT = Exporter(
    format="aot",
    file="pt2/model_aot.pt2",
    needs=(),
    runtime="torch",
    write=write,
    open=open_file,
    runs_code=True,
    only_here=True,
)
