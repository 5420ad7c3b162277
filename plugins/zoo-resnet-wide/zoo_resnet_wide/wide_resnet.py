"""A wide four-stage residual network for 32×32 images (published in an article of 2022).

Unlike the CIFAR nets of He et al. (arXiv:1512.03385) it has 3×3 projections, channel dropout, and no ReLU after the
addition.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from zoo.blocks import Block, StagedNet, classifier

CHANNELS = (32, 64, 128, 256)
BLOCKS = (2, 4, 4, 2)  # of two convolutions; 26 layers with the stem and the linear layer
DROPOUT = 0.02


class BasicBlock(Block):
    """Two 3×3 convolutions and a shortcut, without ReLU after the addition."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = _shortcut(in_channels, out_channels, stride)

    def _forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] to [N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉]."""
        out: Tensor = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.shortcut(x)
        return out


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
    )


class WideResNet(StagedNet):
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
        self.fc = classifier(CHANNELS[3], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(self.fc, nn.Linear):
            self.init_classifier(self.fc)
        self.describe(
            in_channels=in_channels,
            num_classes=num_classes,
            stages=[(f"layer{stage}", channels, 2 ** (stage - 1)) for stage, channels in enumerate(CHANNELS, 1)],
            pool="max",  # published as a max pool of 4 with stride 1, the same on the 4×4 map of a 32×32 image
        )

    def forward_stem(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, 32, 32] to a map [N, 32, 32, 32]."""
        out: Tensor = self.dropout(F.relu(self.bn1(self.conv1(x))))
        return out

    def forward_features(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, 32, 32] to the last stage's map [N, num_features, 4, 4]."""
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(self.forward_stem(x)))))
        return features

    def init_classifier(self, layer: nn.Linear) -> None:
        """Initialize a classifier as the constructor does: torch's weights, bias 0."""
        nn.init.zeros_(layer.bias)


def _stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(in_channels, channels, stride)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1) for _ in range(1, blocks)))
