"""Imports go from higher layers to lower ones only, and heavy libraries are imported where they are used."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from .conftest import CHECKOUT

# From the top down. Packages of one layer do not import one another.
LAYERS = [
    {"__main__"},
    {"cli"},
    {"api", "testing", "templates"},
    {"training", "exporters", "page"},
    {"evaluation", "hub"},
    {"data", "nets"},
    {"plugin"},
    {"record"},
    {"registry", "formats"},
    {"plugins"},
    {"datasets"},
    {"spec"},
    {"decoding"},
    {"errors"},
    {"plain", "blocks", "options"},
]
TORCH_FREE = {
    "cli",
    "__main__",
    "__init__",
    "api",
    "registry",
    "formats",
    "plugin",
    "plugins",
    "templates",
    "datasets",
    "spec",
    "decoding",
    "errors",
    "plain",
    "record",
    "hub",
    "page",
}
TORCH_FREE_TOO = {
    "options",
    "testing",
    "testing.hubs",
    "testing.distributions",
    "testing.pytest_plugin",
    "training.environment",
    "training.importing",
    "training.launch",
    "training.options",
    "training.plan",
    "training.reporting",
    "training.trackers",
    "evaluation.report",
}
HEAVY = {
    "tenacity", "torch", "torchvision", "timm", "safetensors", "huggingface_hub", "matplotlib", "sklearn", "numpy",
    "onnx", "onnxscript", "onnxruntime", "tensorboard", "jinja2", "markupsafe",
}  # fmt: skip
# What only a person has who exports, or looks at curves in a browser.
EXTRA = {"onnx", "onnxscript", "onnxruntime", "tensorboard"}


def modules() -> dict[str, Path]:
    root = CHECKOUT / "zoo"
    found = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


def imports(path: Path, *, at_the_top_only: bool = False) -> set[str]:
    """Every module that a file imports, `from x import y` as both x and x.y; not those for types only."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found: set[str] = set()
    for node in tree.body if at_the_top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def package(module: str) -> str:
    return module.partition(".")[0]


def height(module: str) -> int:
    return next(level for level, layer in enumerate(LAYERS) if package(module) in layer)


def inner_imports(module: str) -> set[str]:
    """The modules of the zoo that a module imports, the packages that they are in left out."""
    known = modules()
    found = {name.removeprefix("zoo.") for name in imports(known[module]) if name.startswith("zoo.")}
    return {name for name in found if name in known and name != module}


def test_every_package_has_a_layer() -> None:
    assert {package(module) for module in modules()} - {"__init__"} == set().union(*LAYERS)


@pytest.mark.parametrize("module", sorted(set(modules()) - {"__init__"}))
def test_imports_go_down_only(module: str) -> None:
    for below in inner_imports(module):
        same_package = package(below) == package(module)
        assert same_package or height(below) > height(module), (
            f"zoo.{module} imports zoo.{below}, which is not below it"
        )


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


@pytest.mark.parametrize(
    "module", sorted(one for one in modules() if package(one) in TORCH_FREE or one in TORCH_FREE_TOO)
)
def test_heavy_libraries_are_imported_where_they_are_used(module: str) -> None:
    top = {name.split(".")[0] for name in imports(modules()[module], at_the_top_only=True)}
    assert not top & HEAVY


@pytest.mark.parametrize("module", sorted(modules()))
def test_what_is_an_extra_is_imported_where_it_is_used(module: str) -> None:
    top = {name.split(".")[0] for name in imports(modules()[module], at_the_top_only=True)}
    assert not top & EXTRA


@pytest.mark.parametrize(
    "module",
    sorted(
        name
        for name in modules()
        if package(name) in ("training", "evaluation", "data")
        and name not in ("training.plan", "training.launch", "training.importing")
    ),
)
def test_the_loop_does_not_know_the_hub(module: str) -> None:
    assert not any(name.startswith("zoo.hub") for name in imports(modules()[module]))


@pytest.mark.parametrize("path", sorted((CHECKOUT / "plugins").glob("*/*/*.py")), ids=lambda path: path.stem)
def test_a_plugin_imports_the_facts_of_the_zoo_and_nothing_above_them(path: Path) -> None:
    allowed = {"zoo.plugin", "zoo.blocks"} | (
        {"zoo.testing", "zoo.registry", "zoo.data"} if "tests" in path.parts else set()
    )
    used = {name for name in imports(path) if name.startswith("zoo.")}
    assert all(any(name == one or name.startswith(f"{one}.") for one in allowed) for name in used)
