"""Nets of timm, and its ResNets with a stem for small images."""

from __future__ import annotations

import timm
import torch
from timm.models import model_entrypoint
from torch import nn

SMALL = 64  # pixels; timm's stem would reduce smaller images to less than 16×16


def small_image_resnet(name: str, input_size: tuple[int, int, int], num_classes: int) -> nn.Module:
    """Build an untrained net of timm's ResNet family.

    For images of up to 64 pixels the stem keeps their size, as in the CIFAR nets of He et al. (arXiv:1512.03385,
    section 4.2): a 3×3 convolution with stride 1 replaces the 7×7 one with stride 2, and there is no max pool.

    Args:
        name: The name in timm's registry.
        input_size: Channels, height and width of the images.
        num_classes: The number of logits.

    Returns:
        The net, images [N, *input_size] to logits [N, num_classes].
    """
    channels, height, width = input_size
    net: nn.Module = timm.create_model(name, num_classes=num_classes, in_chans=channels)
    if max(height, width) > SMALL:
        return net
    stem = net.get_submodule("conv1")
    if isinstance(stem, nn.Conv2d):
        small = nn.Conv2d(channels, stem.out_channels, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(small.weight, mode="fan_out", nonlinearity="relu")  # timm's initialization
        net.set_submodule("conv1", small)
    else:  # a deep stem: three 3×3 convolutions, the first with stride 2
        first = stem.get_submodule("0")
        assert isinstance(first, nn.Conv2d)
        first.stride = (1, 1)
    net.set_submodule("maxpool", nn.Identity())
    for stage in net.feature_info:  # type: ignore[union-attr]
        stage["reduction"] = max(1, stage["reduction"] // 4)
    del net.pretrained_cfg, net.default_cfg  # timm can't build this net under this name
    return net


def timm_net(name: str, input_size: tuple[int, int, int], num_classes: int) -> nn.Module:
    """Build an untrained net of timm with timm's stem.

    Args:
        name: The name in timm's registry.
        input_size: Channels, height and width of the images.
        num_classes: The number of logits.

    Returns:
        The net, images [N, *input_size] to logits [N, num_classes].
    """
    channels, *sides = input_size
    cfg = timm.get_pretrained_cfg(name)
    takes_a_size = cfg is not None and cfg.fixed_input_size  # other nets accept any size
    net: nn.Module = timm.create_model(
        name, num_classes=num_classes, in_chans=channels, img_size=tuple(sides) if takes_a_size else None
    )
    return net


def is_in_timm(name: str) -> bool:
    """Whether timm itself has a net of this name. Nets that other packages registered in timm do not count."""
    return "." not in name and timm.is_model(name) and str(model_entrypoint(name).__module__).startswith("timm.")


def pooling(name: str) -> object:
    """The default `global_pool` of a net of timm; None if it has no pooling layer."""
    with torch.device("meta"):
        pool = getattr(timm.create_model(name), "global_pool", None)
    return getattr(pool, "pool_type", pool)
