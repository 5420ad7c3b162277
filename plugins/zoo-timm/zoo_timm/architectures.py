"""Every net that timm has, as an architecture of the zoo: timm's own, stem and all, for images of its size.

There are a thousand, so they are not declared as models. A training can start from their weights.
"""

from __future__ import annotations

from zoo.plugin import Architecture
from zoo_timm.models import PAGE, RECIPES, Build


def own(name: str) -> Architecture:
    """timm's net of that name, whether there is one or not."""
    build = Build(name, has_own_stem=True)
    return Architecture(name, build, RECIPES, paper=PAGE, description=f"timm's {name}.", tags=("timm",))


def architecture(name: str) -> Architecture | None:
    """timm's net of that name; None where timm has none."""
    from zoo_timm.resnet import is_timms

    return own(name) if is_timms(name) else None
