from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import api, registry
from zoo.nets.build import build
from zoo.training import fusion
from zoo.training.fusion import NormReLU, fused

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")

# Triton reads TRITON_INTERPRET when it is imported, so the kernels are interpreted in processes of their own.
INTERPRETED = """
import sys
import torch
from torch import nn
from zoo.training.norm_relu import fits, norm_relu

def gradients(function, norm, x, residual, grad):
    inputs = [x.clone().requires_grad_(), *([] if residual is None else [residual.clone().requires_grad_()])]
    out = function(norm, *inputs)
    out.backward(grad.to(out.dtype))
    return out, *(each.grad for each in inputs), norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var

def reference(norm, x, residual=None):
    out = norm(x.float())
    return torch.relu(out if residual is None else out + residual.float())

torch.manual_seed(0)
dtype = getattr(torch, sys.argv[1])
for channels, height, width in ((16, 9, 7), (24, 5, 5), (100, 3, 3)):  # a power of two, and two that are none
    for adds in (False, True):
        ours, theirs = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        with torch.no_grad():
            ours.weight.uniform_(0.5, 1.5), ours.bias.normal_()
            theirs.load_state_dict(ours.state_dict())
        x = (3 * torch.randn(6, channels, height, width) + 40).to(dtype).to(memory_format=torch.channels_last)
        residual = torch.randn_like(x) if adds else None
        grad = torch.randn_like(x)
        assert fits(ours, x, residual)
        computed = gradients(norm_relu, ours, x, residual, grad)
        expected = gradients(reference, theirs, x, residual, grad)
        assert computed[0].dtype == dtype and computed[0].is_contiguous(memory_format=torch.channels_last)
        assert ours.num_batches_tracked == 1
        for index, (tensor, wanted) in enumerate(zip(computed, expected)):
            error = ((tensor.float() - wanted.float()).abs().max() / wanted.float().abs().max()).item()
            # The output, and the gradients of the activations, are rounded to the type of the input.
            rounded = dtype != torch.float32 and tensor.dtype == dtype
            assert error < (1e-2 if rounded else 1e-5), (channels, adds, index, error)
"""


def run(code: str, *arguments: str, **variables: str) -> None:
    subprocess.run([sys.executable, "-c", code, *arguments], env={**os.environ, **variables}, check=True, timeout=600)


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_kernels_compute_torchs_batch_norm_addition_relu_and_their_gradients(dtype: str) -> None:
    run(INTERPRETED, dtype, TRITON_INTERPRET="1")


@needs_triton
@pytest.mark.slow
def test_kernels_compile_for_an_h100() -> None:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from zoo.training import norm_relu

    tile = {"tile_rows": 256, "tile_columns": 16}
    activations, floats = ("x", "residual", "out", "grad", "grad_x", "grad_residual"), ("eps", "momentum", "unbiased")
    kernels = {
        norm_relu.forward_sums: tile,
        norm_relu.forward_normalize: {**tile, "parts": norm_relu.PARTS, "adds": True},
        norm_relu.backward_sums: tile,
        norm_relu.backward_input: {**tile, "parts": norm_relu.PARTS, "adds": True},
    }
    for kernel, constants in kernels.items():
        types = dict.fromkeys(("rows", "channels", "steps"), "i32")
        types |= dict.fromkeys(activations, "*bf16") | dict.fromkeys(floats, "fp32")
        signature = {name: "constexpr" if name in constants else types.get(name, "*fp32") for name in kernel.arg_names}
        compiled = compile(ASTSource(kernel, signature, constants), target=GPUTarget("cuda", 90, 32))
        assert compiled.asm["cubin"]


@pytest.mark.parametrize(
    ("name", "layers", "norms"),
    [("resnet8_digits", 7, 7), ("resnet20b_cifar10", 19, 21), ("resnet26_wide_cifar100", 13, 28)],
)
def test_batch_norms_before_a_relu_are_fused_and_compute_the_same_bits(name: str, layers: int, norms: int) -> None:
    model = registry.load(name)
    net = build(model.architecture, model.dataset).train()
    images = torch.randn(4, *model.dataset.input_size)
    initial = {key: tensor.clone() for key, tensor in net.state_dict().items()}

    def trained(forward: nn.Module) -> list[Tensor]:
        net.load_state_dict(initial)
        net.zero_grad()
        torch.manual_seed(0)  # of dropout
        out = forward(images)
        out.square().sum().backward()
        return [out, *(tensor.clone() for tensor in net.state_dict().values()), *gradients(net)]

    traced = fused(net)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in net.modules()) == norms
    assert sum(isinstance(module, NormReLU) for module in traced.modules()) == layers
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(trained(traced), trained(net), strict=True))


def gradients(net: nn.Module) -> list[Tensor]:
    return [parameter.grad for parameter in net.parameters() if parameter.grad is not None]


class Branching(nn.Module):
    """Its forward depends on the values of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        out = x
        if x.sum() > 0:
            out = F.relu(self.norm(x))
        return out


class ReadTwice(nn.Module):
    """Its normalized values are read before the ReLU too."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        normalized: Tensor = self.norm(x)
        return F.relu(normalized) + normalized


@pytest.mark.parametrize("make", [Branching, ReadTwice])
def test_a_net_that_cant_be_fused_is_returned_as_it_is(make: type[nn.Module]) -> None:
    net = make()
    assert fused(net) is net


@needs_triton
@pytest.mark.parametrize("fuses", [False, True])
def test_a_record_says_whether_layers_were_fused(fuses: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusion, "is_used", lambda job, device: fuses)
    monkeypatch.setattr("zoo.training.norm_relu.fits", lambda *tensors: False)  # computed by torch on a CPU
    trained = api.train("resnet8", epochs=1, limit_train=64, compile="none", out=tmp_path / "net", data=tmp_path)
    reason = trained.config.training.compile_why
    assert reason == ("requested; batch norm, addition and ReLU fused" if fuses else "requested")
