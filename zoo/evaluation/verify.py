"""Compare a net with its record: its answers to the fixed inputs, and its results on the test set."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import nn

from zoo.data import batches, sources
from zoo.data.batches import Pixels
from zoo.errors import DataError
from zoo.evaluation.evaluate import INPUTS, evaluate, known_answers
from zoo.evaluation.outcome import Check, Verified
from zoo.nets.device import describe
from zoo.record.types import Imported, Record, Results
from zoo.spec import Architecture, Model

# Processors, numbers of threads and versions of torch differ in the order of sums.
LOGITS_TOLERANCE = 1e-3  # of the largest logit
POINTS_TOLERANCE = 0.05  # percentage points of top-1 and top-5
LOSS_TOLERANCE = 1e-4  # relative; between a Xeon and an EPYC the test loss differed by up to 1e-7


def verify(config: Record, declared: Model | Architecture, net: nn.Module, root: Path) -> Verified:
    """Compare a net with the record of its model folder.

    Args:
        config: The record.
        declared: The model that a plugin declares for it, or only its architecture.
        net: The net with the published weights. Loading them has checked their hash and the number of parameters.
        root: The data folder. If it has no test set, the test set's check is "not measured".

    Returns:
        The checks of hash, strict load, known answers and test set.
    """
    pixels = batches.pixels(config.mean, config.std, next(net.parameters()).device)
    checks = (
        Check("hash", "as published", f"weights {config.weights.sha256[:12]}"),
        Check("strict load", "as published", f"{config.parameters:,} parameters"),
        _answers(config, net, pixels),
        _test(config, declared, net, pixels, root),
    )
    return Verified(config.name, checks)


def _answers(config: Record, net: nn.Module, pixels: Pixels) -> Check:
    """Compare the logits of the fixed inputs; only a repository of another library may lack them in its record."""
    name = "known answers"
    if not config.known_answers and isinstance(config, Imported):
        return Check(name, "not measured", "the repository has none")
    if len(config.known_answers) != INPUTS:
        return Check(name, "differs", f"the folder has {len(config.known_answers)} known answers, expected {INPUTS}")
    now, expected = known_answers(net, pixels, config.input_size), torch.tensor(config.known_answers)
    distance = ((now - expected).abs() / expected.abs().max()).max().item()
    if not distance <= LOGITS_TOLERANCE:
        return Check(name, "differs", f"the logits of the fixed inputs differ by {distance:.1e} of the largest")
    return Check(name, "as published", f"within {distance:.1e}")


def _test(config: Record, declared: Model | Architecture, net: nn.Module, pixels: Pixels, root: Path) -> Check:
    """Compare accuracies and loss on the test set."""
    name, device = "test set", pixels.mean.device
    if not isinstance(declared, Model):
        return Check(name, "not measured", f"not run, {config.dataset} is declared by no plugin here")
    if not config.fits(declared.dataset):
        return Check(name, "differs", f"its classes or the size of its images are not those of {config.dataset}")
    if not sources.is_there(declared.dataset, root):
        return Check(name, "not measured", f"not run, {config.dataset} is not there, or not whole")
    try:
        test = sources.read_split(declared.dataset, root, train=False, device=device)
    except DataError as error:
        return Check(name, "not measured", f"not run, {error}")
    now, exact = evaluate(net, test, pixels), _is_same_environment(config, device)
    finding = f"top-1 {now.test_top1:.2f}%, top-5 {now.test_top5:.2f}%"
    if config.results is None:
        claim = config.source.claim if isinstance(config, Imported) else None
        meaning = f" ({claim.meaning})" if claim and claim.meaning else ""
        said = f"; its author says {claim.test_top1:.2f}%{meaning}" if claim else ""
        return Check(name, "not measured", f"{finding}, measured now: the card has no results{said}")
    if differences := _differences(now, config.results, exact=exact):
        return Check(name, "differs", "; ".join(differences))
    compared = "as on the card" if exact else f"within {POINTS_TOLERANCE} points of the card"
    return Check(name, "as published", f"{finding}, {compared}")


def _is_same_environment(config: Record, device: torch.device) -> bool:
    """Whether results should be bit-identical: processor, number of threads and version of torch are the record's."""
    return (
        config.environment is not None
        and describe(device) == config.environment.device
        and torch.get_num_threads() == config.computation.threads
        and str(torch.__version__) == config.computation.versions.torch
    )


def _differences(now: Results, card: Results, *, exact: bool) -> list[str]:
    """The differences between results: any difference if `exact`, else only those beyond the tolerances."""
    allowed = 0.0 if exact else POINTS_TOLERANCE
    percents = (("top-1", now.test_top1, card.test_top1), ("top-5", now.test_top5, card.test_top5))
    differences = [
        f"{name} is {measured:.4f}%, the card says {said:.4f}%"
        for name, measured, said in percents
        if abs(measured - said) > allowed
    ]
    relative, absolute = (0.0, 0.0) if exact else (LOSS_TOLERANCE, 1e-6)
    if not math.isclose(now.test_loss, card.test_loss, rel_tol=relative, abs_tol=absolute):
        differences.append(f"the loss is {now.test_loss:.8f}, the card says {card.test_loss:.8f}")
    if now.test_images != card.test_images:
        differences.append(f"{now.test_images:,} test images, the card says {card.test_images:,}")
    return differences
