"""The checks of everything that a distribution declares."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from zoo import datasets, plugins, testing
from zoo.data.collection import root_of
from zoo.errors import PluginError
from zoo.plugins import Entry
from zoo.testing.require import require


@dataclass(frozen=True)
class Check:
    """A check with a name. `run` raises AssertionError if it fails."""

    name: str
    run: Callable[[], None]


def checks(distribution: str, root: Path | None = None) -> Iterator[Check]:
    """Yield the checks of `check_plugin`; raises AssertionError if the distribution declares no model.

    Torch is imported when a check runs.
    """
    declared = [entry for entry in plugins.declared() if entry.is_by(distribution)]
    require(bool(declared), f"no distribution {distribution} that is installed here declares a model")
    yield Check("declarations", functools.partial(_check_declarations, declared))
    models = []
    for entry in declared:
        try:
            models.append(plugins.load(entry))
        except PluginError as error:
            yield Check(entry.name, functools.partial(require, False, str(error)))
    for model in models:
        yield Check(f"{model.name}-model", functools.partial(_run, "check_model", model))
    for model in {model.architecture.name: model for model in reversed(models)}.values():
        yield Check(f"{model.name}-training", functools.partial(_run, "check_training", model))
    shipped = datasets.OWN.values()
    for dataset in {model.dataset.name: model.dataset for model in models if model.dataset not in shipped}.values():
        yield Check(f"{dataset.name}-dataset", functools.partial(_run, "check_dataset", dataset, root_of(root)))


def check_plugin(distribution: str, root: Path | None = None) -> None:
    """Check everything that a distribution declares.

    Checks that importing its modules prints nothing and does not import torch, and that no name belongs to another
    distribution. Runs `check_model` on every model, `check_training` on one model of each architecture, and
    `check_dataset` on every dataset that does not ship with the zoo.

    Args:
        distribution: The name of an installed distribution.
        root: The data folder; by default that of `zoo train`.

    Raises:
        AssertionError: A check failed; the message names it.

    Examples:
        >>> from zoo.testing import check_plugin
        >>> try:
        ...     check_plugin("zoo-flowers")
        ... except AssertionError as error:
        ...     print(error)
        no distribution zoo-flowers that is installed here declares a model
    """
    for check in checks(distribution, root):
        try:
            check.run()
        except AssertionError as error:
            raise AssertionError(f"{distribution}, {check.name}: {error}") from error


def _run(check: str, *arguments: object) -> None:
    """Run a check of `zoo.testing`, whose module is imported only here."""
    getattr(testing, check)(*arguments)


def _check_declarations(declared: list[Entry]) -> None:
    """Check the names, and import the modules in a new process, because this one may have imported torch."""
    for entry in declared:
        owner = next(claim for claim in plugins.declared() if claim.name == entry.name)
        message = f"the name {entry.name} is {owner.distribution}'s; give the architecture or the dataset another"
        require(owner == entry, message)
    modules = sorted({entry.value.partition(":")[0] for entry in declared})
    folders = sorted({str(entry.folder) for entry in declared if entry.folder})
    code = f"import sys; sys.path = {[*sys.path, *folders]!r}\n"
    code += "".join(f"import {module}\n" for module in modules)
    code += "heavy = {'torch', 'torchvision', 'timm'} & sys.modules.keys()\n"
    code += "if heavy: sys.exit('importing it imports ' + ', '.join(sorted(heavy)) + '; do so inside build and read')"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    require(finished.returncode == 0, finished.stderr.strip().rpartition("\n")[2])
    require(not finished.stdout, f"importing it prints {finished.stdout[:60]!r}")
