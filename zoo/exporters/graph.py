"""The graph that all formats export: from pixels to logits and probabilities."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional as F

from zoo.errors import ExportError
from zoo.evaluation.evaluate import fixed_inputs
from zoo.record.types import Record

PIXELS, LOGITS, PROBABILITIES = "pixels", "logits", "probabilities"
REASON = 300  # longest error message, in characters


class Graph(nn.Module):
    """A net with its normalization and softmax; with `resizes` it resizes images to the net's size."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, config: Record, *, resizes: bool) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).eval().cpu().requires_grad_(False)
        self.size = config.input_size[1:] if resizes else None
        self.register_buffer("mean", torch.tensor(config.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(config.std)[:, None, None])

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map images [N, H, W, C] uint8 to logits and probabilities, each [N, num_classes] float32."""
        images = pixels.permute(0, 3, 1, 2)
        if self.size is not None:  # as torchvision resizes uint8; no change at the net's size
            images = F.interpolate(images, self.size, mode="bilinear", antialias=True)
        scaled = (images.to(torch.float32) * (1 / 255) - self.mean) / self.std
        logits = self.net(scaled).float()
        return logits, logits.softmax(dim=1)


def program(net: nn.Module, config: Record, *, any_size: bool) -> ExportedProgram:
    """Trace the graph of a net with torch.export, for any number of images.

    Args:
        net: The net.
        config: Its record.
        any_size: Whether the graph takes images of any height and width, and resizes them.

    Raises:
        ExportError: torch.export can't trace the net.

    Examples:
        >>> import torch
        >>> import zoo
        >>> from zoo.plugin import program
        >>> net = zoo.load("resnet8_digits", pretrained=True)
        >>> graph = program(net, zoo.info("resnet8_digits").config, any_size=False)
        >>> logits, probabilities = graph.module()(torch.zeros(1, 8, 8, 1, dtype=torch.uint8))
        >>> probabilities.shape
        torch.Size([1, 10])
    """
    channels, height, width = config.input_size
    # With the model's size as example, torch.export would specialize the graph to that size.
    example = fixed_inputs((channels, height + 3, width + 5) if any_size else config.input_size)
    free = {0: Dim("N", min=1), **({1: Dim("H", min=1), 2: Dim("W", min=1)} if any_size else {})}
    try:
        traced = torch.export.export(Graph(net, config, resizes=any_size), (example,), dynamic_shapes=(free,))
    except Exception as error:  # tracing may raise anything
        raise ExportError(
            f"{config.name} can't be exported: torch.export can't trace its net ({reason(error)}); "
            "use only torch operations in its forward pass, without branches that depend on values"
        ) from error
    for node in traced.graph.nodes:
        for key in ("stack_trace", "custom"):  # contain paths of this machine
            node.meta.pop(key, None)
    return traced


def reason(error: Exception) -> str:
    """The type and the first line of an error of a library."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text if len(text) <= REASON else f"{text[:REASON]}…"
