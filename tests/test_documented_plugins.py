"""The complete plugins in the documentation: each is one file, is installed, and works."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import CHECKOUT, Run

# The distribution that a page shows, and its module. The others are run by test_trackers, test_check_hub and
# test_images.
SHOWN = {
    "trackers.md": ("zoo-jsonl", "zoo_jsonl"),
    "plugins.md": ("zoo-double", "zoo_double"),
    "hubs.md": ("zoo-memory", "zoo_memory"),
    "images.md": ("zoo-table", "zoo_table"),
}


def blocks(page: str) -> dict[str, str]:
    """The files that a page shows, by their paths."""
    code = re.findall(r"```\w+\n(# \S+/\S+\n.*?)```", (CHECKOUT / "docs" / page).read_text(), re.DOTALL)
    return {text.splitlines()[0].removeprefix("# "): text for text in code}


@pytest.mark.parametrize("page", SHOWN)
def test_a_plugin_in_the_documentation_is_one_file(page: str) -> None:
    distribution, module = SHOWN[page]
    files = [path for path in blocks(page) if path.startswith(f"{distribution}/") and "/tests/" not in path]
    assert files == [f"{distribution}/pyproject.toml", f"{distribution}/{module}.py"]


@pytest.mark.parametrize("page", ["trackers.md", "plugins.md", "images.md"])
def test_a_plugin_in_the_documentation_imports_zoo_plugin_only(page: str) -> None:
    distribution, module = SHOWN[page]
    tree = ast.parse(blocks(page)[f"{distribution}/{module}.py"])
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name for name in imported if name and name.startswith("zoo")} <= {"zoo.plugin"}


def test_the_exporter_in_the_documentation_exports_a_model(
    run_here: Run, fake_plugin: Callable[..., Path], tmp_path: Path
) -> None:
    files = blocks("plugins.md")
    project = tomllib.loads(files["zoo-double/pyproject.toml"])["project"]
    group = "zoo.exporters"
    fake_plugin(
        project["name"], project["entry-points"][group], "zoo_double", files["zoo-double/zoo_double.py"], group=group
    )
    finished = run_here("export", "resnet8", "--to", "double", "--out", str(tmp_path / "out"))
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "out" / "double" / "model.pt2").is_file()
    measured = run_here("eval", str(tmp_path / "out"), "--with", "double")
    assert "98.06%" in measured.stdout, measured.stderr
