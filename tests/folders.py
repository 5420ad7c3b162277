"""Model folders changed by hand, and hashed again so that they are whole all the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from zoo.folder import store


def config_of(folder: Path, **fields: object) -> Path:
    """The same folder with these fields in its config.json."""
    path = folder / store.CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return folder


def hashed(folder: Path) -> Path:
    """The same folder, its config.json saying what its files are now."""
    files = json.loads((folder / store.CONFIG).read_text())["files"]
    for name in files:
        facts = store.file_facts((folder / name).read_bytes())
        files[name] = {"sha256": facts.sha256, "bytes": facts.bytes}
    return config_of(folder, files=files)


def with_card(source: Path, target: Path, text: str) -> Path:
    """Another whole model folder: the same weights, another card."""
    shutil.copytree(source, target)
    (target / store.README).write_text(text)
    return hashed(target)
