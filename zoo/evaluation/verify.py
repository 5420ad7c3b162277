"""A model folder held against what it says: its weights' hash, its architecture, its answers, its accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from zoo.data import batches, sources
from zoo.data.batches import Pixels
from zoo.errors import DataError
from zoo.evaluation.answers import INPUTS, known_answers
from zoo.evaluation.evaluate import evaluate
from zoo.nets.build import count
from zoo.nets.device import describe
from zoo.record.types import Claim, Imported, Record, Results
from zoo.spec import Architecture, Model

# Another processor, another number of threads or another version of torch sums in another order.
LOGITS_TOLERANCE = 1e-3
POINTS_TOLERANCE = 0.05
# Of the test loss, a mean over thousands of images in which roundings cancel: from a Xeon to an EPYC it moved by up
# to 1e-7 of itself. An image in ten thousand that is seen otherwise moves it by more than this.
LOSS_TOLERANCE = 1e-4

Outcome = Literal["as published", "differs", "not measured"]


@dataclass(frozen=True)
class Check:
    """One thing that was held against what the folder says of it, and what was found."""

    name: str
    outcome: Outcome
    finding: str


@dataclass(frozen=True)
class Verified:
    """What came of verifying a model, check by check."""

    name: str
    checks: tuple[Check, ...]

    @property
    def outcome(self) -> Outcome:
        """What the checks come to: one that differs decides, else one that could not be made."""
        found = {one.outcome for one in self.checks}
        return "differs" if "differs" in found else "not measured" if "not measured" in found else "as published"

    @property
    def differences(self) -> tuple[str, ...]:
        """What differs, a line each."""
        return tuple(one.finding for one in self.checks if one.outcome == "differs")

    @property
    def not_measured(self) -> tuple[str, ...]:
        """The names of the checks that could not be made."""
        return tuple(one.name for one in self.checks if one.outcome == "not measured")


def verify(config: Record, known: Model | Architecture, net: nn.Module, root: Path) -> Verified:
    """Hold a net with the weights of a folder, whose files' hashes were checked, against that one's facts.

    `known` is its model, or its architecture where no plugin declares the data set. Its test set is run
    where it can be read from `root` without a download.
    """
    pixels = batches.pixels(config.mean, config.std, next(net.parameters()).device)
    hashes = Check("hash", "as published", f"weights {config.weights.sha256[:12]}")
    return Verified(
        config.name,
        (hashes, _load(config, net), _answers(config, net, pixels), _test(config, known, net, pixels, root)),
    )


def _load(config: Record, net: nn.Module) -> Check:
    """The net was loaded strictly already; its parameters are counted once more."""
    if (counted := count(net)) != config.parameters:
        said = f"the net has {counted:,} parameters, the card says {config.parameters:,}"
        return Check("strict load", "differs", said)
    return Check("strict load", "as published", f"{counted:,} parameters")


def _answers(config: Record, net: nn.Module, pixels: Pixels) -> Check:
    """The logits of the fixed inputs; only a repository of another library may be without."""
    name = "known answers"
    if not config.known_answers and isinstance(config, Imported):
        return Check(name, "not measured", "the repository has none")
    if len(config.known_answers) != INPUTS:
        return Check(name, "differs", f"the folder has {len(config.known_answers)} known answers, expected {INPUTS}")
    asked, kept = known_answers(net, pixels, config.input_size), torch.tensor(config.known_answers)
    distance = ((asked - kept).abs() / kept.abs().max()).max().item()
    if not distance <= LOGITS_TOLERANCE:
        return Check(name, "differs", f"the logits of the fixed inputs differ by {distance:.1e} of the largest")
    return Check(name, "as published", f"within {distance:.1e}")


def _test(config: Record, known: Model | Architecture, net: nn.Module, pixels: Pixels, root: Path) -> Check:
    """Accuracies and loss on the test set."""
    name, device = "test set", pixels.mean.device
    if not isinstance(known, Model):
        return Check(name, "not measured", f"not run, {config.dataset} is declared by no plugin here")
    if not config.fits(known.dataset):
        return Check(name, "differs", f"its classes or the size of its images are not those of {config.dataset}")
    if not sources.is_there(known.dataset, root):
        return Check(name, "not measured", f"not run, {config.dataset} is not there, or not whole")
    try:
        test = sources.read_split(known.dataset, root, train=False, device=device)
    except DataError as error:
        return Check(name, "not measured", f"not run, {error}")
    now, exact = evaluate(net, test, pixels), _computes_as_then(config, device)
    found = f"top-1 {now.test_top1:.2f}%, top-5 {now.test_top5:.2f}%"
    if config.results is None:
        claim = config.source.claim if isinstance(config, Imported) else None
        said = f"; its author says {claim.test_top1:.2f}%{_what(claim)}" if claim else ""
        return Check(name, "not measured", f"{found}, measured now: the card has no results{said}")
    if differences := _differences(now, config.results, exact=exact):
        return Check(name, "differs", "; ".join(differences))
    compared = "as on the card" if exact else f"within {POINTS_TOLERANCE} points of the card"
    return Check(name, "as published", f"{found}, {compared}")


def _what(claim: Claim) -> str:
    return f" ({claim.meaning})" if claim.meaning else ""


def _computes_as_then(config: Record, device: torch.device) -> bool:
    """Whether the same numbers are to be expected to the last bit: the same processor, threads and torch."""
    return (
        config.environment is not None
        and describe(device) == config.environment.device
        and torch.get_num_threads() == config.threads
        and str(torch.__version__) == config.versions.torch
    )


def _differences(now: Results, card: Results, *, exact: bool) -> list[str]:
    """Where results differ: at all where the same are to be expected, else by more than rounding explains."""
    allowed = 0.0 if exact else POINTS_TOLERANCE
    found = []
    for what, measured, said in (("top-1", now.test_top1, card.test_top1), ("top-5", now.test_top5, card.test_top5)):
        if abs(measured - said) > allowed:
            found.append(f"{what} is {measured:.4f}%, the card says {said:.4f}%")
    relative, absolute = (0.0, 0.0) if exact else (LOSS_TOLERANCE, 1e-6)
    if not math.isclose(now.test_loss, card.test_loss, rel_tol=relative, abs_tol=absolute):
        found.append(f"the loss is {now.test_loss:.8f}, the card says {card.test_loss:.8f}")
    if now.test_images != card.test_images:
        found.append(f"{now.test_images:,} test images, the card says {card.test_images:,}")
    return found
