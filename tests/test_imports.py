"""Imports go from higher layers to lower ones only, and heavy libraries are imported where they are used."""

from __future__ import annotations

import ast
import functools
from graphlib import TopologicalSorter
from pathlib import Path

from .conftest import CHECKOUT

# From the top down. Packages of one layer do not import one another.
LAYERS = [
    {"__main__"},
    {"cli"},
    {"api", "testing", "templates", "plugin"},
    {"training", "exporters", "page"},
    {"evaluation", "hub"},
    {"data", "nets"},
    {"record"},
    {"registry", "formats"},
    {"plugins"},
    {"datasets"},
    {"spec"},
    {"decoding"},
    {"errors"},
    {"plain", "blocks", "options", "notebook"},
]
TORCH_FREE = {
    "cli", "__main__", "__init__", "api", "registry", "formats", "plugin", "plugins", "templates", "datasets", "spec",
    "decoding", "errors", "notebook", "plain", "record", "hub", "page",
}  # fmt: skip
TORCH_FREE_TOO = {
    "options", "testing", "testing.hubs", "testing.distributions", "testing.pytest_plugin", "training.config",
    "training.environment", "training.importing", "training.launch", "training.options",
    "training.plan", "training.reporting", "training.trackers",
    "evaluation.report",
}  # fmt: skip
HEAVY = {
    "tenacity", "torch", "torchvision", "timm", "safetensors", "huggingface_hub", "matplotlib", "sklearn", "numpy",
    "onnx", "onnxscript", "onnxruntime", "tensorboard", "jinja2", "markupsafe",
}  # fmt: skip
# Installed with extras only.
EXTRA = {"onnx", "onnxscript", "onnxruntime", "tensorboard"}


@functools.cache
def modules() -> dict[str, Path]:
    root = CHECKOUT / "zoo"
    files = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return files


@functools.cache
def imports(path: Path, *, at_the_top_only: bool = False) -> set[str]:
    """The modules that a file imports, without imports for types only; `from x import y` counts as x and as x.y."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    names: set[str] = set()
    for node in tree.body if at_the_top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def package(module: str) -> str:
    return module.partition(".")[0]


def height(module: str) -> int:
    return next(level for level, layer in enumerate(LAYERS) if package(module) in layer)


def inner_imports(module: str) -> set[str]:
    """The modules of the zoo that a module imports."""
    files = modules()
    names = {name.removeprefix("zoo.") for name in imports(files[module]) if name.startswith("zoo.")}
    return {name for name in names if name in files and name != module}


def test_every_package_has_a_layer() -> None:
    assert {package(module) for module in modules()} - {"__init__"} == set().union(*LAYERS)


def test_imports_go_down_only() -> None:
    upward = [
        f"zoo.{module} imports zoo.{below}"
        for module in set(modules()) - {"__init__"}
        for below in inner_imports(module)
        if package(below) != package(module) and height(below) <= height(module)
    ]
    assert upward == []


def test_imports_inside_a_package_have_no_cycle() -> None:
    order = TopologicalSorter(
        {
            module: {
                below
                for below in inner_imports(module)
                if package(below) == package(module) and below != package(module)
            }
            for module in modules()
            if module != package(module)
        }
    )
    order.prepare()  # raises CycleError, which names the cycle


def test_a_kind_of_hub_is_imported_by_its_scheme_only() -> None:
    kinds = {"zoo.hub.local", "zoo.hub.hugging_face"}
    assert {module for module, path in modules().items() if kinds & imports(path)} == {"hub.catalogue"}


def at_the_top(module: str) -> set[str]:
    """The packages that a module imports at its top."""
    return {name.split(".")[0] for name in imports(modules()[module], at_the_top_only=True)}


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    free = [module for module in modules() if package(module) in TORCH_FREE or module in TORCH_FREE_TOO]
    assert {module: heavy for module in free if (heavy := at_the_top(module) & HEAVY)} == {}
    assert {module: extra for module in modules() if (extra := at_the_top(module) & EXTRA)} == {}


def test_a_plugin_imports_public_modules_only() -> None:
    for path in (CHECKOUT / "plugins").glob("*/*/*.py"):
        allowed = {"zoo.plugin", "zoo.blocks"}
        if "tests" in path.parts:
            allowed |= {"zoo.api", "zoo.testing", "zoo.registry", "zoo.data"}
        used = {".".join(name.split(".")[:2]) for name in imports(path) if name.startswith("zoo.")}
        assert used <= allowed, path
