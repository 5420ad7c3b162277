"""The result of verifying a model; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["as published", "differs", "not measured"]


@dataclass(frozen=True)
class Check:
    """A property of a model that was compared with its record."""

    name: str
    outcome: Outcome
    finding: str


@dataclass(frozen=True)
class Verified:
    """The result of verifying a model, check by check."""

    name: str
    checks: tuple[Check, ...]

    @property
    def outcome(self) -> Outcome:
        """The outcome of all checks: "differs" where any differs, else "not measured" where any was not made."""
        outcomes = {check.outcome for check in self.checks}
        return "differs" if "differs" in outcomes else "not measured" if "not measured" in outcomes else "as published"

    @property
    def differences(self) -> tuple[str, ...]:
        """The findings of the checks that differ, a line each."""
        return tuple(check.finding for check in self.checks if check.outcome == "differs")

    @property
    def not_measured(self) -> tuple[str, ...]:
        """The names of the checks that could not be made."""
        return tuple(check.name for check in self.checks if check.outcome == "not measured")
