"""What a plugin can do to others: nothing. Each is installed as pip would leave it."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import zoo
from zoo import api, plugins, registry
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


def on_path(*sites: Path) -> str:
    """PYTHONPATH with these plugins installed."""
    return os.pathsep.join([*map(str, sites), os.environ.get("PYTHONPATH", "")])


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
    path = on_path(write_fork(fake_plugin))
    finished = run_zoo("list", "resnet20_cifar10", PYTHONPATH=path)
    assert (finished.returncode, finished.stdout.count("\n")) == (0, 2)
    assert finished.stderr == (
        "zoo: warning: both zoo-resnet-cifar and a-fork claim the model name resnet8_digits; it means "
        "zoo-resnet-cifar's, and the other one is a-fork:resnet8_digits\n"
    )
    shown = run_zoo("info", "a-fork:resnet8", "--no-layers", PYTHONPATH=path)
    assert "650" in shown.stdout


# -- what a plugin does when it is imported --------------------------------------------------------


LOUD = """
import sys
from zoo.datasets import DIGITS
from zoo.spec import Architecture, Model, Recipe
print("hello from a plugin")
loud_digits = Model(Architecture("loud", None, {"r": Recipe(epochs=1)}), DIGITS, parameters=1)
"""


def test_what_a_plugin_prints_is_not_in_the_json(fake_plugin: Install, run_zoo: Run) -> None:
    site = fake_plugin("zoo-loud", {"loud_digits": "loud:loud_digits"}, "loud", LOUD)
    finished = run_zoo("list", "loud*", "--json", PYTHONPATH=on_path(site))
    assert [one["name"] for one in json.loads(finished.stdout)] == ["loud_digits"]
    assert finished.stderr == "hello from a plugin\n"


def test_a_plugin_that_exits_is_passed_over_with_its_name(fake_plugin: Install, run_zoo: Run) -> None:
    site = fake_plugin("zoo-exit", {"exit_digits": "exits:a"}, "exits", "import sys\nsys.exit('boo')\n")
    finished = run_zoo("list", "*_digits", PYTHONPATH=on_path(site))
    assert finished.returncode == 0
    assert "resnet8_digits" in finished.stdout
    assert finished.stderr.startswith("zoo: warning: model exit_digits: plugin zoo-exit can't be imported (SystemExit")
    assert finished.stderr.count("\n") == 1


def test_ctrl_c_while_a_plugin_is_imported_is_no_fault_of_its(fake_plugin: Install) -> None:
    fake_plugin("zoo-slow", {"slow_digits": "slow:a"}, "slow", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        registry.load("slow_digits")


def test_plugins_lists_who_brings_what_and_what_is_wrong(fake_plugin: Install, run_zoo: Run) -> None:
    sites = (
        write_fork(fake_plugin),
        fake_plugin("zoo-loud", {"loud_digits": "loud:loud_digits"}, "loud", LOUD),
        fake_plugin("zoo-exit", {"exit_digits": "exits:a"}, "exits", "import sys\nsys.exit('boo')\n"),
    )
    finished = run_zoo("plugins", "--json", PYTHONPATH=on_path(*sites))
    assert finished.returncode == 1
    found = {one["distribution"]: one for one in json.loads(finished.stdout)}
    assert {*plugins.SHIPPED, "a-fork", "zoo-loud", "zoo-exit"} <= found.keys()
    assert found["a-fork"]["models"] == ["a-fork:resnet8_digits"]
    assert found["a-fork"]["shadowed"] == ["resnet8_digits"]
    assert found["zoo-loud"]["version"] == "1.0"
    assert found["zoo-loud"]["import_seconds"] > 0
    assert found["zoo-resnet-cifar"]["failed"] == []
    assert "can't be imported (SystemExit: boo)" in found["zoo-exit"]["failed"][0]
    table = run_zoo("plugins", PYTHONPATH=on_path(*sites))
    assert table.stdout.splitlines()[1].split("\t")[:3] == ["a-fork", "1.0", "1"]
    assert "plugin zoo-exit can't be imported (SystemExit: boo)" in table.stderr


def test_plugins_can_be_left_out(fake_plugin: Install, run_zoo: Run) -> None:
    sites = (
        write_fork(fake_plugin),
        fake_plugin("zoo-exit", {"exit_digits": "exits:a"}, "exits", "import sys\nsys.exit('boo')\n"),
    )
    asked = {"PYTHONPATH": on_path(*sites), "ZOO_DISABLE_PLUGINS": "A_Fork, zoo-exit,zoo-timm"}
    finished = run_zoo("list", **asked)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "resnet8_digits" in finished.stdout
    assert "resnet18_cifar10" not in finished.stdout
    assert run_zoo("plugins", **asked).returncode == 0
