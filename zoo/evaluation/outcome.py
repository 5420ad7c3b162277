"""What verifying a model has found, check by check; nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
