"""A residual network whose stages repeat one block with the same weights (a course document, 2021–22).

A stage is a block that changes the shape and one identity block, applied several times. It is one
module called in a loop: its weights are stored once, its gradients add up, and its batch norms keep
one running mean over all their applications.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

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
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] to [N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉]."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


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
        self.fc = nn.Linear(OUT_CHANNELS[2], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, 32, 32] to logits [N, num_classes]."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2)  # no padding: 32 to 15
        x = self.layer3(self.layer2(self.layer1(x)))
        # Published as an average pool of 4, which on the 4×4 map of a 32×32 image is this.
        logits: Tensor = self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits
