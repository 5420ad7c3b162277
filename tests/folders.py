"""Model folders changed by hand, and hashed again so that they are whole all the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from zoo.hub import Hub, Pushed
from zoo.hub.resolve import published
from zoo.record import store
from zoo.record.types import Trained, require_trained


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


def without_weights(folder: Path, address: str) -> Path:
    """The same folder without its weights, which can be fetched at that address."""
    weights = store.read_record(folder).weights
    (folder / store.WEIGHTS).unlink()
    download = {"address": address, "file": store.WEIGHTS, "sha256": weights.sha256, "bytes": weights.bytes}
    return config_of(folder, download=download)


def with_card(source: Path, target: Path, text: str) -> Path:
    """Another whole model folder: the same weights, another card, another paper in the record."""
    shutil.copytree(source, target)
    (target / store.README).write_text(text)
    return config_of(target, paper=text)


def trained_record(folder: Path) -> Trained:
    """Read the record of a trained model."""
    return require_trained(store.read_record(folder))


def taught_by(folder: Path, teacher: str) -> Path:
    """The same folder, as if it had been distilled."""
    job = trained_record(folder).job
    recipe = job.recipe.replace(teacher=teacher)
    changes = {"recipe": recipe.to_json(), "teacher": {"address": teacher, "sha256": "0" * 64}}
    return config_of(folder, job={**job.to_json(), **changes}, recipe_sha256=recipe.sha256())


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a model folder, as a hub is given them."""
    return dict(published(folder).files())


def publish(hub: Hub, folder: Path) -> Pushed:
    """Put a model folder into a hub as it is, under its model's name."""
    return hub.publish(store.read_record(folder).name, contents(folder))


def fetched(hub: Hub, name: str, revision: str | None = None) -> Path:
    """A folder with the files of a model in a hub, at a revision."""
    resolved = hub.resolve(name, revision)
    return hub.fetch(name, resolved.id, [store.CONFIG, *resolved.record.files])


def of_licence(source: Path, target: Path, text: str) -> Path:
    """Another whole model folder: the same weights under another license, which is another revision."""
    shutil.copytree(source, target)
    return config_of(target, license=text)


def flip(path: Path) -> None:
    """Change a bit near the end of a file."""
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
