"""The result of verifying a model. This module does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["as published", "differs", "not measured"]


@dataclass(frozen=True)
class Check:
    """The comparison of a property of a model with its record."""

    name: str
    outcome: Outcome
    finding: str


@dataclass(frozen=True)
class Verified:
    """The result of verifying a model: its name and all checks."""

    name: str
    checks: tuple[Check, ...]

    @property
    def outcome(self) -> Outcome:
        """The outcome of all checks: "differs" if any differs, else "not measured" if any was not measured."""
        outcomes = {check.outcome for check in self.checks}
        return "differs" if "differs" in outcomes else "not measured" if "not measured" in outcomes else "as published"

    @property
    def differences(self) -> tuple[str, ...]:
        """The findings of the checks that differ."""
        return tuple(check.finding for check in self.checks if check.outcome == "differs")

    @property
    def not_measured(self) -> tuple[str, ...]:
        """The names of the checks that were not measured."""
        return tuple(check.name for check in self.checks if check.outcome == "not measured")
