"""The model folders that ship with the zoo: a folder hub inside the package, `hub_cards/` in a checkout."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import HubWarning
from zoo.spec import NAME

if TYPE_CHECKING:
    from zoo.hub.local import FolderHub


def catalogue() -> FolderHub:
    """The catalogue."""
    from zoo.hub.local import FolderHub

    return FolderHub(_path())


def top1() -> dict[str, float]:
    """The models of the catalogue by name, and their test top-1 in percent; reads no other fact of theirs.

    What is damaged is passed over with a warning.
    """
    found = {}
    for path in sorted(_path().glob("*/config.json")):
        if not NAME.fullmatch(path.parent.name):
            continue
        try:
            found[path.parent.name] = float(json.loads(path.read_text(encoding="utf-8"))["results"]["test_top1"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            message = f"{path} is not a model's ({error!r}); fetch or train the model again"
            warnings.warn(HubWarning(message), stacklevel=2)
    return found


def _path() -> Path:
    package = Path(__file__).resolve().parent.parent
    inside = package / "hub_cards"
    return inside if inside.is_dir() else package.parent / "hub_cards"
