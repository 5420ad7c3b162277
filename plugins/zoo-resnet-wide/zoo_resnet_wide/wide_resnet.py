"""A wide four-stage residual network for 32×32 images (published in an article of 2022).

What sets it apart from the CIFAR nets of He et al.: up to 256 channels, a fourth stage, 3×3
projections, channel dropout after the stem, and no ReLU after the addition, so that a stage's sum
goes on as it is (compare He et al. 2016, arXiv:1603.05027, section 4, on what stands on that path).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_resnet_wide.recompute import recomputed

CHANNELS = (32, 64, 128, 256)
BLOCKS = (2, 4, 4, 2)  # two convolutions each; with the stem and the linear layer, 26 layers
DROPOUT = 0.02


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut; nothing after the addition."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = _shortcut(in_channels, out_channels, stride)
        self.grad_checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] to [N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉]."""
        if self.grad_checkpointing and self.training and not torch.jit.is_scripting():  # type: ignore[attr-defined]
            return recomputed(self, self._forward, x)
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.shortcut(x)
        return out


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
    )


class WideResNet(nn.Module):
    """A 3×3 stem with channel dropout, four stages, a 4×4 max pool, a linear layer."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, CHANNELS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(CHANNELS[0])
        self.dropout = nn.Dropout2d(DROPOUT)
        self.layer1 = _stage(CHANNELS[0], CHANNELS[0], BLOCKS[0], stride=1)
        self.layer2 = _stage(CHANNELS[0], CHANNELS[1], BLOCKS[1], stride=2)
        self.layer3 = _stage(CHANNELS[1], CHANNELS[2], BLOCKS[2], stride=2)
        self.layer4 = _stage(CHANNELS[2], CHANNELS[3], BLOCKS[3], stride=2)
        self.fc = _classifier(CHANNELS[3], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.in_chans, self.num_classes, self.global_pool = in_channels, num_classes, "max"
        self.num_features = self.head_hidden_size = CHANNELS[3]
        self.feature_info = [
            {"module": f"layer{stage}", "num_chs": channels, "reduction": 2 ** (stage - 1)}
            for stage, channels in enumerate(CHANNELS, 1)
        ]

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, 32, 32] to logits [N, num_classes]."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, 32, 32] to the last stage's map [N, num_features, 4, 4]."""
        x = self.dropout(F.relu(self.bn1(self.conv1(x))))
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return features

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """That map to logits; to the pooled features [N, num_features] with `pre_logits`."""
        if self.global_pool == "max":
            # Published as a max pool of 4 with stride 1, which on the 4×4 map of a 32×32 image is this.
            x = F.adaptive_max_pool2d(x, 1).flatten(1)
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
        stages = [self.layer1, self.layer2, self.layer3, self.layer4]
        wanted = list(range(len(stages)))
        if indices is not None:
            wanted = wanted[-indices:] if isinstance(indices, int) else [wanted[index] for index in indices]
        x = self.dropout(F.relu(self.bn1(self.conv1(x))))
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
        if global_pool not in (None, "max", ""):
            raise ValueError(f"global_pool should be max, or empty for none, not {global_pool!r}")
        self.num_classes = num_classes
        self.global_pool = self.global_pool if global_pool is None else global_pool
        self.fc = _classifier(self.num_features, num_classes).to(self.conv1.weight).train(self.training)

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Which parameters are a layer's, from the stem on, for rates that fall layer by layer."""
        return {"stem": r"^conv1|bn1", "blocks": r"^layer(\d+)" if coarse else r"^layer(\d+)\.(\d+)"}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only the blocks' inputs for the backward pass: a third more time, a fraction of the memory."""
        for module in self.modules():
            if isinstance(module, BasicBlock):
                module.grad_checkpointing = enable


def _stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(in_channels, channels, stride)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1) for _ in range(1, blocks)))


def _classifier(num_features: int, num_classes: int) -> nn.Module:
    if not num_classes:
        return nn.Identity()
    layer = nn.Linear(num_features, num_classes)
    nn.init.zeros_(layer.bias)
    return layer
