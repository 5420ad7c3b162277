"""Fuse batch norm, addition and ReLU of a net, for training on a CUDA device.

torch.fx traces the net, which needs no special layers. Every `relu(norm(x))` and `relu(norm(x) + y)` of the graph is
replaced by a module that runs the Triton kernels of `zoo.training.norm_relu`. The fused net shares its tensors with the
original, so either may be trained, saved and evaluated.
"""

from __future__ import annotations

import operator
import warnings
from importlib.util import find_spec
from typing import Final

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from zoo.errors import CompileWarning
from zoo.record.job import Job

RELUS: Final = (F.relu, torch.relu, torch.relu_, "relu", "relu_")
ADDITIONS: Final = (operator.add, operator.iadd, torch.add, "add", "add_")


class NormReLU(nn.Module):
    """relu(norm(x) + residual), fused in training mode if the kernels support it."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Compute [N, C, H, W] from activations `x` and `residual`, both [N, C, H, W]."""
        from zoo.training import norm_relu

        if self.norm.training and norm_relu.fits(self.norm, x, residual):
            return norm_relu.norm_relu(self.norm, x, residual)
        out = self.norm(x)
        return F.relu(out if residual is None else out + residual)


def fused(net: nn.Module) -> nn.Module:
    """Fuse the layers of a net.

    Args:
        net: A net in training mode. Tracing fixes branches that depend on its attributes.

    Returns:
        A module with the same inputs, outputs, gradients and running statistics, which shares the net's tensors; the
        net itself if it can't be traced or has nothing to fuse.
    """
    try:
        graph = fx.Tracer().trace(net)
    except Exception:  # tracing the code of a plugin may raise anything
        return net
    traced = fx.GraphModule(net, graph)
    relus = [node for node in graph.nodes if _calls(node, RELUS, traced, nn.ReLU)]
    layers = [layer for node in relus if (layer := _fuse(node, traced)) is not None]
    if not layers:
        return net
    graph.eliminate_dead_code()
    traced.recompile()
    return traced


def is_used(job: Job, device: torch.device) -> bool:
    """Whether a training uses the kernels."""
    return (
        device.type == "cuda"
        and job.processes == 1  # several need SyncBatchNorm
        and job.compile != "default"  # torch.compile fuses too
        and not job.grad_checkpointing
        and works(device)
    )


def works(device: torch.device) -> bool:
    """Whether the kernels run on the device, tested with a few values; a failure is a CompileWarning."""
    if find_spec("triton") is None:
        return False
    try:
        layer = NormReLU(nn.BatchNorm2d(4).to(device))
        images = torch.zeros(2, 4, 2, 2, device=device).to(memory_format=torch.channels_last).requires_grad_()
        layer(images).sum().backward()
    except Exception as error:  # Triton may lack a compiler, a driver or this GPU
        reason = (str(error).splitlines() or [""])[0][:200]
        warnings.warn(
            CompileWarning(f"training goes on without fused batch norm: {type(error).__name__}: {reason}"), stacklevel=2
        )
        return False
    return True


def _fuse(relu: fx.Node, traced: fx.GraphModule) -> NormReLU | None:
    """Replace a ReLU and the batch norm (and addition) before it by one module.

    None if there is no batch norm before it, or if other nodes use the intermediate results.
    """
    before = relu.args[0]
    if not isinstance(before, fx.Node) or len(before.users) > 1:
        return None
    norm, residual = before, None
    if _calls(before, ADDITIONS, traced) and len(before.args) == 2 and not before.kwargs:
        norm, residual = _norm_and_residual(before, traced)
    if not _is_norm(norm, traced):
        return None
    layer = NormReLU(traced.get_submodule(str(norm.target)))  # type: ignore[arg-type]
    name = f"fused_{relu.name}"
    traced.add_submodule(name, layer)
    with traced.graph.inserting_before(relu):
        inputs = (norm.args[0],) if residual is None else (norm.args[0], residual)
        replacement = traced.graph.call_module(name, inputs)
    relu.replace_all_uses_with(replacement)
    for node in dict.fromkeys((relu, before, norm)):
        traced.graph.erase_node(node)
    return layer


def _norm_and_residual(addition: fx.Node, traced: fx.GraphModule) -> tuple[fx.Node, fx.Node | None]:
    """The batch norm of an addition, and the other term."""
    first, second = addition.args
    if not isinstance(first, fx.Node) or not isinstance(second, fx.Node):
        return addition, None
    return (first, second) if _is_norm(first, traced) else (second, first)


def _is_norm(node: fx.Node, traced: fx.GraphModule) -> bool:
    """Whether a node is a BatchNorm2d with one argument and one user."""
    is_norm = node.op == "call_module" and type(traced.get_submodule(str(node.target))) is nn.BatchNorm2d
    return is_norm and len(node.users) == 1 and len(node.args) == 1


def _calls(node: fx.Node, targets: tuple[object, ...], traced: fx.GraphModule, module: type | None = None) -> bool:
    """Whether a node calls one of these functions or methods, or a module of this type."""
    if node.op == "call_module":
        return module is not None and type(traced.get_submodule(str(node.target))) is module
    return node.op in ("call_function", "call_method") and node.target in targets
