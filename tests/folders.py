"""Changed copies of model folders, with a consistent record."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from zoo.hub import Hub, Pushed
from zoo.hub.resolve import published
from zoo.record import store
from zoo.record.types import Trained, require_trained


def config_of(folder: Path, **fields: object) -> Path:
    """Change fields in a folder's config.json; returns the folder."""
    path = folder / store.CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return folder


def hashed(folder: Path) -> Path:
    """Update the hashes in a folder's config.json; returns the folder."""
    files = json.loads((folder / store.CONFIG).read_text())["files"]
    for name in files:
        files[name] = _entry((folder / name).read_bytes())
    return config_of(folder, files=files)


def _entry(content: bytes) -> dict[str, str | int]:
    """The entry of a file in config.json."""
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def with_file(folder: Path, name: str, content: bytes) -> Path:
    """Add a file to a folder and to its record; returns the folder."""
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    files = json.loads((folder / store.CONFIG).read_text())["files"]
    return config_of(folder, files={**files, name: _entry(content)})


def without_weights(folder: Path, address: str) -> Path:
    """Remove a folder's weights and record an address to download them from; returns the folder."""
    weights = store.read_record(folder).weights
    (folder / store.WEIGHTS).unlink()
    download = {"address": address, "file": store.WEIGHTS, "sha256": weights.sha256, "bytes": weights.bytes}
    return config_of(folder, download=download)


def trained_record(folder: Path) -> Trained:
    """Read the record of a trained model."""
    return require_trained(store.read_record(folder))


def taught_by(folder: Path, teacher: str) -> Path:
    """Record a teacher, as if the model had been distilled; returns the folder."""
    job = trained_record(folder).job
    recipe = job.recipe.replace(teacher=teacher)
    changes = {"recipe": recipe.to_json(), "teacher": {"address": teacher, "sha256": "0" * 64}}
    return config_of(folder, job={**job.to_json(), **changes}, recipe_sha256=recipe.sha256())


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a model folder, as `Hub.publish` takes them."""
    return dict(published(folder).files())


def publish(hub: Hub, folder: Path) -> Pushed:
    """Publish a model folder unchanged, under its model's name."""
    return hub.publish(store.read_record(folder).name, contents(folder))


def fetched(hub: Hub, name: str, revision: str | None = None) -> Path:
    """Fetch all files of a model from a hub, at a revision; returns their folder."""
    resolved = hub.resolve(name, revision)
    return hub.fetch(name, resolved.id, [store.CONFIG, *resolved.record.files])


def with_license(source: Path, target: Path, text: str) -> Path:
    """Copy a model folder and change its license, which makes another revision."""
    shutil.copytree(source, target)
    return config_of(target, license=text)


def flip(path: Path) -> None:
    """Change a bit near the end of a file."""
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
