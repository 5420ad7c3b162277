"""Evaluate a net on a test set, and compute its known answers: its logits for a few fixed inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.data import batches, sources
from zoo.data.batches import Pixels
from zoo.data.sources import Split, parts
from zoo.nets.device import exact
from zoo.record.types import Record, Results
from zoo.spec import Model

INPUTS = 4  # number of fixed inputs


@dataclass(frozen=True)
class Evaluated:
    """The results of a model on its test set, and its record if it was published."""

    name: str
    classes: tuple[str, ...]
    results: Results
    confusion: tuple[tuple[int, ...], ...]  # [i][j]: how many images of class i were predicted as class j
    config: Record | None


def evaluate(net: nn.Module, split: Split, pixels: Pixels) -> Results:
    """Evaluate a net on a split, in evaluation mode and fp32, with a single forward pass per image.

    Args:
        net: The net. It keeps its mode.
        split: The images and labels.
        pixels: The normalization, on the net's device.

    Returns:
        Top-1 and top-5 in percent, and the mean loss. With fewer than five classes, top-5 counts all of them.
    """
    return measure(net, split, pixels)[0]


def measure(net: nn.Module, split: Split, pixels: Pixels) -> tuple[Results, Tensor]:
    """Like `evaluate`; also returns the confusion matrix [num_classes, num_classes] int64, true classes as rows."""
    net.to(memory_format=torch.channels_last)  # the memory layout of its training
    was_training = net.training
    net.eval()
    try:
        with exact():
            return score(lambda images: net(pixels.normalise(images)).float(), split)
    finally:
        net.train(was_training)


def evaluated(
    model: Model,
    net: nn.Module,
    normalisation: tuple[tuple[float, ...], tuple[float, ...]],
    root: Path,
    device: torch.device,
    record: Record | None,
) -> Evaluated:
    """Evaluate a net on the whole test set of its model.

    Args:
        model: The model that the net belongs to.
        net: The net; it is moved to `device`.
        normalisation: The mean and the std per channel.
        root: The data folder.
        device: The device to compute on.
        record: The model's record, for the result.

    Raises:
        DataError: The test set is missing or damaged.
    """
    test = sources.read_split(model.dataset, root, train=False, device=device)
    results, confusion = measure(net.to(device), test, batches.pixels(*normalisation, device))
    return Evaluated(model.name, model.dataset.classes, results, tuple(map(tuple, confusion.tolist())), record)


def score(logits_of: Callable[[Tensor], Tensor], split: Split) -> tuple[Results, Tensor]:
    """Evaluate a function from images [N, H, W, C] uint8 to logits [N, num_classes] float32; returns as `measure`."""
    device = split.labels.device
    hits: list[Tensor] = []
    losses: list[Tensor] = []
    predicted: list[Tensor] = []
    images = parts(split.images)
    for part, labels in zip(images, torch.split(split.labels, [len(part) for part in images]), strict=True):
        logits = logits_of(part.to(device))
        top5 = logits.topk(min(5, logits.shape[1]), dim=1).indices
        hits.append(top5 == labels[:, None])
        predicted.append(top5[:, 0])
        losses.append(F.cross_entropy(logits, labels, reduction="sum"))
    correct = torch.cat(hits)
    results = Results(
        test_top1=100 * int(correct[:, 0].sum()) / len(split),
        test_top5=100 * int(correct.sum()) / len(split),
        test_loss=sum(loss.item() for loss in losses) / len(split),  # Python floats: MPS has no float64
        test_images=len(split),
    )
    classes = logits.shape[1]
    pairs = (split.labels * classes + torch.cat(predicted)).cpu()
    return results, torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def fixed_inputs(input_size: tuple[int, int, int]) -> Tensor:
    """Images of stripes [INPUTS, H, W, C] uint8; the same on every machine and with every version of torch."""
    channels, height, width = input_size
    image = torch.arange(INPUTS)[:, None, None, None]
    row, column = torch.arange(height)[None, :, None, None], torch.arange(width)[None, None, :, None]
    channel = torch.arange(channels)
    return ((row * (5 + 6 * image) + column * (11 - 2 * image) + channel * 71) % 256).to(torch.uint8)


def known_answers(net: nn.Module, pixels: Pixels, input_size: tuple[int, int, int]) -> Tensor:
    """Compute the logits [INPUTS, num_classes] of the fixed inputs in evaluation mode; float32, on the CPU."""
    was_training = net.training
    try:
        with exact():
            images = fixed_inputs(input_size).to(pixels.mean.device)
            logits: Tensor = net.eval()(pixels.normalise(images))
    finally:
        net.train(was_training)
    return logits.float().cpu()
