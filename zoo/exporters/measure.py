"""What a runtime answers, held against the net that its file was made from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.data.batches import Pixels
from zoo.data.sources import Split, parts
from zoo.errors import ExportError
from zoo.evaluation.answers import fixed_inputs
from zoo.exporters.protocol import Answers, Run
from zoo.nets.precision import exact
from zoo.record.types import ExportTest, Record

SUM_TOLERANCE = 1e-4  # of the probabilities of an image, from softmax


@dataclass(frozen=True, eq=False)
class Tested:
    """A test set, and the logits [N, num_classes] float32 that the net has for it, on the CPU."""

    split: Split
    logits: Tensor


def tested(net: nn.Module, pixels: Pixels, split: Split) -> Tested:
    """Run a net over a whole test set, in evaluation mode and fp32."""
    with exact():
        found = [net(pixels.normalise(images)).float().cpu() for images in parts(split.images)]
    return Tested(Split(split.images.cpu(), split.labels.cpu()), torch.cat(found))


def answers(run: Run, images: Tensor, classes: int) -> Answers:
    """What a runtime answers to images; raises ExportError where that isn't logits and their softmax."""
    found = run(images)
    shape, probabilities = (len(images), classes), found.probabilities
    for name, values in vars(found).items():
        if values.shape != shape or values.dtype != torch.float32 or not bool(torch.isfinite(values).all()):
            raise ExportError(f"its {name} are {values.dtype} {list(values.shape)}, expected float32 {list(shape)}")
    if (probabilities - found.logits.softmax(dim=1)).abs().max().item() > SUM_TOLERANCE:
        raise ExportError("its probabilities are not the softmax of its logits")
    return found


def known_logits(run: Run, config: Record) -> Tensor:
    """The logits of the fixed inputs, asked all at once and one by one, which must not matter; raises ExportError."""
    images = fixed_inputs(config.input_size)
    classes = len(config.classes)
    at_once = answers(run, images, classes).logits
    one_by_one = torch.cat([answers(run, image, classes).logits for image in torch.split(images, 1)])
    if (at_once - one_by_one).abs().max().item() > 1e-3 * max(1.0, at_once.abs().max().item()):
        raise ExportError("an image's logits are others alone than in a batch")
    return at_once


def test(run: Run, on: Tested) -> ExportTest:
    """What a runtime makes of a whole test set, beside what the net does."""
    classes = on.logits.shape[1]
    found = torch.cat([answers(run, images, classes).logits for images in parts(on.split.images)])
    predicted = found.argmax(dim=1)
    return ExportTest(
        test_top1=top1(found, on.split.labels),
        test_images=len(on.split),
        otherwise=int((predicted != on.logits.argmax(dim=1)).sum()),
        logits=(found - on.logits).abs().max().item(),
    )


def top1(logits: Tensor, labels: Tensor) -> float:
    """Percent of images whose largest logit is their label's."""
    return 100 * int((logits.argmax(dim=1) == labels).sum()) / len(labels)
