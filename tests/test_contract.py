"""docs/plugins.md documents every field and every check."""

from __future__ import annotations

import re

import pytest

from zoo import spec, testing

from .conftest import CHECKOUT

TEXT = (CHECKOUT / "docs" / "plugins.md").read_text()


@pytest.mark.parametrize(
    "kind",
    [spec.Architecture, spec.Dataset, spec.Model, spec.Recipe, spec.Reported, spec.Renaming, spec.Deepening],
    ids=lambda kind: kind.__name__,
)
def test_every_field_is_documented(kind: type) -> None:
    section = TEXT.split(f"### {kind.__name__}\n")[1].split("\n### ")[0]
    rows = {match[1]: match[2] for match in re.finditer(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", section, re.MULTILINE)}
    assert list(rows) == [name for name in kind.__annotations__ if not name.startswith("_")]
    assert [name for name, meaning in rows.items() if not meaning.strip()] == []


def test_every_check_is_documented() -> None:
    assert set(testing.__all__) - {"learning_rates"} <= set(re.findall(r"^### (check_\w+)$", TEXT, re.MULTILINE))


def test_the_version_of_the_plugin_api_is_current() -> None:
    assert f"`require_api({spec.API})`" in TEXT
