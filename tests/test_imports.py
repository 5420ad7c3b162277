"""The arrows of the house: imports go down only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from .conftest import CHECKOUT

# From the roof down; modules on one line don't need one another's order.
LAYERS = [
    {"cli", "__main__"},
    {"progress"},
    {"api", "testing"},
    {"listing"},
    {"find"},
    {"run", "verify"},
    {"train"},
    {"step"},
    {"answers"},
    {"evaluate", "checkpoint", "optim", "weights", "environment"},
    {"data"},
    {"mixing", "device", "interrupt", "preprocess", "predict", "layers", "distributed"},
    {"hub.catalogue"},
    {"hub.local", "hub.hugging_face"},
    {"hub"},
    {"registry", "card", "curve", "report"},
    {"folder", "job", "datasets"},
    {"spec"},
    {"schema"},
    {"errors"},
]
TORCH_FREE = {"cli", "__main__", "__init__", "progress", "api", "registry", "card", "curve", "folder", "job"} | {
    "datasets", "spec", "schema", "errors", "hub", "hub.local", "hub.hugging_face", "hub.catalogue", "interrupt",
    "report", "find", "listing",
}  # fmt: skip
HEAVY = {"tenacity", "torch", "torchvision", "timm", "safetensors", "huggingface_hub", "matplotlib", "sklearn", "numpy"}


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


def height(module: str) -> int:
    return next(level for level, layer in enumerate(LAYERS) if module in layer)


def test_every_module_has_its_layer() -> None:
    assert set(modules()) - {"__init__"} == set().union(*LAYERS)


@pytest.mark.parametrize("module", sorted(set(modules()) - {"__init__", "hub"}))
def test_imports_go_down_only(module: str) -> None:
    known = modules()
    for name in imports(known[module]):
        below = name.removeprefix("zoo.")
        if name.startswith("zoo.") and below in known and below != module:
            assert height(below) >= height(module), f"zoo.{module} imports {name}, which is above it"


def test_the_hub_knows_its_two_hubs_only_when_it_opens_one() -> None:
    path = modules()["hub"]
    assert not {"zoo.hub.local", "zoo.hub.hugging_face"} & imports(path, at_the_top_only=True)
    assert {name for name in imports(path) if name.count(".") == 1 and name.startswith("zoo.")} == {"zoo.errors"}


@pytest.mark.parametrize("module", sorted(TORCH_FREE))
def test_heavy_libraries_are_imported_where_they_are_used(module: str) -> None:
    top = {name.split(".")[0] for name in imports(modules()[module], at_the_top_only=True)}
    assert not top & HEAVY


@pytest.mark.parametrize("module", ["train", "step", "distributed", "evaluate", "checkpoint", "data", "optim", "run"])
def test_the_loop_does_not_know_the_hub(module: str) -> None:
    assert not any(name.startswith("zoo.hub") for name in imports(modules()[module]))


@pytest.mark.parametrize("path", sorted((CHECKOUT / "plugins").glob("*/*/*.py")), ids=lambda path: path.stem)
def test_a_plugin_imports_the_facts_of_the_zoo_and_nothing_above_them(path: Path) -> None:
    allowed = {"zoo.spec", "zoo.datasets"} | ({"zoo.testing", "zoo.registry"} if "tests" in path.parts else set())
    used = {name for name in imports(path) if name.startswith("zoo.")}
    assert all(any(name == one or name.startswith(f"{one}.") for one in allowed) for name in used)
