"""The plugins that the documentation shows whole: each is one file, installed beside the zoo, and used."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest

from .conftest import CHECKOUT, Run, write_plugin

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


def install(group: str, site: Path) -> Path:
    """Install the plugin that a page shows for a group, as pip would; the folder to be on PYTHONPATH."""
    page, distribution, module = SHOWN[group]
    shown = blocks(page)
    project = tomllib.loads(shown[f"{distribution}/pyproject.toml"])["project"]
    assert project["name"] == distribution
    write_plugin(site, distribution, project["entry-points"][group], group)
    (site / f"{module}.py").write_text(shown[f"{distribution}/{module}.py"])
    return site


@pytest.mark.parametrize("group", SHOWN)
def test_it_is_one_file(group: str) -> None:
    page, distribution, module = SHOWN[group]
    files = [path for path in blocks(page) if path.startswith(f"{distribution}/") and "/tests/" not in path]
    assert files == [f"{distribution}/pyproject.toml", f"{distribution}/{module}.py"]


@pytest.mark.parametrize("group", ["zoo.reports", "zoo.exporters", "zoo.datasets"])
def test_it_imports_no_module_of_the_zoo_but_the_one_for_plugins(group: str) -> None:
    page, distribution, module = SHOWN[group]
    tree = ast.parse(blocks(page)[f"{distribution}/{module}.py"])
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name for name in imported if name and name.startswith("zoo")} <= {"zoo.plugin"}


def test_a_tracker(run_zoo: Run, tmp_path: Path) -> None:
    path = {"PYTHONPATH": str(install("zoo.reports", tmp_path / "site"))}
    words = ["train", "resnet8", "--epochs", "1", "--limit-train", "128", "--out", str(tmp_path / "out"), "-q"]
    finished = run_zoo(*words, "--track", "jsonl", **path)
    assert finished.returncode == 0, finished.stderr
    told = [json.loads(line) for line in (tmp_path / "out.events" / "told.jsonl").read_text().splitlines()]
    assert told[0]["begun"] == "resnet8_digits"
    assert [line["epoch"] for line in told if "epoch" in line] == [1, 1]


def test_an_exporter(run_zoo: Run, tmp_path: Path) -> None:
    path = {"PYTHONPATH": str(install("zoo.exporters", tmp_path / "site"))}
    finished = run_zoo("export", "resnet8", "--to", "double", "--out", str(tmp_path / "out"), **path)
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "out" / "double" / "model.pt2").is_file()
    measured = run_zoo("eval", str(tmp_path / "out"), "--with", "double", **path)
    assert "98.06%" in measured.stdout, measured.stderr


def test_a_kind_of_hub(run_zoo: Run, tmp_path: Path) -> None:
    path = {"PYTHONPATH": str(install("zoo.hubs", tmp_path / "site"))}
    finished = run_zoo("push", str(CHECKOUT / "hub_cards" / "resnet8_digits"), "--hub", "memory:x", **path)
    assert finished.returncode == 0, finished.stderr
    assert "memory:x/resnet8_digits" in finished.stdout
