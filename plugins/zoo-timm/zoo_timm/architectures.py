"""Every net that timm has, as an architecture of the zoo: timm's own, stem and all, for images of its size.

Those of `zoo_timm.models` are declared, and have a stem for small images; these are not, there are a thousand of them.
They come with the weights that a training starts from, and with a folder that was trained so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoo.plugin import Architecture, InputSize, Recipe
from zoo_timm.models import COSINE, FINETUNE, LINEAR, PAGE, QUICK

if TYPE_CHECKING:
    from torch import nn

# By name, the default first: of every such architecture.
RECIPES: Mapping[str, Recipe] = {"cosine": COSINE, "quick": QUICK, "finetune": FINETUNE, "linear": LINEAR}


@dataclass(frozen=True)
class Own:
    """Builds timm's own net; timm and torch are imported then, and only then."""

    name: str

    def __call__(self, input_size: InputSize, num_classes: int) -> nn.Module:
        """Build it untrained."""
        from zoo_timm.resnet import own_net

        return own_net(self.name, input_size, num_classes)


def own(name: str) -> Architecture:
    """timm's net of that name, whether there is one or not."""
    return Architecture(
        name=name,
        build=Own(name),
        recipes=RECIPES,
        paper=PAGE,
        description=f"timm's {name}.",
        tags=("timm",),
    )


def architecture(name: str) -> Architecture | None:
    """timm's net of that name; None where timm has none."""
    from zoo_timm.resnet import is_timms

    return own(name) if is_timms(name) else None
