"""Counts the kernels that a training step would launch on a GPU.

`python -m tests.kernels` prints the table of docs/gpu.md. It captures a step on the CPU and adds up the kernels that
torch 2.11 launches for each operation in bf16.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from msgspec.structs import replace
from torch import Tensor

from zoo import registry
from zoo.data import batches, sources
from zoo.nets.build import build
from zoo.training import fusion
from zoo.training.learner import Learner

from . import cuda_stand_in
from .jobs import JOB

CPU = torch.device("cpu")
NAMES = ("resnet20_cifar10", "resnet56_cifar10", "resnet110_cifar10")


def count(name: str, *, fused: bool) -> int:
    """Count the kernels of a captured step, which do not depend on the batch size."""
    model = registry.load(name)
    recipe = model.recipes["paper"].replace(batch_size=4)
    split = sources.Split(torch.zeros((4, 40, 40, 3), dtype=torch.uint8), torch.zeros(4, dtype=torch.int64), margin=8)
    pixels = batches.pixels(model.dataset.mean, model.dataset.std, CPU)
    job = replace(JOB, architecture=model.architecture.name, recipe=recipe, compile="graph", train_images=4, amp=True)
    with pytest.MonkeyPatch.context() as monkeypatch:
        cuda_stand_in.install(monkeypatch)
        if fused:
            _install_fused_layers(monkeypatch)
        net = build(model.architecture, model.dataset)
        learner = Learner(job, net, split, pixels, teacher=None)
        for epoch in range(1, 6):
            learner.begin(epoch)
            learner.step(0)
    (graph,) = cuda_stand_in.Graph.made
    return graph.kernels


def _install_fused_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    from zoo.training import norm_relu

    monkeypatch.setattr(fusion, "is_used", lambda job, device: True)
    monkeypatch.setattr(norm_relu, "fits", lambda *tensors: True)
    monkeypatch.setattr(norm_relu, "norm_relu", lambda norm, x, residual: _norm_relu(x, residual))


@torch.library.custom_op("zoo::norm_relu", mutates_args=())
def _norm_relu(x: Tensor, residual: Tensor | None) -> Tensor:
    """Stands for the two Triton kernels of the forward pass."""
    return x.relu()


@torch.library.custom_op("zoo::norm_relu_backward", mutates_args=())
def _norm_relu_backward(grad: Tensor) -> Tensor:
    """Stands for the two Triton kernels of the backward pass."""
    return grad.clone()


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None]:
    passed = _norm_relu_backward(grad)
    return passed, passed if ctx.needs_input_grad[1] else None


_norm_relu.register_autograd(_gradients)


def main() -> None:
    """Print the table."""
    print("| kernels of a step, bf16 |", " | ".join(name.partition("_")[0] for name in NAMES), "|")
    print("|---|" + "---:|" * len(NAMES))
    for title, fused in (("eager, torch's layers", False), ("eager, fused layers", True)):
        print(f"| {title} |", " | ".join(f"{count(name, fused=fused):,}" for name in NAMES), "|")


if __name__ == "__main__":
    main()
