"""For pytest: `--zoo-plugin NAME` adds a test for everything that the distribution NAME declares.

    pytest --zoo-plugin zoo-tiny
    pytest --zoo-plugin zoo-flowers --zoo-data DATA

pytest finds this by its entry point wherever the zoo is installed, so it imports torch only with the option.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.testing.distributions import Check


def pytest_addoption(parser: pytest.Parser) -> None:
    """The two options."""
    group = parser.getgroup("zoo")
    group.addoption(
        "--zoo-plugin", action="append", default=[], metavar="NAME", help="Check all that this plugin declares."
    )
    group.addoption(
        "--zoo-data", type=Path, default=None, metavar="FOLDER", help="Where its datasets are. [default: ZOO_DATA]"
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the checks of the plugins that are named to the tests that were found."""
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
    """A check as pytest runs it."""

    def __init__(self, *, check: Check, **kwargs: Any) -> None:  # pytest's own go on to pytest
        super().__init__(**kwargs)
        self.check = check

    def runtest(self) -> None:
        """Run it."""
        self.check.run()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What is wrong, in a line; a traceback where it is no assertion."""
        return (
            str(excinfo.value)
            if excinfo.errisinstance((AssertionError, ZooError))
            else super().repr_failure(excinfo, style)
        )

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where it is from, in pytest's own words."""
        return self.path, None, self.name
