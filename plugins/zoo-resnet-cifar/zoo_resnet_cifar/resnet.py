"""The CIFAR nets of "Deep Residual Learning for Image Recognition" (arXiv:1512.03385), section 4.2.

One net for all of them: residual with either shortcut, or plain. Choices that the paper leaves
open follow its widely used reproductions and say so beside the line.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_resnet_cifar.recompute import recomputed
from zoo_resnet_cifar.shortcut import Shortcut

WIDTHS = (16, 32, 64)  # section 4.2: "the numbers of filters are {16, 32, 64} respectively"


class PaddedIdentity(nn.Module):
    """Shortcut A (section 4.1): the input at stride 2, with zeros for the channels that it lacks.

    The zeros stand half before and half behind the input's channels.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        before = (out_channels - in_channels) // 2
        self.padding = (0, 0, 0, 0, before, out_channels - in_channels - before)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] to [N, out_channels, ⌈H/2⌉, ⌈W/2⌉]."""
        return F.pad(x[:, :, ::2, ::2], self.padding)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and what goes past them (section 3.2, figure 2); ReLU after the addition."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        # Batch norm follows every convolution (section 3.4), so convolutions have no bias.
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = _shortcut(in_channels, out_channels, stride, shortcut)
        self.grad_checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] to [N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉]."""
        if self.grad_checkpointing and self.training and not torch.jit.is_scripting():  # type: ignore[attr-defined]
            return recomputed(self, self._forward, x)
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.shortcut is not None:
            out = out + self.shortcut(x)
        return F.relu(out)


def _shortcut(in_channels: int, out_channels: int, stride: int, kind: Shortcut) -> nn.Module | None:
    if kind is Shortcut.NONE:
        return None
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if kind is Shortcut.A:
        return PaddedIdentity(in_channels, out_channels)
    return nn.Sequential(  # section 4.1: B, "projection shortcuts are used for increasing dimensions"
        nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
        nn.BatchNorm2d(out_channels),
    )


class CifarResNet(nn.Module):
    """A 3×3 stem, three stages of n blocks, global average pooling, a linear layer: depth 6n + 2."""

    def __init__(self, depth: int, shortcut: Shortcut, in_channels: int, num_classes: int) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 2, 6)
        if rest or blocks < 1:
            raise ValueError(f"depth should be 6n + 2 (8, 14, 20, …), not {depth}")
        self.conv1 = nn.Conv2d(in_channels, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], 1, blocks, shortcut)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], 2, blocks, shortcut)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], 2, blocks, shortcut)
        self.fc = _classifier(WIDTHS[2], num_classes)
        self.in_chans, self.num_classes, self.global_pool = in_channels, num_classes, "avg"
        self.num_features = self.head_hidden_size = WIDTHS[2]
        self.feature_info = [
            {"module": f"layer{stage}", "num_chs": width, "reduction": 2 ** (stage - 1)}
            for stage, width in enumerate(WIDTHS, 1)
        ]
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                # Section 3.4: initialised as in He et al. 2015 (arXiv:1502.01852); torch's fan-in default.
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] to logits [N, num_classes]."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] to the last stage's map [N, num_features, ⌈H/4⌉, ⌈W/4⌉]."""
        x = F.relu(self.bn1(self.conv1(x)))
        features: Tensor = self.layer3(self.layer2(self.layer1(x)))
        return features

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """That map to logits; to the pooled features [N, num_features] with `pre_logits`."""
        if self.global_pool == "avg":
            x = F.adaptive_avg_pool2d(x, 1).flatten(1)
        if not pre_logits:
            x = self.fc(x)
        return x

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """The maps after some stages, for timm: those of `indices`, the last so many, or all; before them the last map.

        `norm` changes nothing: what a stage gives has been normalised. Raises IndexError for a stage that is not there.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt should be NCHW, not {output_fmt}")
        stages = [self.layer1, self.layer2, self.layer3]
        wanted = list(range(len(stages)))
        if indices is not None:
            wanted = wanted[-indices:] if isinstance(indices, int) else [wanted[index] for index in indices]
        x = F.relu(self.bn1(self.conv1(x)))
        maps: list[Tensor] = []
        for index, stage in enumerate(stages):
            if stop_early and index > max(wanted):
                break
            x = stage(x)
            if index in wanted:
                maps.append(x)
        return maps if intermediates_only else (x, maps)

    def get_classifier(self) -> nn.Module:
        """The layer that makes logits of features; an identity where there is none."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Put a new classifier in its place, or with 0 none; without pooling too where `global_pool` is empty.

        Raises ValueError for a pooling that the net has not.
        """
        if global_pool not in (None, "avg", ""):
            raise ValueError(f"global_pool should be avg, or empty for none, not {global_pool!r}")
        self.num_classes = num_classes
        self.global_pool = self.global_pool if global_pool is None else global_pool
        self.fc = _classifier(self.num_features, num_classes).to(self.conv1.weight).train(self.training)
        if isinstance(self.fc, nn.Linear):
            nn.init.kaiming_normal_(self.fc.weight)

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Which parameters are a layer's, from the stem on, for rates that fall layer by layer."""
        return {"stem": r"^conv1|bn1", "blocks": r"^layer(\d+)" if coarse else r"^layer(\d+)\.(\d+)"}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only the blocks' inputs for the backward pass: a third more time, a fraction of the memory."""
        for module in self.modules():
            if isinstance(module, BasicBlock):
                module.grad_checkpointing = enable


def _stage(in_channels: int, channels: int, stride: int, blocks: int, shortcut: Shortcut) -> nn.Sequential:
    first = BasicBlock(in_channels, channels, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1, shortcut) for _ in range(1, blocks)))


def _classifier(num_features: int, num_classes: int) -> nn.Module:
    return nn.Linear(num_features, num_classes) if num_classes else nn.Identity()
