"""What a net answers to a few fixed inputs: kept with its weights, to be asked again anywhere, without data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.data.batches import Pixels
from zoo.nets.precision import exact

INPUTS = 4


def fixed_inputs(input_size: tuple[int, int, int]) -> Tensor:
    """Images [INPUTS, H, W, C] uint8, the same on every machine and with every version: stripes, no random numbers."""
    channels, height, width = input_size
    image = torch.arange(INPUTS)[:, None, None, None]
    row, column = torch.arange(height)[None, :, None, None], torch.arange(width)[None, None, :, None]
    channel = torch.arange(channels)
    return ((row * (5 + 6 * image) + column * (11 - 2 * image) + channel * 71) % 256).to(torch.uint8)


def known_answers(net: nn.Module, pixels: Pixels, input_size: tuple[int, int, int]) -> Tensor:
    """The logits [INPUTS, num_classes] float32 of the fixed inputs, in evaluation mode and fp32, on the CPU."""
    was_training = net.training
    try:
        with exact():
            images = fixed_inputs(input_size).to(pixels.mean.device)
            logits: Tensor = net.eval()(pixels.normalise(images))
    finally:
        net.train(was_training)
    return logits.float().cpu()
