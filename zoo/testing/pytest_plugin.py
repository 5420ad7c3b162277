"""A plugin of pytest: `--zoo-plugin NAME` adds a test for each check of the distribution NAME.

    pytest --zoo-plugin zoo-tiny
    pytest --zoo-plugin zoo-flowers --zoo-data DATA

pytest loads this module wherever the zoo is installed, so torch is imported only if the option is given.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.testing.distributions import Check


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two options."""
    group = parser.getgroup("zoo")
    group.addoption(
        "--zoo-plugin", action="append", default=[], metavar="NAME", help="Check everything that this plugin declares."
    )
    group.addoption(
        "--zoo-data", type=Path, default=None, metavar="FOLDER", help="The data folder. [default: ZOO_DATA]"
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the checks of the named plugins to the tests."""
    if not (distributions := config.getoption("zoo_plugin")):
        return
    from zoo.testing.distributions import checks

    for distribution in distributions:
        try:
            for check in checks(distribution, config.getoption("zoo_data")):
                items.append(PluginCheck.from_parent(session, name=f"{distribution}::{check.name}", check=check))
        except AssertionError as error:
            raise pytest.UsageError(str(error)) from None


class PluginCheck(pytest.Item):
    """A check as a test."""

    def __init__(self, *, check: Check, **kwargs: Any) -> None:  # the arguments of pytest
        super().__init__(**kwargs)
        self.check = check

    def runtest(self) -> None:
        """Run the check."""
        self.check.run()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the message in one line, or a traceback for an unexpected error."""
        return (
            str(excinfo.value)
            if excinfo.errisinstance((AssertionError, ZooError))
            else super().repr_failure(excinfo, style)
        )

    def reportinfo(self) -> tuple[Path, None, str]:
        """Return the location that pytest prints."""
        return self.path, None, self.name
