"""Which files a record names. README.md and curve.svg are presentation: rendered from it, and edited by people."""

from __future__ import annotations

from typing import Final

from zoo.folder import store
from zoo.folder.config import Config

PRESENTATION: Final = (store.README, store.CURVE)


def published_names(record: Config) -> list[str]:
    """The files that a record names, whose hashes it has; neither config.json itself, nor presentation."""
    return [file for file in record.files if file not in PRESENTATION]
