"""Names to models: entry points of the group `zoo.models`, one per model.

Names are known without importing a plugin; a plugin's module of facts is imported when its model
is asked for. In a plain checkout where nothing is installed (torch.hub clones one) the same
declarations are read from `plugins/*/pyproject.toml`, for distributions that aren't installed.
"""

from __future__ import annotations

import functools
import re
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from typing import Any

from zoo.errors import DuplicateModel, PluginError, PluginWarning, UnknownModel
from zoo.spec import Model

GROUP = "zoo.models"
DISTRIBUTION = "residual-zoo"


@dataclass(frozen=True)
class Entry:
    """A declared model: its name, where its facts are, and who declares it."""

    name: str
    value: str  # module:attribute
    distribution: str
    version: str
    folder: Path | None = None  # of a plugin that is not installed


def entries() -> dict[str, Entry]:
    """Every declared model by name, sorted; raises DuplicateModel where two plugins claim one."""
    named = functools.cache(lambda of: (of.name, of.version))  # each asking parses its metadata again
    installed = [
        Entry(point.name, point.value, *named(point.dist))
        for point in entry_points(group=GROUP)
        if point.dist is not None
    ]
    present = {_normal(entry.distribution) for entry in installed}
    return _by_name([*installed, *_declared_in_checkout(present)])


def resolve(name: str, dataset: str | None = None) -> str:
    """The full name of a model: `resnet32` on `cifar100`, or on its default data set where none is named.

    Raises UnknownModel, with close names, where there is none.
    """
    known = entries()
    if name in known:
        model = _load(known[name])
        if dataset in (None, model.dataset.name):
            return name
        name = model.architecture
    if dataset is not None:
        if (wanted := f"{name}_{dataset}") in known:
            return wanted
        raise UnknownModel(_unknown(wanted, known))
    candidates = [_load(entry) for one, entry in known.items() if one.startswith(f"{name}_")]
    models = [model for model in candidates if model.architecture == name]
    chosen = models if len(models) == 1 else [model for model in models if model.default]
    if len(chosen) == 1:
        return chosen[0].name
    if models:
        sets = ", ".join(model.dataset.name for model in models)
        raise UnknownModel(f"{name} has no default data set; choose one of {sets} with --dataset")
    raise UnknownModel(_unknown(name, known))


def load(name: str) -> Model:
    """The facts of the model of that full name; imports its plugin, not torch.

    Raises UnknownModel, or PluginError where the plugin can't be imported.
    """
    known = entries()
    if name not in known:
        raise UnknownModel(_unknown(name, known))
    return _load(known[name])


def load_all(declared: Iterable[Entry]) -> list[Model]:
    """The facts of several models; a plugin that can't be used is passed over with one PluginWarning."""
    models: list[Model] = []
    failed: dict[str, str] = {}
    for entry in declared:
        try:
            models.append(_load(entry))
        except PluginError as error:
            failed.setdefault(entry.distribution, str(error))
    for message in failed.values():
        warnings.warn(PluginWarning(message), stacklevel=2)
    return models


def _load(entry: Entry) -> Model:
    if entry.folder is not None and str(entry.folder) not in sys.path:
        sys.path.append(str(entry.folder))
    try:
        model = EntryPoint(entry.name, entry.value, GROUP).load()
    except Exception as error:  # a plugin may fail in any way; it must not take the zoo with it
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise PluginError(
            f"model {entry.name}: plugin {entry.distribution} can't be imported ({reason}); "
            f"repair it, or remove it with: pip uninstall {entry.distribution}"
        ) from error
    if not isinstance(model, Model) or model.name != entry.name:
        found = f"the model {model.name}" if isinstance(model, Model) else f"a {type(model).__name__}"
        raise PluginError(
            f"model {entry.name}: {entry.value} of plugin {entry.distribution} is {found}, "
            f"not the zoo.spec.Model of that name; mend its entry in [project.entry-points.{GROUP!r}]"
        )
    return model


def checkout() -> Path | None:
    """The root of the source tree that this module runs from; None where the zoo is installed as a wheel."""
    root = Path(__file__).resolve().parent.parent
    return root if (root / "pyproject.toml").is_file() and (root / "plugins").is_dir() else None


def core_version() -> str:
    """The version of the zoo itself, also from a checkout where it is not installed."""
    root = checkout()
    return version(DISTRIBUTION) if root is None else str(_project(root)["version"])


def _declared_in_checkout(installed: set[str]) -> list[Entry]:
    """The models of the checkout's plugins, but for those installed; a folder is named as its distribution."""
    root = checkout()
    found = []
    for folder in sorted((root / "plugins").iterdir()) if root else []:
        if _normal(folder.name) in installed or not (folder / "pyproject.toml").is_file():
            continue
        try:
            project = _project(folder)
            declared = project.get("entry-points", {}).get(GROUP, {})
            found += [
                Entry(name, value, project["name"], project["version"], folder) for name, value in declared.items()
            ]
        except (ValueError, KeyError) as error:
            warnings.warn(PluginWarning(f"{folder} declares no plugin: {error!r}"), stacklevel=3)
    return found


def _project(folder: Path) -> dict[str, Any]:
    import tomllib

    project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return project


def _by_name(declared: list[Entry]) -> dict[str, Entry]:
    """Sort and refuse two claims to one name; the order of entry points is not stable by itself."""
    known: dict[str, Entry] = {}
    for entry in sorted(declared, key=lambda one: (one.name, one.distribution)):
        first = known.setdefault(entry.name, entry)
        if _normal(first.distribution) != _normal(entry.distribution):
            raise DuplicateModel(
                f"both {first.distribution} and {entry.distribution} claim the model name {entry.name}; "
                f"remove one of them with: pip uninstall {entry.distribution}"
            )
    return known


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _unknown(name: str, known: dict[str, Entry]) -> str:
    import difflib

    architectures = {one.rpartition("_")[0] for one in known}
    close = difflib.get_close_matches(name, sorted(architectures | known.keys()), n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(close)}?" if close else "no plugin provides it"
    return f"there is no model {name!r}; {hint} (zoo list shows all)"
