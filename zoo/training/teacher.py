"""The net whose logits are distilled, which sees images as it was trained to, whatever its student does."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.record.job import Origin

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std, one each a channel


@dataclass(frozen=True, eq=False)
class Teacher:
    """A net on the device in evaluation mode, which is shown what its student sees, and where it is from."""

    net: nn.Module
    origin: Origin


class Renormalised(nn.Module):
    """A net that is shown images under another normalisation than its own: they are brought to that first."""

    scale: Tensor
    shift: Tensor

    def __init__(self, net: nn.Module, shown: Normalisation, own: Normalisation) -> None:
        super().__init__()
        mean, std, own_mean, own_std = (torch.tensor(one, dtype=torch.float64) for one in (*shown, *own))
        self.net = net
        self.register_buffer("scale", (std / own_std).float()[:, None, None])
        self.register_buffer("shift", ((mean - own_mean) / own_std).float()[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, C, H, W] under the normalisation that they are shown in."""
        logits: Tensor = self.net(images * self.scale + self.shift)
        return logits
