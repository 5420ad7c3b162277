"""Batch norm, addition and ReLU fused into Triton kernels: two launches forward, two backward.

In bf16 torch launches seven kernels for a batch norm, and one each for the addition, the ReLU and their gradients. In a
CIFAR net a kernel takes longer to launch than to run. These kernels also read and write the activations fewer times.
`zoo.training.fusion` uses them to train on a CUDA device.

The arithmetic is that of `F.batch_norm` in training mode (arXiv:1502.03167, algorithm 1): biased variance for the
normalization, unbiased variance for the running average. Sums are taken in a fixed order, without atomic additions, so
the same input gives the same bytes.

Activations are read as rows [M, C], M = N·H·W, the memory layout of channels_last.
"""

from __future__ import annotations

from typing import Any, Final

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

PARTS: Final = 64  # programs that sum rows; the second kernel reads this number of partial sums for each channel
TILE: Final = 4096  # values that a program holds at a time
MAX_COLUMNS: Final = 64  # channels of a tile

DTYPES: Final = (torch.float32, torch.bfloat16, torch.float16)


@triton.jit  # type: ignore[untyped-decorator]
def forward_sums(
    x: tl.tensor,
    sums: tl.tensor,
    rows: tl.tensor,
    channels: tl.tensor,
    steps: tl.tensor,
    tile_rows: tl.constexpr,
    tile_columns: tl.constexpr,
) -> None:
    """Write partial sums of each column and of its squares to `sums` [PARTS, 2, C]."""
    part = tl.program_id(0)
    column = tl.program_id(1) * tile_columns + tl.arange(0, tile_columns)
    inside = column < channels
    # Differences to the first row are summed: a large mean would cost digits of the variance.
    shift = tl.load(x + column, mask=inside, other=0.0).to(tl.float32)
    total = tl.zeros([tile_columns], tl.float32)
    squares = tl.zeros([tile_columns], tl.float32)
    for step in range(steps):
        row = (part * steps + step) * tile_rows + tl.arange(0, tile_rows)
        mask = (row < rows)[:, None] & inside[None, :]
        value = tl.load(x + row[:, None] * channels + column[None, :], mask=mask, other=0.0).to(tl.float32)
        value = tl.where(mask, value - shift[None, :], 0.0)
        total += tl.sum(value, 0)
        squares += tl.sum(value * value, 0)
    tl.store(sums + part * 2 * channels + column, total, mask=inside)
    tl.store(sums + part * 2 * channels + channels + column, squares, mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def forward_normalize(
    x: tl.tensor,
    residual: tl.tensor,
    out: tl.tensor,
    sums: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    running_mean: tl.tensor,
    running_var: tl.tensor,
    saved: tl.tensor,
    rows: tl.tensor,
    channels: tl.tensor,
    eps: tl.tensor,
    momentum: tl.tensor,
    unbiased: tl.tensor,
    tile_rows: tl.constexpr,
    tile_columns: tl.constexpr,
    parts: tl.constexpr,
    adds: tl.constexpr,
) -> None:
    """Write relu(batch_norm(x) + residual) to `out`, mean and 1/std to `saved` [2, C]; update running statistics."""
    column = tl.program_id(1) * tile_columns + tl.arange(0, tile_columns)
    inside = column < channels
    part = tl.arange(0, parts)
    at = sums + part[:, None] * 2 * channels + column[None, :]
    shifted = tl.sum(tl.load(at, mask=inside[None, :], other=0.0), 0) / rows
    squares = tl.sum(tl.load(at + channels, mask=inside[None, :], other=0.0), 0) / rows
    mean = shifted + tl.load(x + column, mask=inside, other=0.0).to(tl.float32)
    var = tl.maximum(squares - shifted * shifted, 0.0)
    inverse = 1.0 / tl.sqrt(var + eps)
    if tl.program_id(0) == 0:
        tl.store(saved + column, mean, mask=inside)
        tl.store(saved + channels + column, inverse, mask=inside)
        old_mean = tl.load(running_mean + column, mask=inside)
        old_var = tl.load(running_var + column, mask=inside)
        tl.store(running_mean + column, old_mean + momentum * (mean - old_mean), mask=inside)
        tl.store(running_var + column, old_var + momentum * (var * unbiased - old_var), mask=inside)
    scale = tl.load(weight + column, mask=inside, other=0.0) * inverse
    offset = tl.load(bias + column, mask=inside, other=0.0) - mean * scale
    row = tl.program_id(0) * tile_rows + tl.arange(0, tile_rows)
    mask = (row < rows)[:, None] & inside[None, :]
    index = row[:, None] * channels + column[None, :]
    value = tl.load(x + index, mask=mask, other=0.0).to(tl.float32) * scale[None, :] + offset[None, :]
    if adds:
        value += tl.load(residual + index, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + index, tl.maximum(value, 0.0).to(out.dtype.element_ty), mask=mask)


@triton.jit  # type: ignore[untyped-decorator]
def backward_sums(
    grad: tl.tensor,
    out: tl.tensor,
    x: tl.tensor,
    saved: tl.tensor,
    sums: tl.tensor,
    rows: tl.tensor,
    channels: tl.tensor,
    steps: tl.tensor,
    tile_rows: tl.constexpr,
    tile_columns: tl.constexpr,
) -> None:
    """Write partial sums of g and of g · normalized x to `sums` [PARTS, 2, C]; g is the gradient of the ReLU input."""
    part = tl.program_id(0)
    column = tl.program_id(1) * tile_columns + tl.arange(0, tile_columns)
    inside = column < channels
    mean = tl.load(saved + column, mask=inside, other=0.0)
    inverse = tl.load(saved + channels + column, mask=inside, other=0.0)
    total = tl.zeros([tile_columns], tl.float32)
    products = tl.zeros([tile_columns], tl.float32)
    for step in range(steps):
        row = (part * steps + step) * tile_rows + tl.arange(0, tile_rows)
        mask = (row < rows)[:, None] & inside[None, :]
        index = row[:, None] * channels + column[None, :]
        passed = tl.load(out + index, mask=mask, other=0.0).to(tl.float32) > 0.0
        value = tl.where(passed, tl.load(grad + index, mask=mask, other=0.0).to(tl.float32), 0.0)
        normalized = (tl.load(x + index, mask=mask, other=0.0).to(tl.float32) - mean[None, :]) * inverse[None, :]
        total += tl.sum(value, 0)
        products += tl.sum(value * normalized, 0)
    tl.store(sums + part * 2 * channels + column, total, mask=inside)
    tl.store(sums + part * 2 * channels + channels + column, products, mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def backward_input(
    grad: tl.tensor,
    out: tl.tensor,
    x: tl.tensor,
    saved: tl.tensor,
    sums: tl.tensor,
    weight: tl.tensor,
    grad_x: tl.tensor,
    grad_residual: tl.tensor,
    grad_weight: tl.tensor,
    grad_bias: tl.tensor,
    rows: tl.tensor,
    channels: tl.tensor,
    tile_rows: tl.constexpr,
    tile_columns: tl.constexpr,
    parts: tl.constexpr,
    adds: tl.constexpr,
) -> None:
    """Write the gradients of the input, the residual, the weight and the bias."""
    column = tl.program_id(1) * tile_columns + tl.arange(0, tile_columns)
    inside = column < channels
    part = tl.arange(0, parts)
    at = sums + part[:, None] * 2 * channels + column[None, :]
    total = tl.sum(tl.load(at, mask=inside[None, :], other=0.0), 0)
    products = tl.sum(tl.load(at + channels, mask=inside[None, :], other=0.0), 0)
    if tl.program_id(0) == 0:
        tl.store(grad_bias + column, total, mask=inside)
        tl.store(grad_weight + column, products, mask=inside)
    mean = tl.load(saved + column, mask=inside, other=0.0)
    inverse = tl.load(saved + channels + column, mask=inside, other=0.0)
    scale = tl.load(weight + column, mask=inside, other=0.0) * inverse
    row = tl.program_id(0) * tile_rows + tl.arange(0, tile_rows)
    mask = (row < rows)[:, None] & inside[None, :]
    index = row[:, None] * channels + column[None, :]
    passed = tl.load(out + index, mask=mask, other=0.0).to(tl.float32) > 0.0
    value = tl.where(passed, tl.load(grad + index, mask=mask, other=0.0).to(tl.float32), 0.0)
    if adds:
        tl.store(grad_residual + index, value.to(grad_residual.dtype.element_ty), mask=mask)
    normalized = (tl.load(x + index, mask=mask, other=0.0).to(tl.float32) - mean[None, :]) * inverse[None, :]
    centered = value - total[None, :] / rows - normalized * products[None, :] / rows
    tl.store(grad_x + index, (scale[None, :] * centered).to(grad_x.dtype.element_ty), mask=mask)


def fits(norm: nn.Module, x: Tensor, residual: Tensor | None) -> bool:
    """Whether the kernels support this layer and these tensors.

    They do not support derived classes of BatchNorm2d, layers without running statistics or affine parameters, other
    memory formats than channels_last, and a residual of another dtype.
    """
    return (
        type(norm) is nn.BatchNorm2d
        and norm.track_running_stats
        and norm.affine
        and norm.momentum is not None
        and norm.weight.dtype == torch.float32
        and x.dtype in DTYPES
        and x.numel() > x.shape[1]  # a variance needs two values
        and x.is_contiguous(memory_format=torch.channels_last)
        and (residual is None or (residual.shape == x.shape and residual.dtype == x.dtype))
    )


def norm_relu(norm: nn.BatchNorm2d, x: Tensor, residual: Tensor | None = None) -> Tensor:
    """relu(norm(x) + residual) in training mode, running statistics and gradients included.

    Args:
        norm: A layer that `fits`.
        x: Activations [N, C, H, W] in channels_last: float32, bfloat16 or float16.
        residual: A tensor of the same shape and dtype to add before the ReLU; None for nothing.

    Returns:
        [N, C, H, W] in channels_last, of x's dtype.
    """
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    out: Tensor = _NormRelu.apply(
        x, residual, norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.eps, norm.momentum
    )
    return out


class _NormRelu(torch.autograd.Function):
    """The four kernels as one differentiable function."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        residual: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        eps: float,
        momentum: float,
    ) -> Tensor:
        channels, rows = x.shape[1], x.numel() // x.shape[1]
        if residual is not None:
            residual = residual.contiguous(memory_format=torch.channels_last)
        tile = _tile(channels)
        out = torch.empty_like(x)  # keeps channels_last
        sums = torch.empty(PARTS, 2, channels, device=x.device)
        saved = torch.empty(2, channels, device=x.device)
        columns = triton.cdiv(channels, tile[1])
        forward_sums[(PARTS, columns)](x, sums, rows, channels, triton.cdiv(rows, PARTS * tile[0]), *tile)
        forward_normalize[(triton.cdiv(rows, tile[0]), columns)](
            x, x if residual is None else residual, out, sums, weight, bias, running_mean, running_var, saved,
            rows, channels, eps, momentum, rows / (rows - 1), *tile, PARTS, residual is not None,
        )  # fmt: skip
        ctx.save_for_backward(x, out, weight, saved)
        ctx.adds = residual is not None
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, out, weight, saved = ctx.saved_tensors
        channels, rows = x.shape[1], x.numel() // x.shape[1]
        grad = grad.contiguous(memory_format=torch.channels_last)
        tile = _tile(channels)
        sums = torch.empty(PARTS, 2, channels, device=x.device)
        grad_x, grad_weight, grad_bias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)
        grad_residual = torch.empty_like(x) if ctx.adds else None
        columns = triton.cdiv(channels, tile[1])
        backward_sums[(PARTS, columns)](
            grad, out, x, saved, sums, rows, channels, triton.cdiv(rows, PARTS * tile[0]), *tile
        )
        backward_input[(triton.cdiv(rows, tile[0]), columns)](
            grad, out, x, saved, sums, weight, grad_x, grad_x if grad_residual is None else grad_residual,
            grad_weight, grad_bias, rows, channels, *tile, PARTS, ctx.adds,
        )  # fmt: skip
        return grad_x, grad_residual, grad_weight, grad_bias, None, None, None, None


def _tile(channels: int) -> tuple[int, int]:
    """Rows and channels that a program holds at a time; both are powers of two."""
    columns = min(MAX_COLUMNS, triton.next_power_of_2(channels))
    return TILE // columns, columns
