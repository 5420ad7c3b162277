"""Look up models, architectures and datasets by name.

Architectures and datasets are those of the declared models (`zoo.plugins`). Any architecture and any dataset can be
joined to a model.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterable, Mapping

from zoo import datasets, plugins
from zoo.errors import PluginError, PluginWarning, UnknownModel, did_you_mean
from zoo.plugins import Entry
from zoo.spec import Architecture, Dataset, Model


@functools.cache
def entries() -> Mapping[str, Entry]:
    """Return the entry points of the declared models by name, sorted; read once per process."""
    return plugins.owners(plugins.declared(), plugins.MODELS.what)


def resolve(name: str, on_dataset: str | None = None) -> str:
    """Return the full name of a model: `resnet32_cifar100` for `resnet32` on `cifar100`.

    Args:
        name: The name of a model or an architecture.
        on_dataset: The name of a dataset. Default: that of the model, or the architecture's default dataset.

    Returns:
        The names of the architecture and the dataset. No plugin needs to declare the pair.

    Raises:
        UnknownModel: There is no such model, architecture or dataset, or the architecture has no default dataset.
    """
    if name in entries() and on_dataset is None:
        return name
    models = _models_of(name)
    if on_dataset is not None:
        full = f"{name if models else load(name).architecture.name}_{on_dataset}"
        if full not in entries():
            dataset(on_dataset)  # raises UnknownModel
        return full
    if not models:
        return load(name).name
    chosen = models if len(models) == 1 else [model for model in models if model.default]
    if len(chosen) != 1:
        sets = ", ".join([model.dataset.name for model in models[:5]] + ["…"] * (len(models) > 5))
        raise UnknownModel(f"{name} has no default dataset; name one of them as dataset: {sets}")
    return chosen[0].name


def load(name: str) -> Model:
    """Import a model, without torch.

    Args:
        name: The full name of the model.

    Returns:
        The declared model, else a new one of the architecture and the dataset.

    Raises:
        UnknownModel: There is no such model.
        PluginError: Its plugin can't be used.
    """
    declared = entries()
    if name in declared:
        return plugins.load(declared[name])
    parts = name.split("_")
    for end in range(len(parts) - 1, 0, -1):
        with contextlib.suppress(UnknownModel):
            return join(architecture("_".join(parts[:end])), dataset("_".join(parts[end:])))
    raise UnknownModel(_unknown("model", name, {full.rpartition("_")[0] for full in declared} | declared.keys()))


def architecture(name: str) -> Architecture:
    """Return the architecture of that name; imports only plugins that may declare it.

    Raises:
        UnknownModel: There is no such architecture.
        PluginError: A plugin that may declare it can't be used.
    """
    models = _models_of(name)
    if models:
        return models[0].architecture
    raise UnknownModel(_unknown("architecture", name, {full.rpartition("_")[0] for full in entries()}))


def recorded(name: str, distribution: str) -> Architecture:
    """Return the architecture of a record.

    It is looked up in the models of the distribution, then in its other architectures (`plugins.architecture`), then in
    the models of other distributions.

    Args:
        name: The name of the architecture.
        distribution: The distribution that provided it, according to the record.

    Raises:
        UnknownModel: There is no such architecture.
        PluginError: Its plugin can't be used.
    """
    declared = [entry for entry in plugins.declared() if entry.is_by(distribution)]
    for model in _models_of(name, declared):
        return model.architecture
    undeclared = plugins.architecture(distribution, name)
    return architecture(name) if undeclared is None else undeclared


def dataset(name: str) -> Dataset:
    """Return the dataset of that name, of the zoo or of a declared model; imports only plugins that may declare it.

    Raises:
        UnknownModel: There is no such dataset.
    """
    if name in datasets.OWN:
        return datasets.OWN[name]
    loaded, failed = _loaded(entry for full, entry in entries().items() if full.endswith(f"_{name}"))
    for error in failed:
        warnings.warn(PluginWarning(str(error)), stacklevel=2)
    models = [(entry, model) for entry, model in loaded if model.dataset.name == name]
    if not models:
        raise UnknownModel(_unknown("dataset", name, {full.rpartition("_")[2] for full in entries()}))
    owner = _owner(models, f"dataset name {name}", lambda model: model.dataset)
    return next(model.dataset for entry, model in models if entry is owner)


def on(architecture: Architecture, dataset_name: str) -> Model:
    """Return the model of an architecture on a dataset; raises UnknownModel for an unknown dataset."""
    declared = _declared(f"{architecture.name}_{dataset_name}", lambda model: model.architecture == architecture)
    return declared or join(architecture, dataset(dataset_name))


def join(architecture: Architecture, dataset: Dataset) -> Model:
    """Return the declared model of an architecture and a dataset, else a new one without a parameter count."""
    joined = Model(architecture, dataset, parameters=None)
    parts = architecture, dataset
    return _declared(joined.name, lambda model: (model.architecture, model.dataset) == parts) or joined


def _declared(name: str, fits: Callable[[Model], bool]) -> Model | None:
    """Return the first declared model of that name that fits; plugins that can't be imported are skipped."""
    for entry in plugins.declared():
        if entry.name == name:
            with contextlib.suppress(PluginError):
                model = plugins.load(entry)
                if fits(model):
                    return model
    return None


def provided() -> set[str]:
    """Return the possible architectures of the declared models by their names; imports no plugin."""
    parts = (name.split("_") for name in entries())
    return {"_".join(words[:end]) for words in parts for end in range(1, len(words))}


def provider(architecture: Architecture) -> str:
    """Return the distribution of an architecture with its version, or its package if no plugin declares it."""
    loaded, _ = _loaded(entry for entry in plugins.declared() if entry.name.startswith(f"{architecture.name}_"))
    declared = [entry for entry, model in loaded if model.architecture == architecture]
    # Prefer its own package: another plugin may declare the architecture on another dataset.
    entry = min(declared, key=lambda entry: entry.package != _package(architecture), default=None)
    if entry is None:  # it may be of the group zoo.architectures
        claims = plugins.claims(plugins.ARCHITECTURES)
        entry = next((claim for claim in claims if claim.package == _package(architecture)), None)
    return f"{entry.distribution} {entry.version}" if entry else _package(architecture)


def origin(function: object) -> str:
    """Return the origin of a function for an error: `plugin zoo-tiny`, or its module."""
    module = str(getattr(function, "__module__", None) or type(function).__module__)
    package = module.partition(".")[0]
    if package == "zoo":
        return "the zoo"
    distribution = next((entry.distribution for entry in plugins.declared() if entry.package == package), None)
    return f"plugin {distribution}" if distribution else f"module {module}"


def load_all(declared: Iterable[Entry]) -> list[Model]:
    """Load models, without those that can't be used, which are a PluginWarning."""
    loaded, failed = _loaded(declared)
    for error in failed:
        warnings.warn(PluginWarning(str(error)), stacklevel=2)
    return [model for _, model in loaded]


def _models_of(name: str, declared: Iterable[Entry] | None = None) -> list[Model]:
    """Return the models of an architecture from the distribution that provides it; empty if there are none.

    A plugin that can't be imported is a PluginWarning, or a PluginError if no other plugin has the architecture.
    """
    candidates = entries().values() if declared is None else declared
    loaded, failed = _loaded(entry for entry in candidates if entry.name.startswith(f"{name}_"))
    models = [(entry, model) for entry, model in loaded if model.architecture.name == name]
    if not models:
        if failed:
            raise failed[0]
        return []
    for error in failed:
        warnings.warn(PluginWarning(str(error)), stacklevel=3)
    owner = _owner(models, f"architecture name {name}", lambda model: model.architecture)
    return [model for entry, model in models if entry.is_by(owner.distribution)]


def _owner(models: list[tuple[Entry, Model]], claimed: str, part: Callable[[Model], Architecture | Dataset]) -> Entry:
    """Return the entry point of the distribution that provides an architecture or a dataset.

    It is one that ships with the zoo, else one that contains the builder or the reader, else the first by name. If
    another distribution has a different value of that name, a PluginWarning names both.
    """
    owner, owners_model = min(
        models,
        key=lambda pair: (
            not pair[0].is_shipped,
            pair[0].package != _package(part(pair[1])),
            plugins.normal(pair[0].distribution),
        ),
    )
    for entry, model in models:
        if part(model) != part(owners_model) and not entry.is_by(owner.distribution):
            plugins.warn_of_collision(owner.distribution, entry.distribution, claimed)
            break
    return owner


def _package(part: Architecture | Dataset) -> str:
    """Return the package of the function that builds a net or reads a dataset."""
    function = part.build if isinstance(part, Architecture) else part.read
    return str(getattr(function, "__module__", None) or "").partition(".")[0]


def _loaded(declared: Iterable[Entry]) -> tuple[list[tuple[Entry, Model]], list[PluginError]]:
    """Return the models that can be loaded, and the first error of each other distribution."""
    models: list[tuple[Entry, Model]] = []
    failed: dict[str, PluginError] = {}
    for entry in declared:
        try:
            models.append((entry, plugins.load(entry)))
        except PluginError as error:
            failed.setdefault(entry.distribution, error)
    return models, list(failed.values())


def _unknown(what: str, name: str, names: Iterable[str]) -> str:
    if what == "model" and ":" in name:
        return f"{name[:100]!r} is an address, not a model's name; images are given as dataset, weights as start"
    hint = did_you_mean(name, names, "no plugin provides this name")
    shown = name if len(name) <= 100 else f"{name[:100]}…"
    return f"there is no {what} {shown!r}; {hint} (zoo list shows all)"
