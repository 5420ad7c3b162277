"""Into a hub, and out of one."""

from __future__ import annotations

from pathlib import Path

from zoo.errors import FolderError, HubError
from zoo.folder import store
from zoo.folder.lock import alone
from zoo.folder.replace import written_aside
from zoo.hub.protocol import Pinning, Pushed
from zoo.hub.published import Published
from zoo.hub.schemes import open_hub


def push(folder: Path, *, hub: str | None = None, weights_at: str | None = None) -> Pushed:
    """Publish a model folder under its model's name; raises FolderError or HubError.

    With `weights_at`, another hub, the weights are published there (the same bytes again change
    nothing), and `hub`, a folder as the catalogue is one, gets everything but them: their place,
    revision and hash instead.
    """
    config = store.check(folder)
    target = open_hub(hub)
    target.require_writable(config.name)
    if weights_at is None:
        return target.push(folder, config.name)
    if not isinstance(target, Pinning):
        raise HubError(
            f"only a folder can leave weights elsewhere, {target.address} has to have them; leave out {weights_at}"
        )
    elsewhere = open_hub(weights_at)
    elsewhere.require_writable(config.name)
    return target.push_pinned(folder, config.name, elsewhere.push(folder, config.name))


def copy(model: Published, out: Path | None = None) -> Path:
    """Copy a published model folder, whole and hash checked, to `out` (`./NAME`); nothing where it is there already.

    Raises FolderError or HubError.
    """
    target = out or Path(model.config.name)
    with alone(target):
        if target.is_symlink() or target.exists():
            if not _is(target, model):
                raise FolderError(f"{target} is there already; remove it or name another folder with --out")
            return target
        with written_aside(target) as aside:
            store.copy_files(model.folder, aside)
    return target


def _is(folder: Path, model: Published) -> bool:
    """Whether a folder is that model's, whole."""
    try:
        return store.check(folder) == model.config and store.identity(folder) == store.identity(model.folder)
    except FolderError:
        return False
