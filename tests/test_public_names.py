from __future__ import annotations

import doctest
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from zoo import api, spec
from zoo.plugins import core_version

from .conftest import CHECKOUT


def test_the_public_names_are_these() -> None:
    assert zoo.__all__ == [
        "Architecture", "Dataset", "Model", "Recipe", "ZooError",
        "evaluate", "export", "info", "list_models", "load", "predict", "pull", "push", "reproduce", "train",
        "transforms", "verify",
    ]  # fmt: skip
    assert zoo.__version__ == core_version()
    assert all(hasattr(zoo, name) for name in zoo.__all__)
    assert set(zoo.__all__) <= set(dir(zoo))


def test_a_name_that_is_none_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'lod'"):
        zoo.lod  # noqa: B018


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (api.load, "model pretrained hub revision num_classes in_channels device"),
        (api.transforms, "model hub revision"),
        (api.list_models, "pattern dataset pretrained max_parameters sort hub"),
        (api.info, "name hub"),
        (api.evaluate, "model hub revision weights device data dataset runtime tell"),
        (api.export, "model to out hub revision data allow_loss"),
        (api.page, "out hub runtime"),
        (api.predict, "model pictures top hub revision device runtime"),
        (api.plot, "runs out"),
        (api.layers, "model depth"),
        (api.push, "path hub license"),
        (api.verify, "model hub revision device data dataset tell"),
        (api.pull, "model hub revision out"),
    ],
)
def test_the_signatures_are_these(function: object, parameters: str) -> None:
    assert " ".join(inspect.signature(function).parameters) == parameters  # type: ignore[arg-type]


SCRIPT = """
from pathlib import Path

from torch import Tensor, nn

import zoo

model: nn.Module = zoo.load("resnet8_digits", pretrained=True, num_classes=3)
done = zoo.train("resnet8", epochs=1, out="out", push=True, hub="file:hub")
print(done.folder, done.config.results.test_top1, done.config.job.recipe.lr)
print(zoo.evaluate(done.folder).confusion, zoo.verify(done.folder).differences, zoo.pull("resnet8", hub="file:hub"))
for prediction in [*zoo.predict("resnet8", [Path("photo.png")]), *zoo.predict("resnet8", "photo.png")]:
    print(prediction.guesses[0].label)
pushed = zoo.push(done.folder, hub="file:hub")
print(pushed.revision.upper(), zoo.info("resnet8").model, zoo.list_models("resnet*")[0].upper())
wrong: int = zoo.list_models()
"""


def test_a_script_of_a_users_is_checked_strictly(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    cache = f"--cache-dir={CHECKOUT / '.mypy_cache'}"  # what checking the zoo itself has left
    config = f"--config-file={CHECKOUT / 'pyproject.toml'}"  # without it nothing that was left fits
    command = ["-m", "mypy", "--strict", config, cache, "script.py"]
    environment = {**os.environ, "MYPYPATH": str(CHECKOUT)}
    found = subprocess.run([sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    errors = [line for line in found.stdout.splitlines() if "error" in line and line.startswith("script.py")]
    assert [line.split(":")[1] for line in errors] == [str(SCRIPT.count("\n"))], found.stdout


def test_the_examples_of_the_docstrings_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner()
    for name in zoo.__all__:
        for example in doctest.DocTestFinder(recurse=False).find(getattr(zoo, name), name, module=False, globs={}):
            runner.run(example)
    assert runner.tries >= 8
    assert runner.failures == 0


def test_every_public_function_says_what_it_does() -> None:
    for name in zoo.__all__:
        assert getattr(zoo, name).__doc__
    assert spec.Recipe.__doc__
