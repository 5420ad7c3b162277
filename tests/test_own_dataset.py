"""A model on a dataset that no installed plugin declares: its folder needs only its architecture."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

import zoo
from zoo import api, registry
from zoo.errors import DataError
from zoo.record import card, store

from .conftest import CHECKOUT, Run, forget_declarations, write_plugin
from .folders import trained_record
from .test_hubconf import run

NAME = "resnet8_flowers"
CLASSES = ("daisy", "rose", "tulip", "violet")
CODE = """
import numpy as np
from zoo.spec import Architecture, Dataset, Model, Recipe

def read(root, *, train):
    labels = np.arange(96 if train else 32) % 4
    images = np.random.default_rng(train).integers(0, 60, (len(labels), 12, 10, 3)) + 50 * labels[:, None, None, None]
    return images.astype(np.uint8), labels

FLOWERS = Dataset(
    "flowers", "Flowers of my garden", ("daisy", "rose", "tulip", "violet"), (3, 12, 10), (0.4, 0.4, 0.4),
    (0.2, 0.2, 0.2), 96, 32, hub_id="", read=read,
)
petals_flowers = Model(Architecture("petals", None, {"r": Recipe(epochs=1)}), FLOWERS, parameters=1)
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plugin that declares the dataset, not installed."""
    site = write_plugin(tmp_path_factory.mktemp("site"), "zoo-flowers", {"petals_flowers": "flowers:petals_flowers"})
    (site / "flowers.py").write_text(CODE)
    return site


@contextlib.contextmanager
def installed(plugin: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(plugin))
        forget_declarations()
        yield
    sys.modules.pop("flowers")
    forget_declarations()


@pytest.fixture(scope="module")
def folder(plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A resnet8 trained on the dataset while its plugin was installed. Not to be written to."""
    out = tmp_path_factory.mktemp("flowers") / NAME
    with installed(plugin):
        return api.train("resnet8", dataset="flowers", epochs=3, settings={"hflip": "0.0"}, out=out, amp=False).folder


def test_a_model_of_an_undeclared_dataset_is_loaded_and_predicts(folder: Path) -> None:
    net = zoo.load(folder, pretrained=True)
    assert net(torch.randn(2, 3, 12, 10)).shape == (2, 4)
    assert zoo.transforms(folder)(Image.new("L", (50, 70))).shape == (3, 12, 10)
    assert zoo.load(folder, pretrained=True, num_classes=7, in_channels=1)(torch.randn(2, 1, 12, 10)).shape == (2, 7)
    assert zoo.load(folder).training
    (predicted,) = api.predict(folder, [CHECKOUT / "tests" / "photo.png"])
    assert {guess.label for guess in predicted.guesses} == set(CLASSES)


def test_verify_skips_the_test_set_of_an_undeclared_dataset(folder: Path) -> None:
    verified = api.verify(folder)
    assert verified.differences == ()
    assert verified.not_measured == ("test set",)
    findings = {check.name: check.finding for check in verified.checks}
    assert findings["test set"] == "not run, flowers is declared by no plugin here"
    assert findings["known answers"] == "within 0.0e+00"


def test_evaluate_and_reproduce_need_the_dataset(folder: Path) -> None:
    for function in (api.evaluate, api.reproduce):
        with pytest.raises(DataError, match="trained on flowers, a dataset that no installed plugin declares"):
            function(folder)


def test_with_the_dataset_declared_again_it_is_evaluated_and_reproduced(
    folder: Path, plugin: Path, tmp_path: Path
) -> None:
    with installed(plugin):
        assert api.evaluate(folder).results == store.read_record(folder).results
        assert "as on the card" in api.verify(folder).checks[-1].finding
        done, published = api.reproduce(folder, out=tmp_path / "again")
    assert done.config.weights.sha256 == published.weights.sha256


def test_a_dataset_of_the_same_name_with_other_classes_is_refused_unless_the_head_is_new(
    folder: Path, plugin: Path, tmp_path: Path
) -> None:
    other = write_plugin(tmp_path / "site", "zoo-flowers", {"petals_flowers": "flowers:petals_flowers"})
    (other / "flowers.py").write_text((plugin / "flowers.py").read_text().replace("tulip", "orchid"))
    with installed(other):
        for ask in (api.verify, api.evaluate, zoo.load, lambda path: zoo.load(path, pretrained=True)):
            with pytest.raises(DataError, match="with other classes or another input size than the installed flowers"):
                ask(folder)
        assert zoo.load(folder, pretrained=True, num_classes=7)(torch.randn(2, 3, 12, 10)).shape == (2, 7)


def test_the_card_shows_the_title_of_a_declared_dataset_and_else_its_name(folder: Path, plugin: Path) -> None:
    config, rows = trained_record(folder), store.read_log(folder)
    sentence = "The smallest CIFAR net of He et al. (2015), 8 layers, trained on"
    with installed(plugin):
        with_title = card.render(config, rows, registry.load(NAME), shows_errors=True)
    assert (folder / store.README).read_text() == with_title
    assert f"{sentence} Flowers of my garden." in with_title
    assert f"\nzoo train {NAME} --recipe quick --epochs 3 --set hflip=0.0 --seed 0 --device cpu " in with_title
    with_name = card.render(config, rows, registry.architecture("resnet8"))
    assert f"{sentence} flowers." in with_name
    assert f"--seed 0 --limit-train {config.job.train_images} --device cpu " in with_name


def test_a_model_of_an_undeclared_dataset_is_pushed_listed_verified_and_pulled(
    folder: Path, run_here: Run, tmp_path: Path
) -> None:
    hub = f"file:{tmp_path / 'hub'}"
    published = run_here("push", folder, "--hub", hub)
    assert f"published as {hub}/{NAME}" in published.stdout
    name, _, parameters, *_ = run_here("list", "--hub", hub).stdout.splitlines()[1].split("\t")
    assert (name, parameters) == (NAME, f"{store.read_record(folder).parameters:,}")
    assert run_here("verify", NAME, "--hub", hub).returncode == 0
    assert run_here("verify", NAME, ZOO_HUB=hub).returncode == 0
    pulled = run_here("pull", NAME, "--hub", hub, "--out", tmp_path / "pulled")
    assert pulled.returncode == 0, pulled.stderr
    assert store.identity(tmp_path / "pulled") == store.identity(folder)


def test_info_describes_a_model_of_an_undeclared_dataset(folder: Path, run_here: Run) -> None:
    record = store.read_record(folder)
    lines = run_here("info", folder).stdout.splitlines()
    assert lines[0] == NAME
    assert f"  license     {record.license}, of the weights" in lines
    assert any(line.startswith(f"  dataset     flowers, {len(record.classes)} classes (") for line in lines)
    assert json.loads(run_here("info", folder, "--json").stdout)["classes"] == list(record.classes)
    assert zoo.info(folder).classes == record.classes


def test_the_torch_hub_snippet_on_the_card_runs(folder: Path, bare_python: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (folder / store.README).read_text(), re.DOTALL)
    (code,) = (block for block in blocks if "torch.hub" in block)
    code = code.replace("PATH/TO/CHECKOUT", str(CHECKOUT)).replace("PATH/TO/", f"{folder.parent}/")
    code += "answer = [type(model).__name__, model.training]"
    assert run(bare_python, code, tmp_path) == ["CifarResNet", False]
