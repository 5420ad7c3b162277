"""The CIFAR nets of "Deep Residual Learning for Image Recognition" (arXiv:1512.03385), section 4.2."""

from torch import Tensor, nn
from torch.nn import functional as F

from zoo.blocks import Block, StagedNet, classifier
from zoo_resnet_cifar.models import Shortcut

WIDTHS = (16, 32, 64)  # section 4.2: "the numbers of filters are {16, 32, 64} respectively"


class PaddedIdentity(nn.Module):
    """Shortcut A (section 4.1): the input at stride 2, with channels of zeros before and after its own."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        before = (out_channels - in_channels) // 2
        self.padding = (0, 0, 0, 0, before, out_channels - in_channels - before)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] to [N, out_channels, ⌈H/2⌉, ⌈W/2⌉]."""
        # A 1×1 pool has the values of x[:, :, ::2, ::2], and its gradient keeps the memory format.
        return F.pad(F.avg_pool2d(x, 1, stride=2), self.padding)


class BasicBlock(Block):
    """Two 3×3 convolutions and a shortcut (section 3.2, figure 2); ReLU after the addition."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        # Batch norm follows every convolution (section 3.4), so convolutions have no bias.
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = _shortcut(in_channels, out_channels, stride, shortcut)

    def _forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] to [N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉]."""
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


class CifarResNet(StagedNet):
    """A CIFAR net of depth 6n + 2: a 3×3 stem, three stages of n blocks, global average pooling, a linear layer.

    Args:
        depth: The number of layers, 6n + 2.
        shortcut: The kind of shortcut.
        in_channels: Channels of the images.
        num_classes: The number of logits.

    Raises:
        ValueError: The depth is not 6n + 2.
    """

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
        self.fc = classifier(WIDTHS[2], num_classes)
        self.describe(
            in_channels=in_channels,
            num_classes=num_classes,
            stages=[(f"layer{stage}", width, 2 ** (stage - 1)) for stage, width in enumerate(WIDTHS, 1)],
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                # Section 3.4: the initialization of He et al. 2015 (arXiv:1502.01852), by fan-in.
                nn.init.kaiming_normal_(module.weight)

    def forward_stem(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] to a map [N, 16, H, W]."""
        return F.relu(self.bn1(self.conv1(x)))

    def forward_features(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] to the last stage's map [N, num_features, ⌈H/4⌉, ⌈W/4⌉]."""
        features: Tensor = self.layer3(self.layer2(self.layer1(self.forward_stem(x))))
        return features

    def init_classifier(self, layer: nn.Linear) -> None:
        """Initialize a classifier as the constructor does."""
        nn.init.kaiming_normal_(layer.weight)


def _stage(in_channels: int, channels: int, stride: int, blocks: int, shortcut: Shortcut) -> nn.Sequential:
    first = BasicBlock(in_channels, channels, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1, shortcut) for _ in range(1, blocks)))
