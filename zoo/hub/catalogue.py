"""The model folders that ship with the zoo: a folder hub inside the package, `hub_cards/` in a checkout."""

from __future__ import annotations

from pathlib import Path

from zoo.hub.local import FolderHub


def catalogue() -> FolderHub:
    """The catalogue."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "hub_cards"
    return FolderHub(inside if inside.is_dir() else package.parent / "hub_cards")
