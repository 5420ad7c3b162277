"""Names to models: entry points of the group `zoo.models`, one per model.

Names are known without importing a plugin; a plugin's module of facts is imported when its model
is asked for. Architectures and data sets are those of the declared models, and any two of them can be
joined to one that nobody declares. In a plain checkout where nothing is installed (torch.hub clones one)
the same declarations are read from `plugins/*/pyproject.toml`, for distributions that aren't installed.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from typing import Any

from zoo import datasets
from zoo.errors import DuplicateModel, PluginError, PluginWarning, UnknownModel, ZooError
from zoo.spec import Architecture, Dataset, Model

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


@functools.cache
def entries() -> Mapping[str, Entry]:
    """Every declared model by name, sorted; raises DuplicateModel where two plugins claim one.

    Read once a process: a plugin that is installed meanwhile is there in the next.
    """
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

    An architecture and a data set that are both declared give a name also where no plugin declares the pair.
    Raises UnknownModel, with close names, where there is none.
    """
    known = entries()
    if name in known and dataset is None:
        return name
    models = _models_of(name, known)
    if dataset is not None:
        bare = name if models else load(name).architecture.name
        full = f"{bare}_{dataset}"
        return full if full in known else f"{bare}_{_dataset(dataset, known).name}"
    if not models:
        return load(name).name
    chosen = models if len(models) == 1 else [model for model in models if model.default]
    if len(chosen) != 1:
        sets = ", ".join([model.dataset.name for model in models[:5]] + ["…"] * (len(models) > 5))
        raise UnknownModel(f"{name} has no default data set; choose one of {sets} with --dataset")
    return chosen[0].name


def load(name: str) -> Model:
    """The facts of the model of that full name; imports its plugin, not torch.

    Raises UnknownModel, or PluginError where the plugin can't be imported.
    """
    known = entries()
    if name in known:
        return _load(known[name])
    parts = name.split("_")
    for end in range(len(parts) - 1, 0, -1):
        with contextlib.suppress(UnknownModel):
            return join(architecture("_".join(parts[:end])), _dataset("_".join(parts[end:]), known))
    raise UnknownModel(_unknown("model", name, {one.rpartition("_")[0] for one in known} | known.keys()))


def architecture(name: str) -> Architecture:
    """The architecture of that name, as the declared models have it; imports only plugins that may declare one.

    Raises UnknownModel, DuplicateModel where two distributions have different nets of that name, or
    PluginError where what may declare it can't be imported.
    """
    known = entries()
    models = _models_of(name, known)
    if not models:
        raise UnknownModel(_unknown("architecture", name, {one.rpartition("_")[0] for one in known}))
    first = models[0]
    for other in models[1:]:
        one, another = known[first.name].distribution, known[other.name].distribution
        if one != another and first.architecture != other.architecture:
            raise DuplicateModel(
                f"both {one} and {another} claim the architecture name {name}, for different nets; "
                f"remove one of them with: pip uninstall {another}"
            )
    return first.architecture


def dataset(name: str) -> Dataset:
    """The data set of that name: one of the zoo's own, or one that a declared model is on.

    Imports only plugins that may declare it. Raises UnknownModel where none does.
    """
    return _dataset(name, entries())


def join(architecture: Architecture, dataset: Dataset) -> Model:
    """The declared model of the two; where none is declared one whose parameters nobody has counted."""
    joined, known = Model(architecture, dataset, parameters=None), entries()
    if joined.name in known:
        declared = _load(known[joined.name])
        if (declared.architecture, declared.dataset) == (architecture, dataset):
            return declared
    return joined


def provided() -> set[str]:
    """The architectures that declared models are named by, as far as a name tells; imports no plugin."""
    parts = (name.split("_") for name in entries())
    return {"_".join(one[:end]) for one in parts for end in range(1, len(one))}


def provider(architecture: Architecture) -> str:
    """The distribution that an architecture is from, and its version; its package where no plugin declares it."""
    known, package = entries(), architecture.build.__module__.partition(".")[0]
    declared = [known[one.name] for one in _models_of(architecture.name, known) if one.architecture == architecture]
    # Not the first: a plugin may put another one's architecture on a data set of its own.
    entry = min(declared, key=lambda one: re.split("[.:]", one.value)[0] != package, default=None)
    return f"{entry.distribution} {entry.version}" if entry else package


def load_all(declared: Iterable[Entry]) -> list[Model]:
    """The facts of several models; a plugin that can't be used is passed over with one PluginWarning."""
    models, failed = _loaded(declared)
    for error in failed:
        warnings.warn(PluginWarning(str(error)), stacklevel=2)
    return models


def _models_of(architecture: str, known: Mapping[str, Entry]) -> list[Model]:
    """The declared models of an architecture; a plugin that can't be used matters where it may be the only one."""
    models, failed = _loaded(entry for name, entry in known.items() if name.startswith(f"{architecture}_"))
    models = [model for model in models if model.architecture.name == architecture]
    if failed and not models:
        raise failed[0]
    for error in failed:
        warnings.warn(PluginWarning(str(error)), stacklevel=3)
    return models


def _dataset(name: str, known: Mapping[str, Entry]) -> Dataset:
    for own in vars(datasets).values():
        if isinstance(own, Dataset) and own.name == name:
            return own
    for model in load_all(entry for one, entry in known.items() if one.endswith(f"_{name}")):
        if model.dataset.name == name:
            return model.dataset
    raise UnknownModel(_unknown("data set", name, {one.rpartition("_")[2] for one in known}))


def _loaded(declared: Iterable[Entry]) -> tuple[list[Model], list[PluginError]]:
    """The models that can be loaded, and the first error of every distribution with one that can't."""
    models: list[Model] = []
    failed: dict[str, PluginError] = {}
    for entry in declared:
        try:
            models.append(_load(entry))
        except PluginError as error:
            failed.setdefault(entry.distribution, error)
    return models, list(failed.values())


def _load(entry: Entry) -> Model:
    if entry.folder is not None and str(entry.folder) not in sys.path:
        sys.path.append(str(entry.folder))
    try:
        model = EntryPoint(entry.name, entry.value, GROUP).load()
    except Exception as error:  # a plugin may fail in any way; it must not take the zoo with it
        reason = str(error) if isinstance(error, ZooError) else f"{type(error).__name__}: {error}".splitlines()[0]
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


@functools.cache
def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def close_to(name: str, known: Iterable[str]) -> list[str]:
    """Up to three names like that one, closest first, among however many."""
    import difflib

    # It takes its time with each, so it sees only the hundred that share the most pairs of characters.
    pairs = {name[start : start + 2] for start in range(max(1, len(name) - 1))}
    likely = heapq.nlargest(100, sorted(known), key=lambda one: sum(map(one.__contains__, pairs)))
    return difflib.get_close_matches(name, likely, n=3, cutoff=0.6)


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    close = close_to(name, known)
    hint = f"did you mean {' or '.join(close)}?" if close else "no plugin provides it"
    asked = name if len(name) <= 100 else f"{name[:100]}…"
    return f"there is no {what} {asked!r}; {hint} (zoo list shows all)"
