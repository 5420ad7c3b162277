"""A stand-in for CUDA graphs on the CPU.

`install` replaces torch's functions for streams and graphs. A capture records operations with the tensors that they
read and write, and undoes their effects; `replay` computes them again on the same memory. Values that Python computes
during the capture, such as a learning rate, are constants in the record, as in a CUDA graph.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

Operation = tuple[Any, tuple[Any, ...], dict[str, Any], Any]

# Kernels that an operation launches on a GPU in channels_last bf16; 1 for operations that are not listed. Batch norm
# clears semaphores, computes statistics, inverts and applies them; its gradient clears, reduces and applies. The
# gradient of a convolution needs a kernel each for input, weight and the sum of the weight's parts.
KERNELS = {
    "aten::native_batch_norm": 4,
    "aten::cudnn_batch_norm": 4,
    "aten::native_batch_norm_backward": 3,
    "aten::convolution_backward": 3,
    "aten::slice_backward": 2,
    "aten::constant_pad_nd": 2,
    "aten::_fused_sgd_": 2,
    "zoo::norm_relu": 2,
    "zoo::norm_relu_backward": 2,
}
# Operations that launch no kernel.
NONE = (
    "prim::", "profiler::", "aten::detach", "aten::alias", "aten::empty", "aten::new_empty", "aten::_reshape_alias",
    "aten::resize_", "aten::lift_fresh", "aten::is_pinned",
)  # fmt: skip


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records operations and the earlier values of tensors that they change; refuses to read a value."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []
        self.before: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name
        if name in ("aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero"):
            raise RuntimeError(f"{name} waits for the GPU: a graph can't hold it")
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if (argument.alias_info is not None and argument.alias_info.is_write) or "running" in argument.name:
                for tensor in tree_flatten(value)[0]:
                    if isinstance(tensor, Tensor) and id(tensor) not in self.before:
                        self.before[id(tensor)] = (tensor, tensor.detach().clone())
        out = func(*args, **kwargs)
        self.operations.append((func, args, kwargs, out))
        return out


class Graph:
    """A captured step."""

    made: ClassVar[list[Graph]] = []
    pool: object = None

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.replays = 0
        Graph.made.append(self)

    def replay(self) -> None:
        """Compute the recorded operations again, on the same memory."""
        self.replays += 1
        with torch.no_grad():
            for func, args, kwargs, out in self.operations:
                if func.is_view or func._schema.name in ("aten::detach", "aten::alias"):
                    continue
                again = func(*args, **kwargs)
                if func._schema.is_mutable:
                    continue
                for old, new in zip(tree_flatten(out)[0], tree_flatten(again)[0], strict=True):
                    if isinstance(old, Tensor) and old.numel() and old.data_ptr() != new.data_ptr():
                        old.detach().copy_(new)

    @property
    def kernels(self) -> int:
        """The number of kernels that the operations launch on a GPU."""
        count, kept = 0, set[int]()
        for func, args, _, out in self.operations:
            name = func._schema.name
            if name == "aten::new_empty_strided":
                kept.add(id(out))  # autograd copies a gradient only because the recorder keeps a reference
            elif not (func.is_view or name.startswith(NONE) or (name == "aten::copy_" and id(args[0]) in kept)):
                count += KERNELS.get(name, 1)
        return count


class Stream:
    """A stream without effect: the CPU computes in order."""

    def __init__(self, device: object = None) -> None: ...

    def wait_stream(self, other: object) -> None:
        """Do nothing."""


@contextlib.contextmanager
def capture(
    graph: Graph, pool: object = None, stream: object = None, capture_error_mode: str = "global"
) -> Iterator[None]:
    """Record the operations of the body and undo their effects."""
    assert capture_error_mode == "thread_local", "a thread that pins memory would break a capture in mode global"
    graph.pool = pool
    recorder = Recorder()
    try:
        with recorder:
            yield
    finally:
        with torch.no_grad():
            for tensor, value in recorder.before.values():
                tensor.detach().copy_(value)
        graph.operations = recorder.operations


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let steps on the CPU be captured and replayed for the duration of a test."""
    from zoo.data import batches
    from zoo.training import step

    Graph.made.clear()
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: Stream())
    monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: None)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", object)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    monkeypatch.setattr(batches, "_runs_eagerly_on_cpu", lambda images: False)
    monkeypatch.setattr(step, "_obstacle_to_a_graph", lambda recipe, device: None)
