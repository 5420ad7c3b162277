"""`zoo.testing.check_hub`, and the hubs that pass it: both of the zoo and the plugin in docs/hubs.md."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

import zoo
from zoo.cli.app import app
from zoo.errors import HubError
from zoo.hub import Address, Hub, Pushed, Revision, open_hub
from zoo.hub.hugging_face import HuggingFaceHub
from zoo.hub.local import FolderHub
from zoo.record import store
from zoo.testing import check_hub

from . import loopback_hub
from .conftest import CHECKOUT

NAME = "resnet8_digits"
PAGE = (CHECKOUT / "docs" / "hubs.md").read_text()
BLOCKS = {code.splitlines()[0].removeprefix("# "): code for code in re.findall(r"```\w+\n(.*?)```", PAGE, re.DOTALL)}


@pytest.fixture
def memory(fake_plugin: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """An empty hub of the plugin that the page shows, which is installed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    declared = tomllib.loads(BLOCKS["zoo-memory/pyproject.toml"])["project"]["entry-points"]["zoo.hubs"]
    fake_plugin("zoo-memory", declared, "zoo_memory", BLOCKS["zoo-memory/zoo_memory.py"], group="zoo.hubs")
    return open_hub("memory:x")


def test_a_folder_hub_passes_the_check(trained: Path, tmp_path: Path) -> None:
    check_hub(FolderHub(tmp_path / "hub"), trained)


def test_the_hugging_face_hub_passes_the_check(hub: loopback_hub.Hub, trained: Path) -> None:
    check_hub(HuggingFaceHub(None), trained)


def test_the_hub_in_the_documentation_passes_the_check(memory: Hub, trained: Path) -> None:
    check_hub(memory, trained)
    namespace: dict[str, Callable[[], None]] = {}
    exec(BLOCKS["zoo-memory/tests/test_zoo_memory.py"], namespace)
    namespace["test_memory_is_a_hub"]()


def test_every_command_works_with_the_hub_of_a_plugin(memory: Hub, trained: Path, tmp_path: Path) -> None:
    def run(*words: str) -> str:
        finished = CliRunner().invoke(app, words, catch_exceptions=False)
        assert finished.exit_code == 0
        return finished.output

    revision = run("push", str(trained), "--hub", "memory:x").split()[-1]
    assert revision == memory.revisions(NAME)[0][:12]
    assert f"memory:x/{NAME}" in run("list", "--hub", "memory:x")
    assert run("info", "resnet8", "--hub", "memory:x", "--no-layers").count(f"memory:x/{NAME}") == 1
    run("pull", f"memory:x/{NAME}@{memory.revisions(NAME)[0]}", "--out", str(tmp_path / "pulled"))
    assert store.identity(tmp_path / "pulled") == store.identity(trained)
    assert not zoo.load(f"memory:x/{NAME}", pretrained=True).training
    with pytest.raises(HubError, match="memory:x can't be searched"):
        run("search", "resnet8", "--hub", "memory:x")


def test_the_page_names_every_member_of_the_protocol() -> None:
    named = set(re.findall(r"^\| `(\w+)[(`]", PAGE.partition("## Write another kind of hub")[2], re.MULTILINE))
    members = {name for name in vars(Hub) if not name.startswith("_")}
    assert named == members | {"Searchable", "Cards", "Dated", "Repositories"}


def test_a_hub_is_checked_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from zoo.api import find; from zoo.hub import open_hub; from zoo.testing import check_hub\n"
        f"check_hub(open_hub('file:{tmp_path / 'hub'}'), find('{NAME}'))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == ""


# -- hubs that break a rule ------------------------------------------------------------------------


class ForgetsTheName(FolderHub):
    def publish(self, name: str, files: Mapping[str, bytes]) -> Pushed:
        return Pushed(self.address, super().publish(name, files).revision)


class ResolvesTheNewest(FolderHub):
    def resolve(self, name: str, revision: str | None = None) -> Revision:
        return super().resolve(name)


class ListsTheOldestFirst(FolderHub):
    def revisions(self, name: str) -> list[str]:
        return super().revisions(name)[::-1]


class RaisesKeyError(FolderHub):
    def revisions(self, name: str) -> list[str]:
        raise KeyError(name)


class HasAnotherAddress(FolderHub):
    @property
    def address(self) -> Address:
        return Address("file", f"{self.path}-elsewhere")


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (ForgetsTheName, "publish gives the address file:.*, it should be file:.*/resnet8_digits"),
        (ResolvesTheNewest, r"@.*: the record should be the one that was published"),
        (ListsTheOldestFirst, "should have two revisions, newest first"),
        (RaisesKeyError, "revisions of a model that is not there should be a NotFound, not KeyError"),
        (HasAnotherAddress, "opened by the address file:.*-elsewhere should have the same revisions of resnet8_digits"),
    ],
)
def test_a_broken_rule_is_reported(kind: type[FolderHub], sentence: str, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_hub(kind(tmp_path / "hub"), trained)


def test_a_missing_method_is_reported(trained: Path) -> None:
    with pytest.raises(AssertionError, match="PosixPath should have a method require_writable"):
        check_hub(trained, trained)  # type: ignore[arg-type]
