"""What `zoo new` writes: a plugin of one architecture, with tests, and with a data set where one is asked for.

The files are beside this one, with `@word@` where something of its own comes in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from zoo import registry
from zoo.errors import FolderError, PluginError

# Of what is an entry point and an attribute of a module too.
WORD = re.compile(r"[a-z][a-z0-9]*")
# The residual block, and the rest by channels of an image and classes: what a net of `net.py.txt` has.
DIGITS, PICTURES = 2_650, 2_802


def new_plugin(name: str, *, dataset: str | None = None, out: Path | None = None) -> Path:
    """Write a plugin for an architecture of that name into `out` (`./zoo-NAME`); return that folder.

    Its model is on the zoo's digits, or on `dataset`, a data set of its own that is read from a folder of
    pictures. Raises PluginError for a name that can't be or is taken, and FolderError where something is there.
    """
    for what, word in (("an architecture", name), ("a data set", dataset)):
        if word is not None and not WORD.fullmatch(word):
            raise PluginError(
                f"{word!r} can't be the name of {what}; expected lower-case letters and digits, as in tiny"
            )
    if name in registry.provided():
        raise PluginError(f"there is an architecture {name} already; choose another name (zoo list shows all)")
    if dataset is not None and any(one.endswith(f"_{dataset}") for one in registry.entries()):
        raise PluginError(f"there is a data set {dataset} already; choose another name")
    folder = Path(f"zoo-{name}") if out is None else out
    if folder.exists():
        raise FolderError(f"{folder} is there already; name another folder with --out")
    for path, text in written(name, dataset):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def written(name: str, dataset: str | None) -> Iterator[tuple[str, str]]:
    """The files of a plugin by their paths in it, each with its text."""
    module, own = f"zoo_{name}", dataset is not None
    modules = [module, f"{module}_net", *([f"{module}_data"] if own else [])]
    words = {
        "name": name,
        "NAME": name.upper(),
        "module": module,
        "modules": ", ".join(f'"{one}"' for one in modules),
        "dataset": dataset or "digits",
        "DATASET": (dataset or "digits").upper(),
        "attribute": f"{name}_{dataset or 'digits'}",
        "parameters": f"{PICTURES if own else DIGITS:_}",
        "import_dataset": f"from {module}_data import {(dataset or '').upper()}\n"
        if own
        else "from zoo.datasets import DIGITS\n",
        "data": " --data data" if own else "",
    }
    words["about_data"] = _filled("about_data.txt", words) if own else ""
    paths = {
        "pyproject.toml": "pyproject.toml.txt",
        f"{module}.py": "facts.py.txt",
        f"{module}_net.py": "net.py.txt",
        "tests/test_model.py": "test_model.py.txt",
        "README.md": "README.md.txt",
        "Makefile": "Makefile.txt",
        ".gitignore": "gitignore.txt",
        ".github/workflows/test.yml": "test.yml.txt",
    }
    if own:
        paths |= {
            f"{module}_data.py": "data.py.txt",
            "sample.py": "sample.py.txt",
            "tests/test_data.py": "test_data.py.txt",
        }
    for path, template in paths.items():
        yield path, _filled(template, words).rstrip() + "\n"


def _filled(template: str, words: dict[str, str]) -> str:
    text = (files(__package__) / "plugin" / template).read_text(encoding="utf-8")
    return re.sub(r"@(\w+)@", lambda match: words[match[1]], text)
