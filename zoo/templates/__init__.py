"""The template of `zoo new plugin`: an architecture, its tests, and a dataset if a new one is named.

The files are in `plugin/`. In their texts, and in the paths below, `@word@` is replaced by a value.
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

NAME = re.compile(r"[a-z][a-z0-9]*")  # a part of a model's name and of a Python name
DATASETS = {value.name: value for value in vars(datasets).values() if isinstance(value, Dataset)}  # of the zoo

FILES = {  # paths in the plugin, with their templates
    "pyproject.toml": "pyproject.toml.txt",
    "@module@.py": "model.py.txt",
    "@module@_net.py": "net.py.txt",
    "tests/test_model.py": "test_model.py.txt",
    "README.md": "README.md.txt",
    ".gitignore": "gitignore.txt",
    ".github/workflows/test.yml": "test.yml.txt",
}
DATA_FILES = {  # if the plugin declares a dataset
    "@module@_data.py": "data.py.txt",
    "sample.py": "sample.py.txt",
    "tests/test_data.py": "test_data.py.txt",
}
DATA_COMMANDS = """\
python sample.py data          # write sample images; put your own images in their place
export ZOO_DATA=data
"""


def new_plugin(name: str, *, dataset: str | None = None, out: str | Path | None = None) -> Path:
    """Write a plugin with an architecture.

    Args:
        name: The name of the architecture.
        dataset: The dataset of its model. The plugin declares it, unless it is one of the zoo's. Default: digits.
        out: The folder to write. Default: `./zoo-NAME`.

    Returns:
        The folder.

    Raises:
        PluginError: A name is invalid, or is taken.
        FolderError: The folder exists, or can't be written.
    """
    for what, word in (("an architecture", name), ("a dataset", dataset)):
        if word is not None and not NAME.fullmatch(word):
            raise PluginError(
                f"{word!r} can't be the name of {what}; expected lower-case letters and digits, as in tiny"
            )
    if name in registry.provided():
        raise PluginError(f"there is an architecture {name} already; choose another name (zoo list shows all)")
    is_new = dataset is not None and dataset not in DATASETS
    if is_new and any(full.endswith(f"_{dataset}") for full in registry.entries()):
        raise PluginError(f"another plugin has a dataset {dataset} already; choose another name")
    folder = path_of(out or f"zoo-{name}")
    if folder.exists():
        raise FolderError(f"{folder} exists already; set out to another folder")
    try:
        for path, text in render(name, dataset or datasets.DIGITS.name):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise FolderError(f"{folder} can't be written: {error.strerror}") from None
    return folder


def render(name: str, dataset: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each file of a plugin."""
    module, constant = f"zoo_{name}", dataset.upper()
    words = {
        "name": name,
        "NAME": name.upper(),
        "module": module,
        "dataset": dataset,
        "DATASET": constant,
        "attribute": f"{name}_{dataset}",
    }
    modules = [module, f"{module}_net"]
    if dataset in DATASETS:
        paths, channels, classes = FILES, DATASETS[dataset].input_size[0], len(DATASETS[dataset].classes)
        words["imports"] = f"from zoo.plugin import {constant}, Architecture, Model, Recipe, require_api"
        words["data_commands"] = ""
    else:
        paths, channels, classes = FILES | DATA_FILES, 3, 2  # as in data.py.txt
        modules.append(f"{module}_data")
        words["imports"] = (
            f"from {module}_data import {constant}\nfrom zoo.plugin import Architecture, Model, Recipe, require_api"
        )
        words["data_commands"] = DATA_COMMANDS
    words["modules"] = ", ".join(f'"{module}"' for module in modules)
    words["parameters"] = f"{_parameters(channels, classes):_}"
    for path, template in paths.items():
        text = (files(__package__) / "plugin" / template).read_text(encoding="utf-8")
        yield _filled(path, words), _filled(text, words).rstrip() + "\n"


def _parameters(channels: int, classes: int) -> int:
    """The number of parameters of net.py.txt: two 3×3 convolutions to 16 channels, a batch norm, a linear layer."""
    return 9 * 16 * channels + 9 * 16 * 16 + 2 * 16 + (16 + 1) * classes


def _filled(text: str, words: dict[str, str]) -> str:
    return re.sub(r"@(\w+)@", lambda match: words[match[1]], text)
