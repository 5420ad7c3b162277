"""The page about the architecture, held to the tree."""

from __future__ import annotations

import re

from .conftest import CHECKOUT
from .test_imports import FLOORS, modules, room

PAGE = (CHECKOUT / "docs" / "architecture.md").read_text()
GROUND = {"blocks", "plugin", "registry", "formats", "datasets", "spec", "schema", "errors", "plain", "plugins"}


def rooms_of_the_page() -> dict[str, set[str]]:
    """Each room of the page's table with the files that it names."""
    rows = re.findall(r"^\| ((?:`[a-z]+(?:/|\.py)`(?:, )?)+|the ground) \| [^|]+ \| ([^|]*) \|$", PAGE, re.MULTILINE)
    named = {}
    for names, files in rows:
        for name in re.findall(r"`([a-z]+)(?:/|\.py)`", names) or ["the ground"]:
            named[name] = set(re.findall(r"`([a-z0-9_]+)`", files))
    return named


def test_it_names_every_room_and_no_other() -> None:
    rooms = {room(module) for module in modules()} - {"__init__", "__main__"}
    assert set(rooms_of_the_page()) == (rooms - GROUND) | {"the ground"}


def test_it_names_every_file_of_the_rooms() -> None:
    page = rooms_of_the_page()
    assert page["the ground"] == GROUND
    for name in ("cli", "training", "exporters", "page", "evaluation", "hub", "data", "nets", "folder"):
        files = {module.partition(".")[2] for module in modules() if module.startswith(f"{name}.")}
        assert page[name] == files, name


def test_its_picture_has_the_arrows_downwards() -> None:
    height = {name: level for level, floor in enumerate(FLOORS) for name in floor} | {"ground": len(FLOORS)}
    drawn = re.findall(r"^    ([a-z& ]+) --> ([a-z& ]+?)(?:\[|$)", PAGE, re.MULTILINE)
    arrows = {(above, below) for left, right in drawn for above in left.split(" & ") for below in right.split(" & ")}
    assert len(arrows) >= 9
    assert all(height[above] < height[below] for above, below in arrows)
