"""A residual network in which each stage repeats one block with shared weights (a course document, 2021–22).

The repeated block is one module that is called in a loop: its weights are stored once, its gradients add up, and its
batch norms have one running mean over all calls.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from zoo import blocks

STEM_CHANNELS = 64
OUT_CHANNELS = (256, 512, 1024)  # of the three stages; the first convolution of a block has a quarter of them
STRIDES = (1, 2, 2)
REPEATS = (3, 4, 2)  # of the identity block, per stage


class Block(blocks.Block):
    """1×1 and 3×3 convolutions with bias, as published, each with batch norm; ReLU after the addition."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        channels = out_channels // 4
        self.conv1 = nn.Conv2d(in_channels, channels, 1, stride=stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = _shortcut(in_channels, out_channels, stride)

    def _forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] to [N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉]."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride=stride), nn.BatchNorm2d(out_channels))


class Stage(nn.Module):
    """A block that changes the shape, then an identity block that is applied `repeats` times."""

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


class TiedResNet(blocks.StagedNet):
    """A stem to 15×15, three stages (15×15, 8×8, 4×4), average pooling, a linear layer."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, STEM_CHANNELS, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.layer1 = Stage(STEM_CHANNELS, OUT_CHANNELS[0], STRIDES[0], REPEATS[0])
        self.layer2 = Stage(OUT_CHANNELS[0], OUT_CHANNELS[1], STRIDES[1], REPEATS[1])
        self.layer3 = Stage(OUT_CHANNELS[1], OUT_CHANNELS[2], STRIDES[2], REPEATS[2])
        self.fc = blocks.classifier(OUT_CHANNELS[2], num_classes)
        self.describe(  # the published 4×4 average pool covers the whole map of a 32×32 image
            in_channels=in_channels,
            num_classes=num_classes,
            stages=[(f"layer{stage}", channels, 2**stage) for stage, channels in enumerate(OUT_CHANNELS, 1)],
        )

    def forward_stem(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, 32, 32] to a map [N, 64, 15, 15]."""
        return F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2)  # no padding: 32 to 15

    def forward_features(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, 32, 32] to the last stage's map [N, num_features, 4, 4]."""
        features: Tensor = self.layer3(self.layer2(self.layer1(self.forward_stem(x))))
        return features

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Patterns of parameter names per layer, from the stem on, for layer-wise learning rates."""
        return {"stem": r"^conv1|bn1", "blocks": r"^layer(\d+)"}
