"""The layers of a net as it names them itself, for rates that fall layer by layer towards its stem.

What timm's nets answer to `group_matcher`: for each kind of layer a regular expression of the names of its
parameters, whose groups are a layer's number. timm reads it with `timm.models.group_parameters`, which this repeats
without timm.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping

from torch import nn

from zoo.errors import TrainingError

WITH_THE_LAYER_BEFORE = 99999  # timm's mark, at the end of a layer's number
ORDINAL = tuple[float, ...]

# What a pattern looks like: a regular expression, or several, each with what is added to the numbers it finds.
Pattern = str | tuple[tuple[str, ORDINAL | None], ...] | list[tuple[str, ORDINAL | None]] | None


def layers(net: nn.Module) -> list[list[nn.Parameter]]:
    """The parameters of a net by layer, from the stem to the head, which has what no pattern names.

    Raises TrainingError where the net doesn't say what its layers are.
    """
    number = _numbers(net)
    found: defaultdict[ORDINAL, list[nn.Parameter]] = defaultdict(list)
    for name, parameter in net.named_parameters():
        found[number(name)].append(parameter)
    ordered: list[list[nn.Parameter]] = []
    for ordinal in sorted(found):
        if not ordered or ordinal[-1] != WITH_THE_LAYER_BEFORE:
            ordered.append([])
        ordered[-1] += found[ordinal]
    return ordered


def _numbers(net: nn.Module) -> Callable[[str], ORDINAL]:
    """From a parameter's name to its layer's place in the order of layers."""
    matcher = getattr(net, "group_matcher", None)
    if matcher is None:
        raise TrainingError(f"{type(net).__name__} names no layers: it has no group_matcher(); leave layer_decay at 1")
    described: Mapping[str, Pattern] | object = matcher(coarse=False)
    if not isinstance(described, Mapping):
        raise TrainingError(
            f"{type(net).__name__}.group_matcher() should give regular expressions by a layer's kind, "
            f"not a {type(described).__name__}; leave layer_decay at 1"
        )
    patterns = [
        (re.compile(pattern), kind, added or ())
        for kind, one in enumerate(described.values())
        for pattern, added in _spread_out(one)
    ]

    def number(name: str) -> ORDINAL:
        for pattern, kind, added in patterns:
            if match := pattern.match(name):
                return (float(kind), *(float(one) for one in match.groups() if one), *map(float, added))
        return (math.inf,)

    return number


def _spread_out(pattern: Pattern) -> list[tuple[str, ORDINAL | None]]:
    if pattern is None:
        return []
    return [(pattern, None)] if isinstance(pattern, str) else list(pattern)
