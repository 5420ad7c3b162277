"""What a plugin can do to others: nothing. Each is installed as pip would leave it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import zoo
from zoo import api
from zoo.errors import NotFound, NotPublished, PluginWarning
from zoo.hub import find

from .conftest import Run

Install = Callable[..., Path]

NET = """
from torch import nn

class Forked(nn.Sequential):
    def __init__(self, input_size, num_classes):
        channels, height, width = input_size
        super().__init__(nn.Flatten(), nn.Linear(channels * height * width, num_classes))
"""
FORK = """
from zoo.datasets import DIGITS
from zoo.spec import Architecture, Model, Recipe

def build(input_size, num_classes):
    from a_fork_net import Forked
    return Forked(input_size, num_classes)

resnet8_digits = Model(Architecture("resnet8", build, {"r": Recipe(epochs=1)}), DIGITS, parameters=650)
"""


def write_fork(install: Install) -> Path:
    """A plugin with a net of its own under the name of one of the zoo's."""
    site = install("a-fork", {"resnet8_digits": "a_fork:resnet8_digits"}, "a_fork", FORK)
    (site / "a_fork_net.py").write_text(NET)
    return site


@pytest.fixture
def fork(fake_plugin: Install) -> Iterator[Path]:
    site = write_fork(fake_plugin)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)
        yield site


def test_the_zoos_own_model_is_what_it_was(fork: Path) -> None:
    assert type(zoo.load("resnet8_digits", pretrained=True)).__name__ == "CifarResNet"


def test_what_is_named_by_its_distribution_is_trained_published_and_loaded_like_any_other(
    fork: Path, tmp_path: Path
) -> None:
    hub = f"file:{tmp_path / 'hub'}"
    trained = api.train("a-fork:resnet8", out=tmp_path / "out", push=True, hub=hub)
    assert trained.config.plugin_distribution == "a-fork"
    assert trained.config.parameters == 650
    for name in ("a-fork:resnet8", "a-fork:resnet8_digits", f"{hub}/resnet8_digits", tmp_path / "out"):
        there = hub if find.is_name(name) else None
        assert type(zoo.load(name, pretrained=True, hub=there)).__name__ == "Forked"
    assert zoo.info("a-fork:resnet8", hub=hub).config == trained.config
    assert api.verify("a-fork:resnet8", hub=hub).differences == ()


def test_the_catalogues_weights_are_not_taken_for_the_other_ones(fork: Path) -> None:
    with pytest.raises(NotPublished, match="resnet8_digits by zoo-resnet-cifar, and no weights of a-fork:resnet8_dig"):
        zoo.load("a-fork:resnet8", pretrained=True)
    assert type(zoo.load("a-fork:resnet8")).__name__ == "Forked"
    assert zoo.info("a-fork:resnet8").config is None
    assert zoo.transforms("a-fork:resnet8")


def test_a_hubs_weights_of_another_plugin_are_not_taken_for_it(fork: Path, trained: Path, tmp_path: Path) -> None:
    hub = f"file:{tmp_path / 'hub'}"
    api.push(trained, hub=hub)
    with pytest.raises(NotFound, match="has resnet8_digits by zoo-resnet-cifar"):
        zoo.load("a-fork:resnet8", pretrained=True, hub=hub)


def test_a_command_for_another_model_goes_on_with_a_line(fake_plugin: Install, run_zoo: Run) -> None:
    site = write_fork(fake_plugin)
    path = f"{site}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    finished = run_zoo("list", "resnet20_cifar10", PYTHONPATH=path)
    assert (finished.returncode, finished.stdout.count("\n")) == (0, 2)
    assert finished.stderr == (
        "zoo: warning: both zoo-resnet-cifar and a-fork claim the model name resnet8_digits; it means "
        "zoo-resnet-cifar's, and the other one is a-fork:resnet8_digits\n"
    )
    shown = run_zoo("info", "a-fork:resnet8", "--no-layers", PYTHONPATH=path)
    assert "650" in shown.stdout
