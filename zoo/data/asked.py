"""Which pictures a person asks for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Asked:
    """Which pictures a person asks for, and how they are taken."""

    address: str  # KIND:REST; a declared data set's name, or nothing, where they are nobody's own
    test_part: float | None = None  # of them that are the test set, where nobody has set any apart
    skip_bad: bool = False  # leave out what can't be read
