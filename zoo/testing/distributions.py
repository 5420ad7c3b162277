"""Everything that a distribution declares, as checks with a name each."""

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
from zoo.spec import Dataset
from zoo.testing.require import require


@dataclass(frozen=True)
class Check:
    """One thing that a plugin has to do; `run` raises AssertionError where it doesn't."""

    name: str
    run: Callable[[], None]


def checks(distribution: str, root: Path | None = None) -> Iterator[Check]:
    """The checks of `check_plugin`. Torch is imported when one is run; raises AssertionError without such a plugin."""
    declared = [entry for entry in plugins.declared() if entry.is_by(distribution)]
    require(bool(declared), f"no distribution {distribution} that is installed here declares a model")
    yield Check("facts", functools.partial(_check_facts, declared))
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
    zoos = [dataset for dataset in vars(datasets).values() if isinstance(dataset, Dataset)]
    for dataset in {model.dataset.name: model.dataset for model in models if model.dataset not in zoos}.values():
        yield Check(f"{dataset.name}-dataset", functools.partial(_run, "check_dataset", dataset, root_of(root)))


def check_plugin(distribution: str, root: Path | None = None) -> None:
    """Make sure of everything that a distribution declares; its own datasets are read from `root`.

    Its facts print nothing, import no torch and claim no name of another's; every model passes `check_model`, one
    of every architecture `check_training`, every dataset of its own `check_dataset`. Without `root` they are read
    from where `zoo train` would read them. Raises AssertionError, with the check's name.

    Example:
        >>> from pathlib import Path
        >>> from zoo.testing import check_plugin
        >>> def test_the_plugin():
        ...     check_plugin("zoo-mine", Path("data"))
    """
    for check in checks(distribution, root):
        try:
            check.run()
        except AssertionError as error:
            raise AssertionError(f"{distribution}, {check.name}: {error}") from error


def _run(check: str, *arguments: object) -> None:
    """Run a check of `zoo.testing`, which imports torch only now."""
    getattr(testing, check)(*arguments)


def _check_facts(declared: list[Entry]) -> None:
    """In a process of its own: this one has imported torch, or will."""
    for entry in declared:
        owner = next(claim for claim in plugins.declared() if claim.name == entry.name)
        claimed = f"the name {entry.name} is {owner.distribution}'s; give the architecture or the dataset another"
        require(owner == entry, claimed)
    modules = sorted({entry.value.partition(":")[0] for entry in declared})
    folders = sorted({str(entry.folder) for entry in declared if entry.folder})
    code = f"import sys; sys.path = {[*sys.path, *folders]!r}\n"
    code += "".join(f"import {module}\n" for module in modules)
    code += "heavy = {'torch', 'torchvision', 'timm'} & sys.modules.keys()\n"
    code += (
        "if heavy: "
        "sys.exit('importing its facts imports ' + ', '.join(sorted(heavy)) + '; do so inside build and read')"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    require(finished.returncode == 0, finished.stderr.strip().rpartition("\n")[2])
    require(not finished.stdout, f"importing its facts prints {finished.stdout[:60]!r}")
