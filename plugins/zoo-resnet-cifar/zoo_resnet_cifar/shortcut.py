"""What goes past the two convolutions of a block; a fact of its own, so that naming one costs no torch."""

from __future__ import annotations

from enum import Enum


class Shortcut(Enum):
    """He et al., section 4.1, figure 3."""

    NONE = "none"  # the plain net
    A = "A"  # identity, subsampled and zero-padded where the shape changes: no parameters
    B = "B"  # identity, a 1×1 projection where the shape changes
