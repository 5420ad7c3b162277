"""Who declares which models: distributions with entry points of the group `zoo.models`, one per model.

Beside those a distribution may know architectures that none of its models has: an entry point of the group
`zoo.architectures`, a function from a name to an `Architecture`, or to None. It is asked for `DISTRIBUTION:NAME`
alone, by a person or by a model folder that names the distribution: a bare name is what is declared, so that a slip
of the pen imports nothing.

Names are known without importing a plugin; its module of facts is imported when a model of it is asked for,
and whatever that does then hurts nobody else. In a plain checkout where nothing is installed (torch.hub
clones one) the same declarations are read from `plugins/*/pyproject.toml`, for distributions that aren't
installed.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from typing import Any, Final

from zoo import datasets
from zoo.errors import PluginError, PluginWarning, ZooError
from zoo.spec import Architecture, Dataset, Model

GROUP: Final = "zoo.models"
ARCHITECTURES: Final = "zoo.architectures"
DISTRIBUTION: Final = "residual-zoo"
SHIPPED: Final = frozenset({"zoo-resnet-cifar", "zoo-resnet-tied", "zoo-resnet-wide", "zoo-timm"})  # with the zoo


@dataclass(frozen=True)
class Entry:
    """A claim to a model's name: where the facts are, and who makes it."""

    name: str
    value: str  # module:attribute
    distribution: str
    version: str
    folder: Path | None = None  # of a plugin that is not installed

    @property
    def package(self) -> str:
        """What is imported for it, as far as the first dot."""
        return re.split("[.:]", self.value)[0]

    def is_by(self, distribution: str) -> bool:
        """Whether that distribution makes the claim, however its name is spelled."""
        return normal(self.distribution) == normal(distribution)

    @property
    def is_shipped(self) -> bool:
        """Whether the distribution is one of the zoo's own."""
        return normal(self.distribution) in SHIPPED


@functools.cache
def declared() -> tuple[Entry, ...]:
    """Every claim to a model's name, by name; of several to one name the first is whose it is.

    That is the distribution that the zoo ships, else the first by name; the order of entry points is not stable
    by itself. Read once a process: a plugin that is installed meanwhile is there in the next.
    """
    return claims(GROUP)


def claims(group: str) -> tuple[Entry, ...]:
    """Every entry point of a group, by name; of several of one name the first is whose it is, as for models."""
    named = functools.cache(lambda of: (of.name, of.version))  # each asking parses its metadata again
    installed = [
        Entry(point.name, point.value, *named(point.dist))
        for point in entry_points(group=group)
        if point.dist is not None
    ]
    present = {normal(entry.distribution) for entry in installed}
    found: dict[tuple[str, str], Entry] = {}
    for entry in [*installed, *_declared_in_checkout(present, group)]:
        if normal(entry.distribution) not in left_out():
            found.setdefault((entry.name, normal(entry.distribution)), entry)
    return tuple(sorted(found.values(), key=lambda one: (one.name, not one.is_shipped, normal(one.distribution))))


def names(group: str, own: Iterable[str]) -> list[str]:
    """The names in a group, the zoo's own first; imports none of them."""
    known = list(own)
    return [*known, *sorted({entry.name for entry in claims(group)} - set(known))]


def only_claim(group: str, name: str, what: str) -> Entry | None:
    """The one entry point of that name in a group, None where there is none.

    Raises PluginError, which speaks of a `what` of that name, where several distributions have one.
    """
    found = [entry for entry in claims(group) if entry.name == name]
    if len(found) > 1:
        distributions = sorted(entry.distribution for entry in found)
        raise PluginError(
            f"both {' and '.join(distributions)} claim the {what} {name}; "
            f"remove one of them with: pip uninstall {distributions[-1]}"
        )
    return found[0] if found else None


def left_out() -> set[str]:
    """The distributions that ZOO_DISABLE_PLUGINS names, a comma between two."""
    return {normal(one.strip()) for one in os.environ.get("ZOO_DISABLE_PLUGINS", "").split(",") if one.strip()}


def load(entry: Entry) -> Model:
    """The facts of a declared model; imports its plugin. Raises PluginError, whatever that one does."""
    model = imported(entry, f"model {entry.name}")
    if not isinstance(model, Model) or model.name != entry.name:
        found = f"the model {model.name}" if isinstance(model, Model) else f"of the type {type(model).__name__}"
        raise PluginError(
            f"model {entry.name}: {entry.value} of plugin {entry.distribution} is {found}, "
            f"not the zoo.spec.Model of that name; mend its entry in [project.entry-points.{GROUP!r}]"
        )
    for own in vars(datasets).values():
        if isinstance(own, Dataset) and own.name == model.dataset.name and own != model.dataset:
            raise PluginError(
                f"model {entry.name}: plugin {entry.distribution} has a data set of its own by the name {own.name}, "
                "which is one of the zoo's; give it another name"
            )
    return model


def architecture(distribution: str, name: str) -> Architecture | None:
    """An architecture that a distribution knows beside those of its models, None where it knows none of that name.

    Imports what answers for it. Raises PluginError, whatever that one does.
    """
    for entry in claims(ARCHITECTURES):
        if entry.is_by(distribution):
            asked = imported(entry, f"architecture {name}")
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    found = asked(name)
            except (Exception, SystemExit) as error:
                raise failing(entry, f"architecture {name}", "can't be asked", error) from error
            if found is not None and not (isinstance(found, Architecture) and found.name == name):
                raise PluginError(
                    f"architecture {name}: {entry.value} of plugin {entry.distribution} should give the "
                    f"zoo.spec.Architecture of that name, or None; mend it"
                )
            if found is not None:
                return found
    return None


def imported(entry: Entry, what: str) -> Any:
    """What an entry point names; imports its plugin. Raises PluginError, whatever that one does, for `what`.

    What it prints meanwhile goes to stderr: stdout is for what was asked for.
    """
    if entry.folder is not None and str(entry.folder) not in sys.path:
        sys.path.append(str(entry.folder))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return EntryPoint(entry.name, entry.value, GROUP).load()
    except (Exception, SystemExit) as error:  # a plugin may fail in any way; it must not take the zoo with it
        raise failing(entry, what, "can't be imported", error) from error


def failing(entry: Entry, what: str, how: str, error: BaseException) -> PluginError:
    """The error for what a plugin did, which speaks of `what`, and says `how` it failed."""
    reason = str(error) if isinstance(error, ZooError) else f"{type(error).__name__}: {error}".splitlines()[0]
    return PluginError(
        f"{what}: plugin {entry.distribution} {how} ({reason}); "
        f"repair it, or remove it with: pip uninstall {entry.distribution}"
    )


@dataclass(frozen=True)
class Plugin:
    """What a distribution brings, as `zoo plugins` shows it."""

    distribution: str
    version: str
    models: tuple[str, ...]  # by the names that they are reached by
    import_seconds: float  # of all its modules of facts, what others had imported already left out
    shadowed: tuple[str, ...]  # the models whose bare names are another plugin's
    failed: tuple[str, ...]  # what is wrong, a line each


def survey() -> list[Plugin]:
    """Every plugin that is here, by name, each imported; who fails is told with why, and who prints on stderr."""
    owners: dict[str, Entry] = {}
    for entry in declared():
        owners.setdefault(entry.name, entry)
    found = []
    for distribution in sorted({entry.distribution for entry in declared()}, key=normal):
        own = [entry for entry in declared() if entry.is_by(distribution)]
        shadowed = tuple(entry.name for entry in own if owners[entry.name] is not entry)
        began, failed = time.perf_counter(), []
        for entry in own:
            try:
                load(entry)
            except PluginError as error:
                failed.append(str(error))
        names = tuple(f"{distribution}:{one.name}" if one.name in shadowed else one.name for one in own)
        seconds = time.perf_counter() - began
        found.append(Plugin(distribution, own[0].version, names, seconds, shadowed, tuple(dict.fromkeys(failed))))
    return found


@functools.cache
def normal(name: str) -> str:
    """A distribution's name in the one spelling that pip compares (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def checkout() -> Path | None:
    """The root of the source tree that this module runs from; None where the zoo is installed as a wheel."""
    root = Path(__file__).resolve().parent.parent
    return root if (root / "pyproject.toml").is_file() and (root / "plugins").is_dir() else None


def core_version() -> str:
    """The version of the zoo itself, also from a checkout where it is not installed."""
    root = checkout()
    return version(DISTRIBUTION) if root is None else str(_project(root)["version"])


def _declared_in_checkout(installed: set[str], group: str) -> list[Entry]:
    """A group's entries of the checkout's plugins, but for those installed; a folder is named as its distribution."""
    root = checkout()
    found = []
    for folder in sorted((root / "plugins").iterdir()) if root else []:
        if normal(folder.name) in installed or not (folder / "pyproject.toml").is_file():
            continue
        try:
            project = _project(folder)
            declared = project.get("entry-points", {}).get(group, {})
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
