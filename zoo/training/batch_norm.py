"""Batch norm over a whole batch of which every process has a share, so that several processes train as one does.

On GPUs that is torch's SyncBatchNorm, which refuses a CPU's tensors; there `WholeBatchNorm` computes the same.
Both keep the names of the state dict, and neither asks the other processes in evaluation mode.
"""

from __future__ import annotations

from typing import Any, get_args

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d


def over_whole_batches(net: nn.Module, device: torch.device) -> None:
    """Replace every BatchNorm in `net` by one on the device that sees the whole batch, with the same tensors.

    A class derived from those stays: it may do more than they do, and would lose that.
    """
    replacements = {
        module: _replacement(module, device)
        for module in net.modules()
        if isinstance(module, BatchNorm) and type(module) in get_args(BatchNorm)
    }
    for name, module in list(net.named_modules(remove_duplicate=False)):
        if module in replacements:
            net.set_submodule(name, replacements[module])


def sees_shares(net: nn.Module) -> bool:
    """Whether `net` has a batch norm, known by its running mean, that sees no more than its process's share."""
    whole = (WholeBatchNorm, nn.SyncBatchNorm)
    return any(getattr(one, "running_mean", None) is not None and not isinstance(one, whole) for one in net.modules())


def _replacement(norm: BatchNorm, device: torch.device) -> nn.Module:
    if device.type == "cuda":
        synchronised: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(norm)  # type: ignore[no-untyped-call]
        return synchronised
    return WholeBatchNorm(norm)


class WholeBatchNorm(nn.Module):
    """A BatchNorm for a batch that several processes have shares of, whatever their sizes; a share may be empty.

    In training mode every process has to go through it as often as the others, forwards and backwards.
    """

    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(self, norm: BatchNorm) -> None:
        """Take over the settings of `norm`, and its parameters and buffers themselves."""
        super().__init__()
        self.eps, self.momentum, self.track_running_stats = norm.eps, norm.momentum, norm.track_running_stats
        for name in ("weight", "bias"):
            self.register_parameter(name, getattr(norm, name))
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(norm, name))
        self.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        """A share [N, C, …] to the same shape and type; in training mode by statistics in fp32 of all shares."""
        if not self.training:
            known = self.running_mean, self.running_var
            return F.batch_norm(x, *known, self.weight, self.bias, training=self.running_mean is None, eps=self.eps)
        mean, variance, count = _statistics(x)
        if self.track_running_stats:
            self._track(mean, variance * count / (count - 1).clamp(min=1))
        weight = torch.ones_like(mean) if self.weight is None else self.weight
        bias = torch.zeros_like(mean) if self.bias is None else self.bias
        normalised: Tensor = _Normalise.apply(x, weight, bias, mean, variance, count, self.eps)
        return normalised

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards those of a batch; its variance is the unbiased one."""
        if self.running_mean is None or self.running_var is None:
            return
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
        part = self.momentum
        if part is None:  # the mean over all batches
            part = 1 / int(self.num_batches_tracked or 1)
        self.running_mean.lerp_(mean, part)
        self.running_var.lerp_(variance, part)


@torch.no_grad()
def _statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [C] and biased variance [C], in fp32, of all processes' values, and how many there are of a channel.

    Put together from each share's mean and squared deviations from it (Chan et al. 1979): a sum of squares
    would lose the digits of a variance that is small beside the mean.
    """
    values = _values(x)
    mean = values.sum(0) / max(len(values), 1)
    own = torch.cat([mean, (values - mean).square().sum(0), mean.new_tensor([len(values)])])
    everyones = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(everyones, own)
    means, squares, counts = torch.split(torch.stack(everyones), [len(mean), len(mean), 1], dim=1)
    count = counts.sum()
    mean = (counts * means).sum(0) / count
    return mean, (squares + counts * (means - mean).square()).sum(0) / count, count


class _Normalise(torch.autograd.Function):
    """Normalise by statistics of all processes' values; they depend on x, and the gradient knows it."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, count: Tensor, eps: float
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt(), count)
        return F.batch_norm(x, mean, variance, weight, bias, eps=eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale, count = ctx.saved_tensors
        gradient, normal = _values(gradients[0]), (_values(x) - mean) * scale
        # Of this share alone: parameters' gradients are averaged over the processes later, all at once.
        of_weight, of_bias = (gradient * normal).sum(0), gradient.sum(0)
        sums = torch.stack([of_weight, of_bias])
        distributed.all_reduce(sums)
        of_x = (gradient - (normal * sums[0] + sums[1]) / count) * (weight * scale)
        of_x = of_x.unflatten(0, (len(x), *x.shape[2:])).movedim(-1, 1)
        return torch.empty_like(x).copy_(of_x), of_weight, of_bias, None, None, None, None


def _values(x: Tensor) -> Tensor:
    """[N, C, …] to [N · …, C] in fp32."""
    return x.movedim(1, -1).flatten(0, -2).float()
