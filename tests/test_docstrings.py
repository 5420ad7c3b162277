"""The docstrings of the public names: each has an example, and every example runs."""

from __future__ import annotations

import doctest
import importlib
import inspect
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.datasets import DIGITS


def exported(*modules: str) -> dict[str, object]:
    """The exported functions and classes by name."""
    names: dict[str, object] = {}
    for module in map(importlib.import_module, modules):
        for name in getattr(module, "__all__", vars(module)):
            value = getattr(module, name)
            is_own = hasattr(module, "__all__") or getattr(value, "__module__", None) == module.__name__
            if is_own and not name.startswith("_") and (inspect.isroutine(value) or inspect.isclass(value)):
                names[f"{value.__module__}.{name}"] = value
    return names


PUBLIC = exported("zoo", "zoo.plugin", "zoo.blocks", "zoo.testing")
WITH_EXAMPLE = {
    name: value for name, value in (PUBLIC | exported("zoo.api")).items() if ">>>" in (inspect.getdoc(value) or "")
}


def test_every_public_function_and_class_has_an_example() -> None:
    assert PUBLIC.keys() <= WITH_EXAMPLE.keys()


@pytest.fixture
def working_directory(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model folder `runs/resnet8_digits`, and an image `photo.png`."""
    shutil.copytree(trained, tmp_path / "runs" / "resnet8_digits")
    images, _ = DIGITS.read(tmp_path, train=False)
    Image.fromarray(np.squeeze(images[0])).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("working_directory")
@pytest.mark.parametrize("name", WITH_EXAMPLE)
def test_the_example_of_a_docstring_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (test,) = doctest.DocTestFinder(recurse=False).find(WITH_EXAMPLE[name], name, module=False, globs={})
    failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
    assert not failed, capsys.readouterr().out
