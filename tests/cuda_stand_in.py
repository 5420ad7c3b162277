"""A stand-in for CUDA graphs on the CPU: a capture records and undoes operations, and a replay computes them again.

`install` replaces torch's functions for streams and graphs. A captured step then runs on the processor as it would on a
GPU: its operations are recorded with the tensors that they read and write, their effects are undone, and `replay`
computes them again on the same memory. Whatever Python computed during the capture, such as a learning rate, is a
constant in the record, as it is in a graph.
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

# An operation of torch's to the kernels that it launches on a GPU in channels_last bf16; 1 where it is not named. A
# batch norm clears its semaphores, computes statistics, inverts them and transforms; its gradient clears, reduces and
# transforms. A convolution's gradients are those of input and weight and the sum of the latter's parts.
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
# Operations that launch nothing.
NONE = (
    "prim::", "profiler::", "aten::detach", "aten::alias", "aten::empty", "aten::new_empty", "aten::_reshape_alias",
    "aten::resize_", "aten::lift_fresh", "aten::is_pinned",
)  # fmt: skip


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records operations, and the values of what they change before they do; refuses to read a number."""

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
        """Compute the recorded operations once more, in the memory that they had."""
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
        """How many kernels the operations would launch on a GPU."""
        count, kept = 0, set[int]()
        for func, args, _, out in self.operations:
            name = func._schema.name
            if name == "aten::new_empty_strided":
                kept.add(id(out))  # autograd copies a gradient only because this recorder keeps it too
            elif not (func.is_view or name.startswith(NONE) or (name == "aten::copy_" and id(args[0]) in kept)):
                count += KERNELS.get(name, 1)
        return count


class Stream:
    """A stream; there is one order of work on the processor."""

    def __init__(self, device: object = None) -> None: ...

    def wait_stream(self, other: object) -> None:
        """Nothing has to be waited for."""


@contextlib.contextmanager
def capture(
    graph: Graph, pool: object = None, stream: object = None, capture_error_mode: str = "global"
) -> Iterator[None]:
    """Record the operations of the body, and undo what they changed."""
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
    """Let steps on the processor be captured and replayed until the test is over."""
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
    monkeypatch.setattr(batches, "_is_asked_of_processor", lambda images: False)
    monkeypatch.setattr(step, "_obstacle_to_a_graph", lambda recipe, device, processes: None)
