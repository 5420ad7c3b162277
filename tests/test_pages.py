"""The commands, programs, links and generated parts of README.md, plugins/*/README.md and docs/*.md."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo import registry
from zoo.cli.app import COMMANDS, load
from zoo.testing import check_model

from .conftest import CHECKOUT, Run
from .images import draw, flowers

PAGES = {
    path.relative_to(CHECKOUT).as_posix(): path
    for path in (CHECKOUT / "README.md", *CHECKOUT.glob("plugins/*/README.md"), *CHECKOUT.glob("docs/*.md"))
}
TEXT = PAGES["README.md"].read_text()


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGES[page].read_text(), re.DOTALL)


def is_program(code: str) -> bool:
    """Whether the code runs alone. A file of a plugin begins with its path: `# zoo-tiny/zoo_tiny.py`."""
    return code.startswith(("import ", "from "))


# The commands and programs of these pages are run, with one epoch unless they name a recipe. test_others and
# test_trackers run those of others.md and trackers.md.
RUN = (
    "README.md", "docs/training.md", "docs/images.md", "docs/evaluating.md", "docs/plugins.md",
    pytest.param("docs/export.md", marks=pytest.mark.slow),  # test_export runs the same commands
)  # fmt: skip
# Takes minutes, so `make test-slow` runs it.
LONG = "zoo reproduce resnet8 --quiet"


@pytest.mark.parametrize("page", RUN)
def test_the_commands_and_the_python_of_a_page_run(
    page: str, tmp_path: Path, run_here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    if page == "docs/export.md" and importlib.util.find_spec("onnxruntime") is None:
        pytest.skip("needs what `pip install 'residual-zoo[export]'` installs")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    shutil.copyfile(CHECKOUT / "tests" / "photo.png", work / "photo.png")
    if page == "docs/images.md":
        flowers(work / "flowers", size=(40, 30))
        draw(work / "unsorted", 40, size=(30, 40))
        (work / "unsorted" / "rose" / "bad.jpg").write_text("no image")
    commands = [line for code in blocks(page, "sh") for line in code.splitlines()]
    assert commands
    for line in commands:
        if line != LONG:
            words = shlex.split(line)[1:]
            short = ["--epochs", "1"] if words[0] in ("train", "compare") and "--recipe" not in words else []
            finished = run_here(*words, *short)
            assert finished.returncode == 0, f"{line}\n{finished.stdout}{finished.stderr}"
    monkeypatch.chdir(work)
    for code in blocks(page, "python"):
        if is_program(code):
            exec(compile(code.replace("PATH/TO/CHECKOUT", str(CHECKOUT)), page, "exec"), {"__name__": "__main__"})


@pytest.mark.slow
def test_the_long_command_of_evaluating_runs(run_here: Run) -> None:
    assert LONG in "\n".join(blocks("docs/evaluating.md", "sh"))
    finished = run_here(*shlex.split(LONG)[1:])
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("page", sorted(PAGES.keys() - {"docs/command-line.md"}))  # its usage lines are no commands
def test_the_commands_of_a_page_have_valid_arguments(page: str) -> None:
    lines = [
        line.removeprefix("$ ")
        for language in ("sh", "console")
        for code in blocks(page, language)
        for line in code.splitlines()
    ]
    for line in lines:
        words = [word for word in shlex.split(line, comments=True) if not word.startswith("ZOO_")]
        if words[0] == "zoo":
            load(words[1]).make_context(words[1], words[2:])


@pytest.mark.parametrize("page", sorted(PAGES))
def test_the_links_of_a_page_exist(page: str) -> None:
    for target, heading in re.findall(r"\]\(([^)#]*)(?:#([^)]+))?\)", PAGES[page].read_text()):
        if not target.startswith("https://"):
            path = (PAGES[page].parent / target) if target else PAGES[page]
            assert path.exists(), target
            assert not heading or heading in headings(path), f"{target}#{heading}"


def headings(path: Path) -> set[str]:
    """The anchors of a page's headings."""
    texts = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts}


def test_the_readme_links_to_every_page() -> None:
    assert {page for page in PAGES if page != "README.md"} <= set(re.findall(r"\]\(([^)#]+)", TEXT))


@pytest.mark.parametrize("plugin", ["zoo-resnet-cifar", "zoo-resnet-wide", "zoo-resnet-tied"])
def test_the_page_of_a_plugin_describes_each_of_its_recipes(plugin: str) -> None:
    models = registry.load_all(entry for entry in registry.entries().values() if entry.is_by(plugin))
    recipes = {name for model in models for name in model.recipes}
    assert recipes
    _, table = PAGES[f"plugins/{plugin}/README.md"].read_text().split("| recipe | description |")
    assert set(re.findall(r"^\| `(\w+)` \| ", table, re.MULTILINE)) == recipes


def test_generated_files_are_current_in_any_environment() -> None:
    """The README's table, the catalogue's cards, the contract of plugins, the command line."""
    environment = {"COLUMNS": "30", "TERM": "dumb", "ZOO_HUB": "file:hub", "ZOO_DATA": "data", "HOME": "/"}
    command = [sys.executable, str(CHECKOUT / "docs" / "generate.py"), "--check"]
    finished = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    assert (finished.returncode, finished.stdout) == (0, ""), finished.stderr


def test_the_command_line_has_every_command_with_every_option() -> None:
    sections = re.split(r"^## `zoo (.*)`$", PAGES["docs/command-line.md"].read_text(), flags=re.MULTILINE)[1:]
    assert sections[::2] == list(COMMANDS)
    for section, command in zip(sections[1::2], map(load, COMMANDS), strict=True):
        rows = re.findall(r"^\* `(.*?)`: .", section, re.MULTILINE)
        options = {word for words in rows for word in re.findall(r"--?[a-z][a-z0-9-]*", words)} - {"-h", "--help"}
        assert options == {
            word for option in command.params for word in (*option.opts, *option.secondary_opts) if "-" in word
        }


def test_the_api_page_has_every_public_name() -> None:
    import zoo

    names = re.findall(r"^::: [\w.]+\.(\w+)$", PAGES["docs/api.md"].read_text(), re.MULTILINE)
    assert set(names) == set(zoo.__all__)


def test_the_navigation_of_the_site_has_every_page() -> None:
    navigation = (CHECKOUT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    pages = {path.name for path in CHECKOUT.glob("docs/*.md")} | {"index.md"}
    assert set(re.findall(r": ([\w-]+\.md)$", navigation, re.MULTILINE)) == pages


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs what `make docs` installs")
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT)
    assert finished.returncode == 0, finished.stderr


def test_the_plugin_of_plugins_md_trains_and_passes_the_check(run_here: Run, fake_plugin: Callable[..., Path]) -> None:
    codes = [*blocks("docs/plugins.md", "toml"), *blocks("docs/plugins.md", "python")]
    project, module, net = (code for code in codes if code.startswith("# zoo-tiny/"))
    entry_points = tomllib.loads(project)["project"]["entry-points"]["zoo.models"]
    site = fake_plugin("zoo-tiny", entry_points, "zoo_tiny", module)
    (site / "zoo_tiny_net.py").write_text(net)
    check_model(registry.load("tiny_digits"))
    finished = run_here("train", "tiny", "--push", "--hub", "file:hub")
    top1 = re.search(r"tiny_digits: top-1 ([\d.]+)%", finished.stdout)
    assert top1, finished.stderr
    assert float(top1[1]) > 80


def test_the_make_commands_of_the_readme_are_in_the_makefile() -> None:
    targets = re.findall(r"^(\w+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    commands = set(re.findall(r"`make (\w+)`", TEXT))
    assert commands
    assert commands <= set(targets)


def test_the_readme_has_at_most_120_lines() -> None:
    assert len(TEXT.splitlines()) <= 120
