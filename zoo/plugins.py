"""Plugins: the entry points that installed distributions declare, and one loader for every group of them.

A plugin is imported when a member is used, and an error in it affects nothing else. Of several distributions that claim
a name, one that ships with the zoo has it, else the first by distribution name; a PluginWarning names both.

In a plain checkout where nothing is installed (torch.hub clones one) the same declarations are read from
`plugins/*/pyproject.toml`, for distributions that aren't installed.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
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
from zoo.errors import PluginError, PluginWarning, ZooError
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
    """An entry point: the name that a distribution claims, and where the value is."""

    name: str
    value: str  # module:attribute
    distribution: str
    version: str
    folder: Path | None = None  # of a plugin that is not installed

    @property
    def package(self) -> str:
        """The package that is imported for it."""
        return re.split("[.:]", self.value)[0]

    def is_by(self, distribution: str) -> bool:
        """Whether that distribution makes the claim, however its name is spelled."""
        return normal(self.distribution) == normal(distribution)

    @property
    def is_shipped(self) -> bool:
        """Whether the distribution is one of the zoo's own."""
        return normal(self.distribution) in SHIPPED


@dataclass(frozen=True)
class Group(Generic[T]):
    """One kind of plugin: a group of entry points, each of which names a member."""

    name: str  # of the group: "zoo.exporters"
    what: str  # a member, in messages: "export format"
    expected: str  # what a member should be, in messages
    accepts: Callable[[object, str], bool] = lambda value, _: callable(value)  # of a loaded value and its name
    own: Mapping[str, str] = field(default_factory=dict)  # the zoo's members, module:attribute by name
    unknown: type[ZooError] = PluginError  # raised for a name that nobody declares

    def names(self) -> list[str]:
        """The names of all members, the zoo's own first; imports none of them."""
        return [*self.own, *sorted({entry.name for entry in claims(self.name)} - self.own.keys())]

    def entry(self, name: str) -> Entry | None:
        """The entry point of a plugin's member, None where no plugin declares one of that name."""
        return owners((entry for entry in claims(self.name) if entry.name == name), self.what).get(name)

    def load(self, name: str) -> T:
        """Import the member of that name; raises `unknown` where there is none, PluginError where it can't be used."""
        if name in self.own:
            own: T = EntryPoint(name, self.own[name], self.name).load()
            return own
        entry = self.entry(name)
        if entry is None:
            names = self.names()
            close = close_to(name, names)
            hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(names) or 'none'}"
            raise self.unknown(f"there is no {self.what} {name[:100]!r}; {hint}")
        return self.loaded(entry)

    def loaded(self, entry: Entry) -> T:
        """The value of an entry point of this group; imports its plugin. Raises PluginError."""
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
        """Make a PluginError of what a plugin's member raises, but for a ZooError and those of `passes`."""
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
    """The first entry point of each name; a PluginWarning for two distributions that claim the same names."""
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
    """Say that two distributions claim the same, and which one is used."""
    warnings.warn(
        PluginWarning(
            f"both {owner} and {other} claim the {claimed}; {owner}'s is used "
            f"(ZOO_DISABLE_PLUGINS={owner} leaves that one out)"
        ),
        stacklevel=3,
    )


def load(entry: Entry) -> Model:
    """Import a declared model; any failure of its plugin is a PluginError."""
    model = MODELS.loaded(entry)
    own = datasets.OWN.get(model.dataset.name, model.dataset)
    if own is not model.dataset and own != model.dataset:
        raise PluginError(
            f"model {entry.name}: plugin {entry.distribution} has a dataset of its own by the name {own.name}, "
            "which is one of the zoo's; give it another name"
        )
    return model


def architecture(distribution: str, name: str) -> Architecture | None:
    """An architecture that a distribution knows beside those of its models, None for an unknown name.

    Imports that plugin. Raises PluginError.
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
    """Import the value of an entry point; any failure of its plugin is a PluginError about `what`."""
    if entry.folder is not None and str(entry.folder) not in sys.path:
        sys.path.append(str(entry.folder))
    try:
        module, _, attribute = entry.value.partition(":")
        if module in sys.modules and attribute.isidentifier():  # EntryPoint.load is slow for ten thousand models
            return getattr(sys.modules[module], attribute)
        return EntryPoint(entry.name, entry.value, MODELS.name).load()
    except (Exception, SystemExit) as error:  # a plugin may fail in any way; it must not take the zoo with it
        raise failing(entry, what, "can't be imported", error) from error


def failing(entry: Entry, what: str, how: str, error: BaseException) -> PluginError:
    """The error for a plugin that failed; `what` was being used, `how` says at which point."""
    reason = str(error) if isinstance(error, ZooError) else f"{type(error).__name__}: {error}".splitlines()[0]
    return PluginError(
        f"{what}: plugin {entry.distribution} {how} ({reason}){location(error)}; "
        f"repair it, or remove it with: pip uninstall {entry.distribution}"
    )


def location(error: BaseException) -> str:
    """The last line of a plugin that an error passed through, as " at FILE:LINE"; empty where there is none."""
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
    """A distribution with plugins, as `zoo plugins` shows it."""

    distribution: str
    version: str
    models: tuple[str, ...]  # those whose names it has
    others: tuple[str, ...]  # entry points of other groups, as "zoo.hubs: memory"
    import_seconds: float  # of the modules of its models; what others had imported already is not counted
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


def close_to(name: str, names: Iterable[str]) -> list[str]:
    """Up to three names like that one, closest first, whatever its case; fast among thousands."""
    import difflib

    name = name.lower()
    pairs = {name[start : start + 2] for start in range(max(1, len(name) - 1))}
    # get_close_matches is slow, so it is given only the hundred names that share the most pairs of characters.
    likely = heapq.nlargest(100, sorted(names), key=lambda candidate: sum(map(candidate.__contains__, pairs)))
    return difflib.get_close_matches(name, likely, n=3, cutoff=0.6)


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


@functools.cache
def installed() -> Mapping[str, tuple[Entry, ...]]:
    """The entry points of all installed distributions by group; one that can't be read is left out with a warning."""
    entries: dict[str, dict[str, list[Entry]]] = {}  # by distribution and group; of two copies the first counts
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
            "remove what is left of it, or install it again"
        ),
        stacklevel=4,
    )
    # torch reads the entry points of all distributions when it is imported, and would fail on this one.
    os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")


def _declared_in_checkout(installed: set[str], group: str) -> list[Entry]:
    """A group's entries of the checkout's plugins, but for those installed; a folder is named as its distribution."""
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
    """The address of the zoo's git repository, `Repository` of project.urls in pyproject.toml; None if it has none."""
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
