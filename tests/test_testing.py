"""The checks of `zoo.testing`, on models that no entry point declares."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from torch import Tensor, nn

from zoo.datasets import CIFAR10, DIGITS
from zoo.spec import Architecture, Dataset, InputSize, Model, Recipe
from zoo.testing import check_dataset, check_model, check_plugin, check_training

Install = Callable[..., Path]
Arrays = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]


class Small(nn.Module):
    """A convolution and a linear head over all positions, so that the net depends on the input size."""

    def __init__(self, input_size: InputSize, num_classes: int) -> None:
        super().__init__()
        channels, height, width = input_size
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)
        self.head = nn.Linear(4 * height * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.conv(x).relu().flatten(1))
        return logits


SMALL = Architecture("small", Small, {"adam": Recipe(epochs=9, opt="adam", lr=0.01)})


@pytest.mark.parametrize(
    "model", [Model(SMALL, DIGITS, 2_610), Model(SMALL, CIFAR10, 41_082)], ids=lambda model: model.name
)
def test_a_model_is_checked_without_an_installed_plugin(model: Model) -> None:
    check_model(model)
    check_training(model)


def test_a_net_that_ignores_the_number_of_classes_is_reported() -> None:
    def ten(input_size: InputSize, num_classes: int) -> nn.Module:
        return Small(input_size, 10)

    with pytest.raises(AssertionError, match="should respect input_size and num_classes"):
        check_model(Model(dataclasses.replace(SMALL, build=ten), DIGITS, 2_610))


@pytest.mark.parametrize(
    ("settings", "lacking"),
    [("freeze_epochs", "Small has no get_classifier"), ("layer_decay", "Small has no group_matcher")],
)
def test_a_recipe_that_the_net_does_not_support_is_reported(settings: str, lacking: str) -> None:
    recipe = Recipe(epochs=9).changed({settings: "0.5" if settings == "layer_decay" else "1"})
    with pytest.raises(AssertionError, match=f"small_digits: {lacking}"):
        check_model(Model(dataclasses.replace(SMALL, recipes={"finetune": recipe}), DIGITS, 2_610))


# -- datasets and whole distributions -------------------------------------------------------------


def square(size: int, seed: int) -> Arrays:
    labels = np.arange(size, dtype=np.int64) % 2
    noise = np.random.default_rng(seed).integers(0, 256, (size, 4, 4, 1), dtype=np.uint8)
    return noise, labels


def read(root: Path, *, train: bool) -> Arrays:
    return square(200 if train else 40, int(train))


NOISE = Dataset("noise", "Noise", ("a", "b"), (1, 4, 4), (0.5,), (0.29,), 200, 40, hub_id="", read=read)


def one_class(root: Path, *, train: bool) -> Arrays:
    images, labels = read(root, train=train)
    return images, labels if train else np.zeros_like(labels)


def random(root: Path, *, train: bool) -> Arrays:
    return square(200 if train else 40, np.random.SeedSequence().entropy % 2**32)  # type: ignore[operator]


def leaking(root: Path, *, train: bool) -> Arrays:
    images, labels = read(root, train=True)
    return (images, labels) if train else (images[:40], labels[:40])


def missing(root: Path, *, train: bool) -> Arrays:
    raise FileNotFoundError(root / "noise")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            dataclasses.replace(NOISE, mean=(0.25,)),
            r"mean is \(0.25,\), expected \(0.\d+,\), that of the training set",
        ),
        (dataclasses.replace(NOISE, std=(0.4,)), r"std is \(0.4,\), expected"),
        (dataclasses.replace(NOISE, test_images=41), r"expected \(41, 4, 4, 1\)"),
        (dataclasses.replace(NOISE, read=one_class), "the test set has no image of b"),
        (dataclasses.replace(NOISE, read=random), "the training set differs when it is read again"),
        (dataclasses.replace(NOISE, read=leaking), "40 of 40 test images are in the training set too"),
        (dataclasses.replace(NOISE, read=missing), "fails on .*FileNotFoundError"),
        (
            dataclasses.replace(NOISE, folder="nowhere"),
            "its folder or is_whole says that it is missing",
        ),
    ],
)
def test_a_dataset_that_differs_from_its_declaration_is_reported(wrong: Dataset, message: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=message):
        check_dataset(wrong, tmp_path)


SITE = """
import numpy as np
from zoo.spec import Architecture, Dataset, Model, Recipe

def build(input_size, num_classes):
    from torch import nn
    channels, height, width = input_size
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, num_classes))

def read(root, *, train):
    images = np.random.default_rng(train).integers(0, 256, (200 if train else 40, 4, 4, 1), dtype=np.uint8)
    return images, np.arange(len(images), dtype=np.int64) % 2

NOISE = Dataset("noise", "Noise", ("a", "b"), (1, 4, 4), (0.5,), (0.29,), 200, 40, hub_id="", read=read)
line_noise = Model(Architecture("line", build, {"r": Recipe(epochs=1, opt="adam", lr=0.01)}), NOISE, parameters=34)
"""


def test_a_correct_distribution_passes(fake_plugin: Install) -> None:
    fake_plugin("zoo-line", {"line_noise": "line:line_noise"}, "line", SITE)
    check_plugin("zoo-line")


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("(0.5,)", "(0.4,)", "zoo-line, noise-dataset: noise: mean is"),
        ("import numpy", "import torch\nimport numpy", "zoo-line, declarations: .*importing it imports torch"),
        ("import numpy", "print(1)\nimport numpy", "zoo-line, declarations: importing it prints '1"),
        ("import numpy", "import nowhere\nimport numpy", "No module named 'nowhere'"),
    ],
)
def test_a_wrong_distribution_is_reported_with_the_name_of_the_check(
    fake_plugin: Install, right: str, wrong: str, message: str
) -> None:
    fake_plugin("zoo-line", {"line_noise": "line:line_noise"}, "line", SITE.replace(right, wrong))
    with pytest.raises(AssertionError, match=message):
        check_plugin("zoo-line")


def test_pytest_checks_a_distribution_also_with_python_optimize(fake_plugin: Install, tmp_path: Path) -> None:
    site = fake_plugin("zoo-line", {"line_noise": "line:line_noise"}, "line", SITE.replace("=34", "=35"))
    words = ["-p", "zoo.testing.pytest_plugin", "-q", "--zoo-plugin", "zoo-line", "-p", "no:cacheprovider"]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{site}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "PYTHONOPTIMIZE": "1",  # which removes assert statements
    }
    (tmp_path / "empty").mkdir()
    command = [sys.executable, "-m", "pytest", *words]
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path / "empty")
    assert finished.returncode == 1
    assert "line_noise has 34 parameters, but declares 35" in finished.stdout
    assert "2 failed, 2 passed" in finished.stdout  # a wrong model is not trained either
