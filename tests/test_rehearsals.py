"""The plugins that the documentation shows whole: each is one file, installed beside the zoo, and used."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import CHECKOUT, Run

# The page, the distribution and its module.
SHOWN = {
    "zoo.reports": ("trackers.md", "zoo-jsonl", "zoo_jsonl"),
    "zoo.exporters": ("plugins.md", "zoo-double", "zoo_double"),
    "zoo.hubs": ("hubs.md", "zoo-memory", "zoo_memory"),
    "zoo.datasets": ("pictures.md", "zoo-table", "zoo_table"),
}


def blocks(page: str) -> dict[str, str]:
    """The files that a page shows, by their paths."""
    code = re.findall(r"```\w+\n(# \S+/\S+\n.*?)```", (CHECKOUT / "docs" / page).read_text(), re.DOTALL)
    return {text.splitlines()[0].removeprefix("# "): text for text in code}


@pytest.fixture
def install(fake_plugin: Callable[..., Path]) -> Callable[[str], Path]:
    """Install the plugin that a page shows for a group, as pip would."""

    def install(group: str) -> Path:
        page, distribution, module = SHOWN[group]
        files = blocks(page)
        project = tomllib.loads(files[f"{distribution}/pyproject.toml"])["project"]
        assert project["name"] == distribution
        entry_points = project["entry-points"][group]
        return fake_plugin(distribution, entry_points, module, files[f"{distribution}/{module}.py"], group=group)

    return install


@pytest.mark.parametrize("group", SHOWN)
def test_a_plugin_in_the_documentation_is_one_file(group: str) -> None:
    page, distribution, module = SHOWN[group]
    files = [path for path in blocks(page) if path.startswith(f"{distribution}/") and "/tests/" not in path]
    assert files == [f"{distribution}/pyproject.toml", f"{distribution}/{module}.py"]


@pytest.mark.parametrize("group", ["zoo.reports", "zoo.exporters", "zoo.datasets"])
def test_a_plugin_in_the_documentation_imports_zoo_plugin_only(group: str) -> None:
    page, distribution, module = SHOWN[group]
    tree = ast.parse(blocks(page)[f"{distribution}/{module}.py"])
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name for name in imported if name and name.startswith("zoo")} <= {"zoo.plugin"}


def test_the_exporter_in_the_documentation_exports_a_model(
    run_here: Run, install: Callable[[str], Path], tmp_path: Path
) -> None:
    install("zoo.exporters")
    finished = run_here("export", "resnet8", "--to", "double", "--out", str(tmp_path / "out"))
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "out" / "double" / "model.pt2").is_file()
    measured = run_here("eval", str(tmp_path / "out"), "--with", "double")
    assert "98.06%" in measured.stdout, measured.stderr


def test_the_hub_in_the_documentation_publishes_a_model(
    run_here: Run, install: Callable[[str], Path], tmp_path: Path
) -> None:
    install("zoo.hubs")
    finished = run_here("push", str(CHECKOUT / "hub_cards" / "resnet8_digits"), "--hub", "memory:x")
    assert finished.returncode == 0, finished.stderr
    assert "memory:x/resnet8_digits" in finished.stdout
