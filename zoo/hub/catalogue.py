"""The catalogue: the model folders that ship with the zoo, in `zoo/hub_cards` or in a checkout in `hub_cards`.

hub_cards/NAME/       a model folder; without `.revisions`, because git keeps the history
hub_cards/ids.json    the id of each model by name; generated, and checked in an installed package
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.hub.local import FolderHub


def catalogue() -> FolderHub:
    """Open the catalogue."""
    from zoo.hub.local import FolderHub

    return FolderHub(_path(), _ids())


def variants(name: str) -> list[str]:
    """Return the names of the imported weights for a model, `NAME.TAG`, in the catalogue."""
    return sorted(path.parent.name for path in _path().glob(f"{name}.*/config.json"))


def _path() -> Path:
    return _inside() if _inside().is_dir() else _inside().parent.parent / "hub_cards"


def _ids() -> dict[str, str] | None:
    """The ids of the models in an installed package, by name; None in a checkout."""
    from zoo.hub.local import IDS

    if not _inside().is_dir():
        return None
    try:
        return dict(json.loads((_inside() / IDS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}  # then no model has the expected id


def _inside() -> Path:
    """The folder of the catalogue in an installed package."""
    return Path(__file__).resolve().parent.parent / "hub_cards"
