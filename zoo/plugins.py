"""Plugins: the entry points of installed distributions, and the loader for all their groups.

A plugin is imported when a member is used, and an error in it affects nothing else. If several distributions declare a
name, one that ships with the zoo wins, else the first by distribution name; a PluginWarning names both.

In a source checkout (torch.hub clones one) the plugins in `plugins/` need not be installed: their entry points are then
read from `plugins/*/pyproject.toml`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import Distribution, EntryPoint, distributions, metadata, version
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from zoo import datasets
from zoo.errors import PluginError, PluginWarning, ZooError, did_you_mean
from zoo.spec import Architecture, Model

ARCHITECTURES: Final = "zoo.architectures"  # functions from a name to an Architecture, or to None
GROUPS: Final = (
    "zoo.models", ARCHITECTURES, "zoo.datasets", "zoo.hubs", "zoo.exporters", "zoo.reports", "zoo.formats",
)  # fmt: skip
DISTRIBUTION: Final = "residual-zoo"
SHIPPED: Final = frozenset(  # with the zoo
    {"zoo-hf-datasets", "zoo-resnet-cifar", "zoo-resnet-tied", "zoo-resnet-wide", "zoo-timm"}
)

T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """An entry point of a distribution."""

    name: str
    value: str  # module:attribute
    distribution: str
    version: str
    folder: Path | None = None  # of a plugin that is not installed

    @property
    def package(self) -> str:
        """The package that contains the value."""
        return re.split("[.:]", self.value)[0]

    def is_by(self, distribution: str) -> bool:
        """Whether it belongs to a distribution, in any spelling of its name."""
        return normal(self.distribution) == normal(distribution)

    @property
    def is_shipped(self) -> bool:
        """Whether the distribution ships with the zoo."""
        return normal(self.distribution) in SHIPPED


@dataclass(frozen=True)
class Group(Generic[T]):
    """A kind of plugin: a group of entry points."""

    name: str  # of the group: "zoo.exporters"
    what: str  # the kind, in messages: "export format"
    expected: str  # the value of an entry point, in messages
    accepts: Callable[[object, str], bool] = lambda value, _: callable(value)  # whether a value and its name are valid
    own: Mapping[str, str] = field(default_factory=dict)  # the zoo's members, module:attribute by name
    unknown: type[ZooError] = PluginError  # raised for an unknown name

    def names(self) -> list[str]:
        """Return the names of all members, the zoo's own first; imports no plugin."""
        return [*self.own, *sorted({entry.name for entry in claims(self.name)} - self.own.keys())]

    def entry(self, name: str) -> Entry | None:
        """Return the entry point of that name; None if no plugin declares it."""
        return owners((entry for entry in claims(self.name) if entry.name == name), self.what).get(name)

    def load(self, name: str) -> T:
        """Import a member.

        Args:
            name: The name of an entry point, or of one of the zoo's own members.

        Returns:
            The member.

        Raises:
            ZooError: The error `unknown`: there is no member of that name.
            PluginError: The plugin can't be imported, or the value has another type.
        """
        if name in self.own:
            own: T = EntryPoint(name, self.own[name], self.name).load()
            return own
        entry = self.entry(name)
        if entry is None:
            names = self.names()
            hint = did_you_mean(name, names, f"expected one of {', '.join(names) or 'none'}")
            raise self.unknown(f"there is no {self.what} {name[:100]!r}; {hint}")
        return self.loaded(entry)

    def loaded(self, entry: Entry) -> T:
        """Import the value of an entry point of this group; raises PluginError."""
        value = imported(entry, f"{self.what} {entry.name}")
        if not self.accepts(value, entry.name):
            raise PluginError(
                f"{self.what} {entry.name}: {entry.value} of plugin {entry.distribution} is of the type "
                f"{type(value).__name__}, expected {self.expected}; correct its entry in "
                f"[project.entry-points.{self.name!r}]"
            )
        member: T = value
        return member

    @contextlib.contextmanager
    def guarded(self, name: str, *, passes: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """Turn errors of a plugin's member into a PluginError.

        Args:
            name: The name of the member.
            passes: Types of errors that are not changed, besides ZooError.
        """
        try:
            yield
        except (Exception, SystemExit) as error:
            entry = None if name in self.own or isinstance(error, (ZooError, *passes)) else self.entry(name)
            if entry is None:
                raise
            raise failing(entry, f"{self.what} {name}", "fails", error) from error


MODELS: Final = Group[Model](
    "zoo.models",
    "model",
    "the zoo.plugin.Model of that name",
    lambda value, name: isinstance(value, Model) and value.name == name,
)


@functools.cache
def declared() -> tuple[Entry, ...]:
    """Return the entry points of all models, sorted by name; read once per process."""
    return claims(MODELS.name)


def claims(group: str) -> tuple[Entry, ...]:
    """Return the entry points of a group, sorted by name; the first of several with one name is used."""
    entries = installed()[group]
    present = {normal(entry.distribution) for entry in entries}
    disabled = {normal(name.strip()) for name in os.environ.get("ZOO_DISABLE_PLUGINS", "").split(",")}
    unique: dict[tuple[str, bool, str], Entry] = {}
    for entry in [*entries, *_declared_in_checkout(present, group)]:
        distribution = normal(entry.distribution)
        if distribution not in disabled:
            unique.setdefault((entry.name, not entry.is_shipped, distribution), entry)
    return tuple(unique[key] for key in sorted(unique))


def owners(entries: Iterable[Entry], what: str) -> dict[str, Entry]:
    """Return the first entry point of each name, with a PluginWarning for names of two distributions."""
    first: dict[str, Entry] = {}
    collisions: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        owner = first.setdefault(entry.name, entry)
        if owner is not entry:
            collisions.setdefault((owner.distribution, entry.distribution), []).append(entry.name)
    for (owner_name, other), names in collisions.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        warn_of_collision(owner_name, other, f"{what} name {names[0]}{more}")
    return first


def warn_of_collision(owner: str, other: str, claimed: str) -> None:
    """Warn that two distributions declare the same name."""
    warnings.warn(
        PluginWarning(
            f"both {owner} and {other} declare the {claimed}; that of {owner} is used "
            f"(ZOO_DISABLE_PLUGINS={owner} disables it)"
        ),
        stacklevel=3,
    )


def load(entry: Entry) -> Model:
    """Import a declared model; raises PluginError."""
    model = MODELS.loaded(entry)
    own = datasets.OWN.get(model.dataset.name, model.dataset)
    if own is not model.dataset and own != model.dataset:
        raise PluginError(
            f"model {entry.name}: plugin {entry.distribution} has a dataset with the name {own.name}, which the zoo's "
            "own dataset has; rename it"
        )
    return model


def architecture(distribution: str, name: str) -> Architecture | None:
    """Return an architecture from a distribution's entry points of the group `zoo.architectures`.

    Args:
        distribution: The distribution, which is imported.
        name: The name of the architecture.

    Returns:
        The architecture; None if the distribution does not have it.

    Raises:
        PluginError: The plugin fails, or returns another value.
    """
    for entry in claims(ARCHITECTURES):
        if entry.is_by(distribution):
            function = imported(entry, f"architecture {name}")
            try:
                architecture = function(name)
            except (Exception, SystemExit) as error:
                raise failing(entry, f"architecture {name}", "fails", error) from error
            if isinstance(architecture, Architecture) and architecture.name == name:
                return architecture
            if architecture is not None:
                raise PluginError(
                    f"architecture {name}: {entry.value} of plugin {entry.distribution} should return the "
                    "zoo.plugin.Architecture of that name, or None; correct it"
                )
    return None


def imported(entry: Entry, what: str) -> Any:
    """Import the value of an entry point.

    Args:
        entry: The entry point.
        what: The kind and name of the value, for the error.

    Raises:
        PluginError: The import fails.
    """
    if entry.folder is not None and str(entry.folder) not in sys.path:
        sys.path.append(str(entry.folder))
    try:
        module, _, attribute = entry.value.partition(":")
        if module in sys.modules and attribute.isidentifier():  # EntryPoint.load is slow for ten thousand models
            return getattr(sys.modules[module], attribute)
        return EntryPoint(entry.name, entry.value, MODELS.name).load()
    except (Exception, SystemExit) as error:  # importing a plugin may raise anything
        raise failing(entry, what, "can't be imported", error) from error


def failing(entry: Entry, what: str, how: str, error: BaseException) -> PluginError:
    """Return the PluginError for a plugin that failed.

    Args:
        entry: The entry point.
        what: The kind and name of the value.
        how: "fails" or "can't be imported".
        error: The error that the plugin raised.
    """
    reason = str(error) if isinstance(error, ZooError) else f"{type(error).__name__}: {error}".splitlines()[0]
    return PluginError(
        f"{what}: plugin {entry.distribution} {how} ({reason}){location(error)}; "
        f"repair it, or remove it with: pip uninstall {entry.distribution}"
    )


def location(error: BaseException) -> str:
    """Return the last line of a plugin in an error's traceback, as " at FILE:LINE"; empty if there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" at {error.filename}:{error.lineno}"
    packages = tuple({entry.package for group in GROUPS for entry in claims(group)} - {"zoo"})
    lines = [
        f" at {frame.f_code.co_filename}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).startswith(packages)
    ]
    return lines[-1] if lines else ""


@dataclass(frozen=True)
class Plugin:
    """A distribution with plugins."""

    distribution: str
    version: str
    models: tuple[str, ...]  # without names that belong to another distribution
    others: tuple[str, ...]  # entry points of other groups, as "zoo.hubs: memory"
    import_seconds: float  # of the modules of its models, if they were not imported before
    failed: tuple[str, ...]  # errors of its models, one line each


def survey() -> list[Plugin]:
    """Return the installed plugins by name. Modules of models are imported, those of other groups are not."""
    models = owners(declared(), MODELS.what).values()
    others = [(group, entry) for group in GROUPS if group != MODELS.name for entry in claims(group)]
    by_name = {normal(entry.distribution): entry for entry in [*declared(), *(entry for _, entry in others)]}
    plugins = []
    for name, any_entry in sorted(by_name.items()):
        if name == DISTRIBUTION:
            continue
        began, failed = time.perf_counter(), []
        for entry in filter(lambda entry: entry.is_by(name), declared()):
            try:
                load(entry)
            except PluginError as error:
                failed.append(str(error))
        plugins.append(
            Plugin(
                any_entry.distribution,
                any_entry.version,
                models=tuple(entry.name for entry in models if entry.is_by(name)),
                others=tuple(f"{group}: {entry.name}" for group, entry in others if entry.is_by(name)),
                import_seconds=time.perf_counter() - began,
                failed=tuple(dict.fromkeys(failed)),
            )
        )
    return plugins


@functools.cache
def normal(name: str) -> str:
    """Return the normalized name of a distribution (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def checkout() -> Path | None:
    """Return the root of the source checkout; None if the zoo is installed from a wheel."""
    root = Path(__file__).resolve().parent.parent
    return root if (root / "pyproject.toml").is_file() and (root / "plugins").is_dir() else None


def core_version() -> str:
    """Return the version of the zoo, which need not be installed in a checkout."""
    root = checkout()
    return version(DISTRIBUTION) if root is None else str(_project(root)["version"])


@functools.cache
def installed() -> Mapping[str, tuple[Entry, ...]]:
    """Return the entry points of all installed distributions by group.

    A distribution that can't be read is left out with a PluginWarning.
    """
    entries: dict[str, dict[str, list[Entry]]] = {}  # by distribution, of which the first copy counts, and by group
    for distribution in distributions():
        try:
            points = _entry_points(distribution.read_text("entry_points.txt") or "")
            if not points:
                continue
            name, version = distribution.name, distribution.version or ""
            if not name:
                raise ValueError("its metadata has no name")
        except (Exception, SystemExit) as error:  # malformed in any way: not UTF-8, a line without "="
            _leave_out(distribution, error)
            continue
        groups: dict[str, list[Entry]] = {}
        for group, point, value in points:
            groups.setdefault(group, []).append(Entry(point, value, name, version))
        entries.setdefault(normal(name), groups)
    return {group: tuple(entry for groups in entries.values() for entry in groups.get(group, ())) for group in GROUPS}


def _entry_points(text: str) -> list[tuple[str, str, str]]:
    """Return group, name and value of the zoo's entry points in an entry_points.txt.

    `Distribution.entry_points` takes six times as long: 84 ms instead of 14 ms for a plugin of 10,000 models.
    """
    group, points = "", []
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("[") and line.endswith("]"):
            group = line.strip("[]")
        elif not line.startswith("#"):
            name, equals, value = line.partition("=")
            if not equals:
                raise ValueError(f"entry_points.txt has the line {line!r}")
            if group in GROUPS:
                points.append((group, name.strip(), value.strip()))
    return points


def _leave_out(distribution: Distribution, error: BaseException) -> None:
    folder = getattr(distribution, "_path", None) or distribution.locate_file("")
    warnings.warn(
        PluginWarning(
            f"the distribution {folder} can't be read and is left out ({type(error).__name__}: {error}); "
            "delete it, or install it again"
        ),
        stacklevel=4,
    )
    # torch reads the entry points of all distributions when it is imported, and would fail on this one.
    os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")


def _declared_in_checkout(installed: set[str], group: str) -> list[Entry]:
    """Return a group's entry points of plugins in the checkout that are not installed; folders have their names."""
    root = checkout()
    entries: list[Entry] = []
    for folder in sorted((root / "plugins").iterdir()) if root else []:
        if normal(folder.name) in installed or not (folder / "pyproject.toml").is_file():
            continue
        try:
            project = _project(folder)
            for name, value in project.get("entry-points", {}).get(group, {}).items():
                entries.append(Entry(name, value, project["name"], project["version"], folder))
        except (ValueError, KeyError) as error:
            warnings.warn(PluginWarning(f"{folder} declares no plugin: {error!r}"), stacklevel=3)
    return entries


def repository() -> str | None:
    """Return the URL of the zoo's git repository, from project.urls in pyproject.toml; None if it is not set."""
    root = checkout()
    if root is not None:
        address: str | None = _project(root).get("urls", {}).get("Repository")
        return address
    lines: list[str] = metadata(DISTRIBUTION).get_all("Project-URL", [])
    return dict(line.split(", ", 1) for line in lines).get("Repository")


def _project(folder: Path) -> dict[str, Any]:
    import tomllib

    project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return project
