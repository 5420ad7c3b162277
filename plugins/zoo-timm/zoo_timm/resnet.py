"""timm's ResNets with a stem for small images, and its nets as they are."""

from __future__ import annotations

import timm
import torch
from timm.models import model_entrypoint
from torch import nn

SMALL = 64  # pixels: up to here a stem that reduces an image to a quarter leaves too little of it


def timm_resnet(name: str, input_size: tuple[int, int, int], num_classes: int) -> nn.Module:
    """An untrained net of timm's resnet family, images [N, *input_size] to logits [N, num_classes].

    For small images the stem keeps their size, as He et al. have it for CIFAR (arXiv:1512.03385,
    section 4.2): a 3×3 convolution of stride 1 in place of the 7×7 of stride 2, and no max pool.
    """
    channels, height, width = input_size
    net: nn.Module = timm.create_model(name, num_classes=num_classes, in_chans=channels)
    if max(height, width) > SMALL:
        return net
    stem = net.get_submodule("conv1")
    if isinstance(stem, nn.Conv2d):
        small = nn.Conv2d(channels, stem.out_channels, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(small.weight, mode="fan_out", nonlinearity="relu")  # as timm initialises
        net.set_submodule("conv1", small)
    else:  # the deep stems: three 3×3 convolutions, of which the first has the stride
        first = stem.get_submodule("0")
        assert isinstance(first, nn.Conv2d)
        first.stride = (1, 1)
    net.set_submodule("maxpool", nn.Identity())
    for stage in net.feature_info:  # type: ignore[union-attr]
        stage["reduction"] = max(1, stage["reduction"] // 4)
    return net


def own_net(name: str, input_size: tuple[int, int, int], num_classes: int) -> nn.Module:
    """An untrained net of timm's as it is, images [N, *input_size] to logits [N, num_classes]."""
    channels, *sides = input_size
    facts = timm.get_pretrained_cfg(name)
    takes_a_size = facts is not None and facts.fixed_input_size  # else any size does
    net: nn.Module = timm.create_model(
        name, num_classes=num_classes, in_chans=channels, img_size=tuple(sides) if takes_a_size else None
    )
    return net


def is_timms(name: str) -> bool:
    """Whether timm itself has a net of that name; others may be in its registry, the zoo's too, and are not meant."""
    return "." not in name and timm.is_model(name) and str(model_entrypoint(name).__module__).startswith("timm.")


def pooling(name: str) -> object:
    """How a net of timm's pools its last map, in timm's word; None where it has none for that."""
    with torch.device("meta"):
        pool = getattr(timm.create_model(name), "global_pool", None)
    return getattr(pool, "pool_type", pool)
