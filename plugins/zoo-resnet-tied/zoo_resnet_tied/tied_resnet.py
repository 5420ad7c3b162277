"""A residual network whose stages repeat one block with the same weights (a course document, 2021–22).

A stage is a block that changes the shape and one identity block, applied several times. It is one
module called in a loop: its weights are stored once, its gradients add up, and its batch norms keep
one running mean over all their applications.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_resnet_tied.recompute import recomputed

STEM_CHANNELS = 64
OUT_CHANNELS = (256, 512, 1024)  # of the three stages; a block is a quarter as wide inside
STRIDES = (1, 2, 2)
REPEATS = (3, 4, 2)  # how often a stage applies its identity block


class Block(nn.Module):
    """1×1 and 3×3 convolutions, batch norm after each; ReLU after the addition.

    All convolutions have a bias, as published. The 1×1 carries the stride, and where the shape
    changes the shortcut is a 1×1 convolution with batch norm.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        channels = out_channels // 4
        self.conv1 = nn.Conv2d(in_channels, channels, 1, stride=stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = _shortcut(in_channels, out_channels, stride)
        self.grad_checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] to [N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉]."""
        if self.grad_checkpointing and self.training and not torch.jit.is_scripting():  # type: ignore[attr-defined]
            return recomputed(self, self._forward, x)
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride=stride), nn.BatchNorm2d(out_channels))


class Stage(nn.Module):
    """A block that changes the shape, then one identity block `repeats` times over."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, repeats: int) -> None:
        super().__init__()
        self.first = Block(in_channels, out_channels, stride)
        self.repeated = Block(out_channels, out_channels)
        self.repeats = repeats

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] to [N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉]."""
        x = self.first(x)
        for _ in range(self.repeats):
            x = self.repeated(x)
        return x


class TiedResNet(nn.Module):
    """A stem to 15×15, three stages (15, 8, 4), average pooling, a linear layer."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, STEM_CHANNELS, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.layer1 = Stage(STEM_CHANNELS, OUT_CHANNELS[0], STRIDES[0], REPEATS[0])
        self.layer2 = Stage(OUT_CHANNELS[0], OUT_CHANNELS[1], STRIDES[1], REPEATS[1])
        self.layer3 = Stage(OUT_CHANNELS[1], OUT_CHANNELS[2], STRIDES[2], REPEATS[2])
        self.fc = _classifier(OUT_CHANNELS[2], num_classes)
        self.in_chans, self.num_classes, self.global_pool = in_channels, num_classes, "avg"
        self.num_features = self.head_hidden_size = OUT_CHANNELS[2]
        self.feature_info = [
            {"module": f"layer{stage}", "num_chs": channels, "reduction": 2**stage}
            for stage, channels in enumerate(OUT_CHANNELS, 1)
        ]

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, 32, 32] to logits [N, num_classes]."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, 32, 32] to the last stage's map [N, num_features, 4, 4]."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2)  # no padding: 32 to 15
        features: Tensor = self.layer3(self.layer2(self.layer1(x)))
        return features

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """That map to logits; to the pooled features [N, num_features] with `pre_logits`."""
        if self.global_pool == "avg":
            # Published as an average pool of 4, which on the 4×4 map of a 32×32 image is this.
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
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2)
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

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Which parameters are a layer's, from the stem on, for rates that fall layer by layer."""
        return {"stem": r"^conv1|bn1", "blocks": r"^layer(\d+)"}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only the blocks' inputs for the backward pass: a third more time, a fraction of the memory."""
        for module in self.modules():
            if isinstance(module, Block):
                module.grad_checkpointing = enable


def _classifier(num_features: int, num_classes: int) -> nn.Module:
    return nn.Linear(num_features, num_classes) if num_classes else nn.Identity()
