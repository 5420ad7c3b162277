"""A model folder held against what it says: its weights' hash, its architecture, its answers, its accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from zoo.data import batches
from zoo.data.sources import Split
from zoo.evaluation.answers import known_answers
from zoo.evaluation.evaluate import evaluate
from zoo.folder.config import Config, Results
from zoo.nets.build import count
from zoo.nets.device import describe
from zoo.spec import Architecture, Model

# Another processor, or another version of torch, sums in another order.
LOGITS_TOLERANCE = 1e-3
POINTS_TOLERANCE = 0.05


@dataclass(frozen=True)
class Verified:
    """What came of verifying a model: every check by name with its finding, and what differs."""

    name: str
    checks: tuple[tuple[str, str], ...]
    differences: tuple[str, ...]


def verify(config: Config, known: Model | Architecture, net: nn.Module, test: Split | None) -> Verified:
    """Hold a net with the weights of a folder against that one's facts; its accuracy too where `test` is there.

    `known` is its model, or its architecture where no plugin declares the data set. `test` is its test
    set, on the net's device.
    """
    device = next(net.parameters()).device
    pixels = batches.pixels(config.mean, config.std, device)
    checks = [("hash", config.weights.sha256[:12]), ("strict load", f"{count(net):,} parameters")]
    differences = []
    if count(net) != config.parameters:
        differences.append(f"the net has {count(net):,} parameters, the card says {config.parameters:,}")
    if isinstance(known, Model) and not config.fits(known.dataset):
        differences.append(f"its classes or the size of its images are not those of {config.dataset}")

    if config.known_answers:
        asked, kept = known_answers(net, pixels, config.input_size), torch.tensor(config.known_answers)
        distance = ((asked - kept).abs() / kept.abs().max()).max().item()
        checks.append(("known answers", f"within {distance:.1e}"))
        if not distance <= LOGITS_TOLERANCE:
            differences.append(f"the logits of the fixed inputs differ by {distance:.1e} of the largest")
    if test is None:
        reason = "is not there" if isinstance(known, Model) else "is declared by no plugin here"
        checks.append(("test set", f"not run, {config.dataset} {reason}"))
    else:
        now, exact = evaluate(net, test, pixels), describe(device) == config.environment.device
        found = _differences(now, config.results, exact=exact)
        compared = "" if found else ", as on the card" if exact else f", within {POINTS_TOLERANCE} points of the card"
        checks.append(("test set", f"top-1 {now.test_top1:.2f}%, top-5 {now.test_top5:.2f}%{compared}"))
        differences += found
    return Verified(config.name, tuple(checks), tuple(differences))


def _differences(now: Results, card: Results, *, exact: bool) -> list[str]:
    """Where accuracies differ: at all on the same kind of device, by more than 0.05 points on another."""
    allowed = 0.0 if exact else POINTS_TOLERANCE
    found = []
    for what, measured, said in (("top-1", now.test_top1, card.test_top1), ("top-5", now.test_top5, card.test_top5)):
        if abs(measured - said) > allowed:
            found.append(f"{what} is {measured:.4f}%, the card says {said:.4f}%")
    if now.test_images != card.test_images:
        found.append(f"{now.test_images:,} test images, the card says {card.test_images:,}")
    return found
