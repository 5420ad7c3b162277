"""The template of `zoo new`: a plugin with an architecture, tests, and a dataset if a new one is named.

The files are in `plugin/`, with `@word@` for each value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from zoo import datasets, registry
from zoo.errors import FolderError, PluginError
from zoo.record.paths import path_of
from zoo.spec import Dataset

WORD = re.compile(r"[a-z][a-z0-9]*")  # of a name that is an entry point and an attribute of a module too
ZOOS = {value.name: value for value in vars(datasets).values() if isinstance(value, Dataset)}
OWN = (3, 2)  # channels and classes of the dataset that data.py.txt declares


def new_plugin(name: str, *, dataset: str | None = None, out: str | Path | None = None) -> Path:
    """Write a plugin for an architecture of that name into `out` (`./zoo-NAME`); return that folder.

    Its model is on `dataset`: one of the zoo's (digits, if none is named), else a new one that is read from a folder of
    images. Raises PluginError for a name that can't be used, and FolderError where the folder exists already.
    """
    for what, word in (("an architecture", name), ("a dataset", dataset)):
        if word is not None and not WORD.fullmatch(word):
            raise PluginError(
                f"{word!r} can't be the name of {what}; expected lower-case letters and digits, as in tiny"
            )
    if name in registry.provided():
        raise PluginError(f"there is an architecture {name} already; choose another name (zoo list shows all)")
    if dataset is not None and dataset not in ZOOS and any(full.endswith(f"_{dataset}") for full in registry.entries()):
        raise PluginError(f"there is a dataset {dataset} already, of another plugin; choose another name")
    folder = path_of(out or f"zoo-{name}")
    if folder.exists():
        raise FolderError(f"{folder} exists already; name another folder as out")
    try:
        for path, text in written(name, dataset or datasets.DIGITS.name):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise FolderError(f"{folder} can't be written: {error.strerror}") from None
    return folder


def written(name: str, dataset: str) -> Iterator[tuple[str, str]]:
    """The files of a plugin by their paths in it, each with its text."""
    module, constant = f"zoo_{name}", dataset.upper()
    paths = {
        "pyproject.toml": "pyproject.toml.txt",
        f"{module}.py": "facts.py.txt",
        f"{module}_net.py": "net.py.txt",
        "tests/test_model.py": "test_model.py.txt",
        "README.md": "README.md.txt",
        ".gitignore": "gitignore.txt",
        ".github/workflows/test.yml": "test.yml.txt",
    }
    words = {
        "name": name,
        "NAME": name.upper(),
        "module": module,
        "modules": f'"{module}", "{module}_net"',
        "dataset": dataset,
        "DATASET": constant,
        "attribute": f"{name}_{dataset}",
        "imports": f"from zoo.plugin import {constant}, Architecture, Model, Recipe, require_api",
        "about_data": "",
    }
    if dataset in ZOOS:
        channels, classes = ZOOS[dataset].input_size[0], len(ZOOS[dataset].classes)
    else:
        channels, classes = OWN
        paths |= {
            f"{module}_data.py": "data.py.txt",
            "sample.py": "sample.py.txt",
            "tests/test_data.py": "test_data.py.txt",
        }
        words["modules"] += f', "{module}_data"'
        words["imports"] = (
            f"from {module}_data import {constant}\nfrom zoo.plugin import Architecture, Model, Recipe, require_api"
        )
        words["about_data"] = _filled("about_data.txt", words)
    words["parameters"] = f"{_parameters(channels, classes):_}"
    for path, template in paths.items():
        yield path, _filled(template, words).rstrip() + "\n"


def _parameters(channels: int, classes: int) -> int:
    """Of the net in net.py.txt: two convolutions 3×3 to 16 channels, a batch norm, a linear layer."""
    return 9 * 16 * channels + 9 * 16 * 16 + 2 * 16 + (16 + 1) * classes


def _filled(template: str, words: dict[str, str]) -> str:
    text = (files(__package__) / "plugin" / template).read_text(encoding="utf-8")
    return re.sub(r"@(\w+)@", lambda match: words[match[1]], text)
