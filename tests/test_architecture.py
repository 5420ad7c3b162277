"""docs/architecture.md names every package and module of the tree."""

from __future__ import annotations

import re

from .conftest import CHECKOUT
from .test_imports import LAYERS, modules, package

PAGE = (CHECKOUT / "docs" / "architecture.md").read_text()
TOP_LEVEL = {
    "blocks", "datasets", "decoding", "errors", "formats", "notebook", "options", "plain", "plugin", "plugins",
    "registry", "spec",
}  # fmt: skip


def packages_of_the_page() -> dict[str, set[str]]:
    """Each package of the page's table with the modules that it names."""
    rows = re.findall(
        r"^\| ((?:`[a-z]+(?:/|\.py)`(?:, )?)+|top-level modules) \| [^|]+ \| ([^|]*)\|$", PAGE, re.MULTILINE
    )
    named = {}
    for names, files in rows:
        for name in re.findall(r"`([a-z]+)(?:/|\.py)`", names) or ["top-level modules"]:
            named[name] = set(re.findall(r"`([a-z0-9_]+)`", files))
    return named


def test_the_page_names_every_package_and_no_other() -> None:
    packages = {package(module) for module in modules()} - {"__init__", "__main__"}
    assert set(packages_of_the_page()) == (packages - TOP_LEVEL) | {"top-level modules"}


def test_the_page_names_every_module() -> None:
    page = packages_of_the_page()
    assert page["top-level modules"] == TOP_LEVEL
    for name in ("cli", "training", "exporters", "page", "evaluation", "hub", "data", "nets", "record"):
        files = {module.partition(".")[2] for module in modules() if module.startswith(f"{name}.")}
        assert page[name] == files, name


def test_the_arrows_of_the_diagram_go_down() -> None:
    height = {name: level for level, layer in enumerate(LAYERS) for name in layer} | {"base": len(LAYERS)}
    drawn = re.findall(r"^    ([a-z& ]+) --> ([a-z& ]+?)(?:\[|$)", PAGE, re.MULTILINE)
    arrows = {(above, below) for left, right in drawn for above in left.split(" & ") for below in right.split(" & ")}
    assert len(arrows) >= 9
    assert all(height[above] < height[below] for above, below in arrows)
