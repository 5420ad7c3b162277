"""The citation, the page for contributors and the CI workflow agree with the code."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import yaml

from zoo.cli.app import load

from .conftest import CHECKOUT

PROJECT: dict[str, Any] = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
WORKFLOW: dict[str, Any] = yaml.safe_load((CHECKOUT / ".github" / "workflows" / "ci.yml").read_text())


def test_the_citation_has_the_version_and_license_of_the_package() -> None:
    citation = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])


def test_the_page_for_contributors_names_targets_and_files_that_exist() -> None:
    page = (CHECKOUT / "CONTRIBUTING.md").read_text()
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", page)) <= targets
    for command in re.findall(r"`zoo ([^`]+)`", page):
        name, *words = command.split()
        load(name).make_context(name, words)
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert links
    assert all((CHECKOUT / link).exists() for link in links)


def test_the_workflow_installs_the_oldest_releases_that_the_package_declares() -> None:
    oldest = dict(re.findall(r"([\w-]+)==([\d.]+)\.\*", str(WORKFLOW["jobs"]["smoke"])))
    declared = dict(re.findall(r"([\w-]+)>=([\d.]+)", " ".join(PROJECT["dependencies"])))
    assert set(oldest) == {"torch", "torchvision", "huggingface_hub"}
    assert oldest.items() <= declared.items()


def test_the_workflow_runs_tests_that_exist_on_three_systems() -> None:
    smoke = WORKFLOW["jobs"]["smoke"]
    systems = {entry["os"] for entry in smoke["strategy"]["matrix"]["include"]}
    assert systems == {"ubuntu-latest", "macos-latest", "windows-latest"}
    files = re.findall(r"tests/\w+\.py", str(smoke["steps"]))
    assert files
    assert all((CHECKOUT / file).exists() for file in files)


def test_the_extra_all_has_every_extra_for_users() -> None:
    extras = PROJECT["optional-dependencies"]
    (everything,) = extras["all"]
    assert set(re.findall(r"[\w-]+", everything.partition("[")[2])) == set(extras) - {"all", "dev", "docs"}
