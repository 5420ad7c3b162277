"""Names to models: what a name of a model, an architecture or a data set means.

Architectures and data sets are those of the declared models (`zoo.plugins`), and any two of them can be joined
to one that nobody declares. A name belongs to one distribution; what another one has by the same name is
`DISTRIBUTION:NAME`, wherever a name is taken.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import re
import warnings
from collections.abc import Iterable, Mapping

from zoo import datasets, plugins
from zoo.errors import DuplicateModel, PluginError, PluginWarning, UnknownModel
from zoo.plugins import Entry
from zoo.spec import NAME, Architecture, Dataset, Model

# What a distribution may be called (PEP 508), and a name of one of its models or architectures.
QUALIFIED = re.compile(rf"(?P<distribution>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?):(?P<name>{NAME.pattern})")


@functools.cache
def entries() -> Mapping[str, Entry]:
    """Every declared model by name, sorted; two claims to one name are a PluginWarning, and no error.

    Read once a process, as what is declared.
    """
    known: dict[str, Entry] = {}
    others: dict[tuple[str, str], list[str]] = {}
    for entry in plugins.declared():
        owner = known.setdefault(entry.name, entry)
        if owner is not entry:
            others.setdefault((owner.distribution, entry.distribution), []).append(entry.name)
    for (owner_name, other), names in others.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        warnings.warn(
            PluginWarning(
                f"both {owner_name} and {other} claim the model name {names[0]}{more}; it means {owner_name}'s, "
                f"and the other one is {other}:{names[0]}"
            ),
            stacklevel=2,
        )
    return known


def split(name: str) -> tuple[str | None, str]:
    """The distribution that a name is said to be of, None where it says none, and the bare name."""
    match = QUALIFIED.fullmatch(name)
    return (match["distribution"], match["name"]) if match else (None, name)


def is_qualified(text: str) -> bool:
    """Whether a text is `DISTRIBUTION:NAME`, of a distribution that is here; else it may be an address in a hub."""
    distribution, _ = split(text)
    return distribution is not None and any(entry.is_by(distribution) for entry in plugins.declared())


def resolve(name: str, dataset: str | None = None) -> str:
    """The full name of a model: `resnet32` on `cifar100`, or on its default data set where none is named.

    A bare architecture means that of the distribution whose it is, whatever others put it on. An
    architecture and a data set that are both declared give a name also where no plugin declares the pair.
    Raises UnknownModel, with close names, where there is none.
    """
    whose, bare = split(name)
    known, prefix = _known(whose), f"{whose}:" if whose else ""
    if bare in known and dataset is None:
        return name
    models = _models_of(bare, known)
    if dataset is not None:
        is_known = models or (whose and plugins.architecture(whose, bare))
        architecture = bare if is_known else load(name).architecture.name
        full = f"{architecture}_{dataset}"
        return prefix + (full if full in known else f"{architecture}_{_dataset(dataset).name}")
    if not models:
        return prefix + load(name).name
    chosen = models if len(models) == 1 else [model for model in models if model.default]
    if len(chosen) != 1:
        sets = ", ".join([model.dataset.name for model in models[:5]] + ["…"] * (len(models) > 5))
        raise UnknownModel(f"{name} has no default data set; choose one of {sets} with --dataset")
    return prefix + chosen[0].name


def load(name: str) -> Model:
    """The facts of the model of that full name; imports its plugin, not torch.

    Raises UnknownModel, or PluginError where the plugin can't be imported.
    """
    whose, bare = split(name)
    known, prefix = _known(whose), f"{whose}:" if whose else ""
    if bare in known:
        return plugins.load(known[bare])
    parts = bare.split("_")
    for end in range(len(parts) - 1, 0, -1):
        with contextlib.suppress(UnknownModel):
            return join(architecture(prefix + "_".join(parts[:end])), _dataset("_".join(parts[end:])))
    raise UnknownModel(_unknown("model", name, {one.rpartition("_")[0] for one in known} | known.keys()))


def architecture(name: str) -> Architecture:
    """The architecture of that name, as the declared models have it; imports only plugins that may declare one.

    Of `DISTRIBUTION:NAME` also one that the distribution knows beside its models (`plugins.architecture`).
    Raises UnknownModel, DuplicateModel where two distributions have different nets of that name and it is
    neither's, or PluginError where what may declare it can't be imported.
    """
    whose, bare = split(name)
    known = _known(whose)
    models = _models_of(bare, known)
    if models:
        return models[0].architecture
    if whose is not None and (found := plugins.architecture(whose, bare)) is not None:
        return found
    raise UnknownModel(_unknown("architecture", name, {one.rpartition("_")[0] for one in known}))


def dataset(name: str) -> Dataset:
    """The data set of that name: one of the zoo's own, or one that a declared model is on.

    Imports only plugins that may declare it. Raises UnknownModel where none does.
    """
    return _dataset(name)


def join(architecture: Architecture, dataset: Dataset) -> Model:
    """The declared model of the two; where none is declared one whose parameters nobody has counted."""
    joined = Model(architecture, dataset, parameters=None)
    for entry in plugins.declared():
        if entry.name == joined.name:
            with contextlib.suppress(PluginError):
                declared = plugins.load(entry)
                if (declared.architecture, declared.dataset) == (architecture, dataset):
                    return declared
    return joined


def provided() -> set[str]:
    """The architectures that declared models are named by, as far as a name tells; imports no plugin."""
    parts = (name.split("_") for name in entries())
    return {"_".join(one[:end]) for one in parts for end in range(1, len(one))}


def provider(architecture: Architecture) -> str:
    """The distribution that an architecture is from, and its version; its package where no plugin declares it."""
    loaded, _ = _loaded(one for one in plugins.declared() if one.name.startswith(f"{architecture.name}_"))
    declared = [entry for entry, model in loaded if model.architecture == architecture]
    # Not the first: a plugin may put another one's architecture on a data set of its own.
    entry = min(declared, key=lambda one: one.package != _package(architecture), default=None)
    if entry is None:  # then it may be one that a plugin knows beside its models
        known = plugins.claims(plugins.ARCHITECTURES)
        entry = next((one for one in known if one.package == _package(architecture)), None)
    return f"{entry.distribution} {entry.version}" if entry else _package(architecture)


def whose(function: object) -> str:
    """Whose a function of a plugin's facts is, in words for an error: `plugin zoo-tiny`, else its module."""
    module = str(getattr(function, "__module__", None) or type(function).__module__)
    package = module.partition(".")[0]
    if package == "zoo":
        return "the zoo"
    found = next((one.distribution for one in plugins.declared() if one.package == package), None)
    return f"plugin {found}" if found else f"module {module}"


def load_all(declared: Iterable[Entry]) -> list[Model]:
    """The facts of several models; a plugin that can't be used is passed over with one PluginWarning."""
    loaded, failed = _loaded(declared)
    for error in failed:
        warnings.warn(PluginWarning(str(error)), stacklevel=2)
    return [model for _, model in loaded]


def _known(distribution: str | None) -> Mapping[str, Entry]:
    """The models by their bare names: those that these mean, or all of one distribution. Raises UnknownModel."""
    if distribution is None:
        return entries()
    own = {entry.name: entry for entry in plugins.declared() if entry.is_by(distribution)}
    if not own:
        raise UnknownModel(f"no plugin {distribution!r} is here; zoo plugins shows those that are")
    return own


def _models_of(architecture: str, known: Mapping[str, Entry]) -> list[Model]:
    """The declared models of an architecture that are of the distribution whose it is.

    A plugin that can't be used matters where it may be the only one. Raises DuplicateModel.
    """
    loaded, failed = _loaded(entry for name, entry in known.items() if name.startswith(f"{architecture}_"))
    by: dict[str, list[tuple[Entry, Model]]] = {}
    for entry, model in loaded:
        if model.architecture.name == architecture:
            by.setdefault(plugins.normal(entry.distribution), []).append((entry, model))
    if failed and not by:
        raise failed[0]
    for error in failed:
        warnings.warn(PluginWarning(str(error)), stacklevel=3)
    return [model for _, model in _owners(architecture, by)] if by else []


def _owners(architecture: str, by: Mapping[str, list[tuple[Entry, Model]]]) -> list[tuple[Entry, Model]]:
    """Of the models of one architecture by distribution, those of the one whose it is.

    The zoo's own has it before others, and who builds the net before who only puts it on a data set; then who
    declares most, and the first by name. Raises DuplicateModel where that leaves two different nets.
    """
    shipped = {one: models for one, models in by.items() if one in plugins.SHIPPED}
    builds = {
        one: models
        for one, models in by.items()
        if any(entry.package == _package(model.architecture) for entry, model in models)
    }
    candidates = shipped or builds or by
    first, *others = sorted(candidates.values(), key=lambda models: (-len(models), models[0][0].distribution))
    (entry, model) = first[0]
    for other, another in (models[0] for models in others):
        if another.architecture != model.architecture:
            one, two = sorted((entry.distribution, other.distribution))
            raise DuplicateModel(
                f"both {one} and {two} claim the architecture name {architecture}, for different nets; "
                f"say which: {one}:{architecture} or {two}:{architecture}"
            )
    return first


def _package(architecture: Architecture) -> str:
    """The package of what builds a net."""
    return str(getattr(architecture.build, "__module__", None) or "").partition(".")[0]


def _dataset(name: str) -> Dataset:
    known = entries()
    for own in vars(datasets).values():
        if isinstance(own, Dataset) and own.name == name:
            return own
    loaded, failed = _loaded(entry for one, entry in known.items() if one.endswith(f"_{name}"))
    for error in failed:
        warnings.warn(PluginWarning(str(error)), stacklevel=3)
    found = [(entry, model.dataset) for entry, model in loaded if model.dataset.name == name]
    for entry, other in found[1:]:
        if other != found[0][1]:
            raise DuplicateModel(
                f"both {found[0][0].distribution} and {entry.distribution} claim the data set name {name}, for "
                f"different ones; leave one of them out with ZOO_DISABLE_PLUGINS={entry.distribution}"
            )
    if found:
        return found[0][1]
    raise UnknownModel(_unknown("data set", name, {one.rpartition("_")[2] for one in known}))


def _loaded(declared: Iterable[Entry]) -> tuple[list[tuple[Entry, Model]], list[PluginError]]:
    """The models that can be loaded, and the first error of every distribution with one that can't."""
    models: list[tuple[Entry, Model]] = []
    failed: dict[str, PluginError] = {}
    for entry in declared:
        try:
            models.append((entry, plugins.load(entry)))
        except PluginError as error:
            failed.setdefault(entry.distribution, error)
    return models, list(failed.values())


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
