"""The model folders that ship with the zoo: a folder hub inside the package, `hub_cards/` in a checkout.

hub_cards/NAME/       a model folder; git keeps its history, so there are no `.revisions`
hub_cards/ids.json    every model's id by its name; generated, and compared with in an installed package
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import HubWarning
from zoo.spec import NAME

if TYPE_CHECKING:
    from zoo.hub.local import FolderHub


def catalogue() -> FolderHub:
    """The catalogue."""
    from zoo.hub.local import FolderHub

    return FolderHub(_path(), _ids())


@dataclass(frozen=True)
class Shipped:
    """What a listing shows of a model in the catalogue."""

    test_top1: float | None  # percent; None where nobody has measured it
    license: str
    claim: float | None  # percent, by the author of imported weights that nobody has measured


def shipped() -> dict[str, Shipped]:
    """The models of the catalogue by name, variants too; reads no other fact of theirs.

    What is damaged is passed over with a warning.
    """
    found = {}
    for path in sorted(_path().glob("*/config.json")):
        if not NAME.fullmatch(path.parent.name):
            continue
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            if facts["name"] != path.parent.name:
                raise ValueError(f"it is that of {facts['name']}")
            top1 = None if facts["results"] is None else float(facts["results"]["test_top1"])
            stated = facts["source"]["claim"] if top1 is None else None
            claim = None if stated is None else float(stated["test_top1"])
            found[path.parent.name] = Shipped(top1, str(facts["license"]), claim)
        except (OSError, ValueError, LookupError, TypeError) as error:
            message = f"{path} is not a model's ({error!r}); fetch or train the model again"
            warnings.warn(HubWarning(message), stacklevel=2)
    return found


def variants(name: str) -> list[str]:
    """The names of other people's weights for a model, `NAME.TAG`, that the catalogue has."""
    return sorted(path.parent.name for path in _path().glob(f"{name}.*/config.json"))


def _path() -> Path:
    return _inside() if _inside().is_dir() else _inside().parent.parent / "hub_cards"


def _ids() -> dict[str, str] | None:
    """The ids of the models that came with an installed package, by name; None in a checkout."""
    from zoo.hub.local import IDS

    if not _inside().is_dir():
        return None
    try:
        return dict(json.loads((_inside() / IDS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}  # and no model is the one that it should be


def _inside() -> Path:
    """Where the catalogue is in an installed package."""
    return Path(__file__).resolve().parent.parent / "hub_cards"
