"""From an address to a data set: opened, looked at, parted, brought to a size."""

from __future__ import annotations

import warnings
from pathlib import Path

from zoo.data.asked import Asked
from zoo.data.kinds import open_collection
from zoo.data.look import Tell
from zoo.data.prepare import prepare
from zoo.data.prepared import margin
from zoo.data.survey import Survey, require_usable, survey
from zoo.errors import DataError, DataWarning
from zoo.record.types import Record, Trained
from zoo.spec import FEW, Dataset, Recipe

LARGEST = 256  # pixels a side that pictures are left at where all of them have it
USUAL = 64  # pixels a side where nobody says any and pictures differ


def surveyed(asked: Asked, root: Path, tell: Tell) -> Survey:
    """What is at an address, whether it can be trained on or not; raises DataError, PluginError."""
    return survey(open_collection(asked.address, root), asked, tell)


def opened(asked: Asked, recipe: Recipe, root: Path, tell: Tell, *, size: int | None = None) -> Dataset:
    """The data set at an address for a recipe, its pictures brought to that one's size.

    That is the recipe's `img_size`, else `size`, that of the weights to start from, else the pictures' own where all
    are squares of one size up to 256, else 64. Raises DataError for what can't be trained on, PluginError.
    """
    found = surveyed(asked, root, tell)
    require_usable(found, asked)
    if few := found.few:
        more = f" and {len(few) - 1} more" if len(few) > 1 else ""
        warnings.warn(
            DataWarning(
                f"{asked.address} has fewer than {FEW} test pictures of {few[0]}{more}: "
                "what is measured on so few says little"
            ),
            stacklevel=2,
        )
    side = recipe.img_size or size or _own_size(found) or USUAL
    return prepare(found, side, margin(recipe, side), tell)


def opened_again(asked: Asked, config: Record, root: Path, tell: Tell) -> None:
    """Prepare the pictures that a model was trained on, of which its folder has only the hash, from where they are.

    Raises DataError where others are there.
    """
    if not isinstance(config, Trained) or config.pictures is None:
        raise DataError(f"{config.name} was trained on the data set {config.dataset}; leave out {asked.address}")
    wanted = config.pictures
    part = asked.test_part if asked.test_part is not None else wanted.test_part
    asked = Asked(asked.address, part, skip_bad=asked.skip_bad or wanted.skipped > 0)
    found = surveyed(asked, root, tell)
    if found.pictures.sha256 != wanted.sha256:
        raise DataError(
            f"{asked.address} has other pictures than {config.name} was trained on: their SHA-256 is "
            f"{found.pictures.sha256[:12]}…, expected {wanted.sha256[:12]}…; name the folder as it was then"
        )
    side = config.input_size[1]
    prepare(found, side, margin(config.job.recipe, side), tell)


def _own_size(found: Survey) -> int | None:
    size = found.common_size
    return size[0] if size is not None and size[0] == size[1] <= LARGEST else None
