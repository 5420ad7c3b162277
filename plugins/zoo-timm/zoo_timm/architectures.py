"""Every net of timm as an architecture, with timm's stem.

timm has more than a thousand, so they are not declared as models. A training can start from their weights.
"""

from __future__ import annotations

from zoo.plugin import Architecture
from zoo_timm.models import PAGE, RECIPES, Build


def architecture_of(name: str) -> Architecture:
    """Describe a net of timm. The name is not checked.

    Args:
        name: The name in timm's registry, without a tag.

    Returns:
        The architecture, which imports timm when it builds a net.
    """
    build = Build(name, keeps_stem=True)
    return Architecture(name, build, RECIPES, paper=PAGE, description=f"timm's {name}.", tags=("timm",))


def architecture(name: str) -> Architecture | None:
    """Find a net of timm by name. Imports timm.

    Args:
        name: The name in timm's registry, without a tag.

    Returns:
        The architecture, or None if timm has no such net.
    """
    from zoo_timm.resnet import is_in_timm

    return architecture_of(name) if is_in_timm(name) else None
