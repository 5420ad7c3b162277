"""`zoo new plugin` writes a plugin that passes its own tests."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo import templates
from zoo.errors import FolderError, PluginError

from .conftest import Run


def own_tests(folder: Path) -> str:
    command = [sys.executable, "-m", "pytest", "-q"]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_a_new_plugin_passes_its_own_tests(run_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished = run_here("new", "plugin", "mine")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith(
        "written to zoo-mine; next: cd zoo-mine && pip install -e '.[test]' && python -m pytest"
    )
    (folder,) = (tmp_path / "work").iterdir()
    monkeypatch.syspath_prepend(str(folder))
    own = runpy.run_path(str(folder / "tests" / "test_model.py"))
    tests = [function for name, function in own.items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()
    for name in ("zoo_mine", "zoo_mine_net"):
        del sys.modules[name]


@pytest.mark.slow
def test_a_new_plugin_with_a_dataset_is_installed_and_passes_all_tests(tmp_path: Path) -> None:
    folder, site = templates.new_plugin("mine", dataset="petals", out=tmp_path / "zoo-mine"), tmp_path / "site"
    assert "3 passed" in own_tests(folder)
    pip = f"{sys.executable} -m pip --quiet --disable-pip-version-check install --no-deps --no-build-isolation"
    subprocess.run([*pip.split(), "--target", site, folder], check=True)
    subprocess.run([sys.executable, folder / "sample.py", tmp_path / "data"], check=True)
    environment = {
        "PYTHONPATH": f"{site}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "ZOO_DATA": f"{tmp_path}/data",
    }
    words = ["-m", "pytest", "-q", "-p", "zoo.testing.pytest_plugin", "--zoo-plugin", "zoo-mine", "tests"]
    finished = subprocess.run(
        [sys.executable, *words], cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert "7 passed" in finished.stdout, finished.stdout


def test_every_template_is_filled_in_and_used() -> None:
    texts = dict(templates.render("mine", "petals"))
    for path, text in texts.items():
        assert not re.search(r"@[a-zA-Z_]+@", text), path
    shipped = {path.name for path in (Path(templates.__file__).parent / "plugin").iterdir()}
    assert len(shipped) == len(texts)


@pytest.mark.parametrize(
    ("name", "dataset", "message"),
    [
        ("Mine!", None, "'Mine!' can't be the name of an architecture"),
        ("mine", "my_set", "'my_set' can't be the name of a dataset"),
        ("resnet20", None, "there is an architecture resnet20 already"),
    ],
)
def test_an_invalid_or_existing_name_is_refused(name: str, dataset: str | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=message):
        templates.new_plugin(name, dataset=dataset, out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_existing_or_impossible_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out, message in (
        (tmp_path, "exists already"),
        (tmp_path / "file" / "mine", "can't be written: Not a directory"),
    ):
        with pytest.raises(FolderError, match=message):
            templates.new_plugin("mine", out=out)


def test_a_new_plugin_on_a_dataset_of_the_zoo_declares_its_parameters(tmp_path: Path) -> None:
    folder = templates.new_plugin("mine", dataset="cifar100", out=tmp_path / "zoo-mine")
    assert not (folder / "sample.py").exists()
    assert "from zoo.plugin import CIFAR100, Architecture" in (folder / "zoo_mine.py").read_text()
    assert "Model(MINE, CIFAR100, parameters=4_468)" in (folder / "zoo_mine.py").read_text()


def test_the_dataset_of_another_plugin_is_refused(fake_plugin: Callable[..., Path], tmp_path: Path) -> None:
    fake_plugin("zoo-flowers", {"mine_flowers": "flowers:mine_flowers"})
    with pytest.raises(PluginError, match="another plugin has a dataset flowers already"):
        templates.new_plugin("other", dataset="flowers", out=tmp_path / "new")
