"""Plugins, installed as pip would install them: conflicts, faults and wrong declarations."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

import zoo
from zoo import api, plugins, registry, spec
from zoo.data.collection import KINDS
from zoo.errors import DataError, ExportError, HubError, PluginError, PluginWarning, TrainingError, ZooError
from zoo.exporters.formats import EXPORTERS
from zoo.formats import FORMATS
from zoo.hub.schemes import HUBS
from zoo.plugins import Group
from zoo.training.trackers import TRACKERS

from .conftest import CHECKOUT, Run, forget_declarations

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
    """A plugin with another net under the name of a model of the zoo."""
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
    """A PYTHONPATH that has these plugins."""
    return os.pathsep.join([*map(str, sites), os.environ.get("PYTHONPATH", "")])


def test_a_model_is_loaded_with_the_net_of_the_plugin_that_trained_it(
    fork: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = f"file:{tmp_path / 'hub'}"
    with monkeypatch.context() as patch:
        patch.setenv("ZOO_DISABLE_PLUGINS", "zoo-resnet-cifar")
        forget_declarations()
        trained = api.train("resnet8", dataset="digits", out=tmp_path / "out", push=True, hub=hub)
    forget_declarations()
    assert (trained.config.plugin_distribution, trained.config.parameters) == ("a-fork", 650)
    assert type(zoo.load("resnet8_digits", pretrained=True)).__name__ == "CifarResNet"
    for name, there in (("resnet8", hub), (f"{hub}/resnet8_digits", None), (tmp_path / "out", None)):
        assert type(zoo.load(name, pretrained=True, hub=there)).__name__ == "Forked"
    assert api.verify("resnet8", hub=hub).differences == ()


def test_two_plugins_with_the_same_model_name_give_one_warning(fake_plugin: Install, run_zoo: Run) -> None:
    path = on_path(write_fork(fake_plugin))
    finished = run_zoo("list", "resnet20_cifar10", PYTHONPATH=path)
    assert (finished.returncode, finished.stdout.count("\n")) == (0, 2)
    assert finished.stderr == (
        "zoo: warning: both zoo-resnet-cifar and a-fork declare the model name resnet8_digits; "
        "that of zoo-resnet-cifar is used (ZOO_DISABLE_PLUGINS=zoo-resnet-cifar disables it)\n"
    )


# -- side effects of an import ---------------------------------------------------------------------


LOUD = """
import sys
from zoo.datasets import DIGITS
from zoo.spec import Architecture, Model, Recipe
print("hello from a plugin")
loud_digits = Model(Architecture("loud", None, {"r": Recipe(epochs=1)}), DIGITS, parameters=1)
"""


def test_output_of_a_plugin_goes_to_stderr(fake_plugin: Install, run_zoo: Run) -> None:
    site = fake_plugin("zoo-loud", {"loud_digits": "loud:loud_digits"}, "loud", LOUD)
    finished = run_zoo("list", "loud*", "--json", PYTHONPATH=on_path(site))
    assert [row["name"] for row in json.loads(finished.stdout)] == ["loud_digits"]
    assert finished.stderr == "hello from a plugin\n"


def test_the_library_leaves_stdout_alone_while_a_plugin_is_imported(fake_plugin: Install) -> None:
    code = LOUD + "seen = sys.stdout\n"
    fake_plugin("zoo-loud", {f"loud{number}_digits": f"loud:{number}" for number in range(8)}, "loud", code)
    before = sys.stdout
    with ThreadPoolExecutor(8) as pool:
        failed = list(pool.map(lambda number: plugins.survey(), range(16)))
    assert len(failed) == 16
    assert sys.stdout is before
    assert sys.modules["loud"].seen is before


def test_ctrl_c_while_a_plugin_is_imported_is_not_a_plugin_error(fake_plugin: Install) -> None:
    fake_plugin("zoo-slow", {"slow_digits": "slow:a"}, "slow", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        registry.load("slow_digits")


def test_zoo_plugins_lists_models_groups_and_failures(fake_plugin: Install, run_zoo: Run) -> None:
    sites = (
        write_fork(fake_plugin),
        fake_plugin("zoo-loud", {"loud_digits": "loud:loud_digits"}, "loud", LOUD),
        fake_plugin("zoo-exit", {"exit_digits": "exits:a"}, "exits", "import sys\nsys.exit('boo')\n"),
    )
    finished = run_zoo("plugins", "--json", PYTHONPATH=on_path(*sites))
    assert finished.returncode == 1
    plugins_by_name = {row["distribution"]: row for row in json.loads(finished.stdout)}
    assert {*plugins.SHIPPED, "a-fork", "zoo-loud", "zoo-exit"} <= plugins_by_name.keys()
    assert plugins_by_name["a-fork"]["models"] == []
    assert plugins_by_name["zoo-timm"]["others"] == ["zoo.architectures: timm", "zoo.formats: timm"]
    assert plugins_by_name["zoo-loud"]["version"] == "1.0"
    assert plugins_by_name["zoo-loud"]["import_seconds"] > 0
    assert plugins_by_name["zoo-resnet-cifar"]["failed"] == []
    assert "can't be imported (SystemExit: boo)" in plugins_by_name["zoo-exit"]["failed"][0]


def test_plugins_can_be_disabled(fake_plugin: Install, run_zoo: Run) -> None:
    sites = (
        write_fork(fake_plugin),
        fake_plugin("zoo-exit", {"exit_digits": "exits:a"}, "exits", "import sys\nsys.exit('boo')\n"),
    )
    environment = {"PYTHONPATH": on_path(*sites), "ZOO_DISABLE_PLUGINS": "A_Fork, zoo-exit,zoo-timm"}
    finished = run_zoo("list", **environment)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "resnet8_digits" in finished.stdout
    assert "resnet18_cifar10" not in finished.stdout
    assert run_zoo("plugins", **environment).returncode == 0


# -- groups of entry points ------------------------------------------------------------------------


GROUPS: list[tuple[Group[Any], type[ZooError]]] = [
    (HUBS, HubError),
    (KINDS, DataError),
    (TRACKERS, TrainingError),
    (EXPORTERS, ExportError),
    (FORMATS, PluginError),
]
by_group = pytest.mark.parametrize(("group", "error"), GROUPS, ids=[group.name for group, _ in GROUPS])


def test_every_group_of_entry_points_is_listed() -> None:
    assert {plugins.MODELS.name, plugins.ARCHITECTURES, *(group.name for group, _ in GROUPS)} == set(plugins.GROUPS)


@by_group
def test_two_plugins_with_the_same_name_in_a_group_give_a_warning(
    fake_plugin: Install, group: Group[Any], error: type[ZooError]
) -> None:
    for distribution in ("zoo-two", "zoo-one"):
        fake_plugin(distribution, {"twice": f"{distribution[4:]}:X"}, group=group.name)
    with pytest.warns(
        PluginWarning, match=f"both zoo-one and zoo-two declare the {group.what} name twice; that of zoo-one is"
    ):
        entry = group.entry("twice")
    assert entry is not None
    assert entry.distribution == "zoo-one"


@by_group
def test_an_unknown_name_in_a_group_is_an_error_with_close_names(
    fake_plugin: Install, group: Group[Any], error: type[ZooError]
) -> None:
    fake_plugin("zoo-quick", {"quickest": "quick:X"}, group=group.name)
    with pytest.raises(error, match=rf"^there is no {group.what} 'quickets'; did you mean quickest\?$"):
        group.load("quickets")
    with pytest.raises(error, match=rf"^there is no {group.what} '-'; expected one of .*quickest"):
        group.load("-")


@by_group
def test_a_broken_entry_point_is_an_error_that_names_its_plugin(
    fake_plugin: Install, group: Group[Any], error: type[ZooError]
) -> None:
    fake_plugin("zoo-odd", {"odd": "odd:ODD", "bad": "bad:B"}, "odd", "ODD = 3\n", group=group.name)
    with pytest.raises(PluginError, match=f"{group.what} odd: odd:ODD of plugin zoo-odd is of the type int, expected"):
        group.load("odd")
    with pytest.raises(PluginError, match=rf"{group.what} bad: plugin zoo-odd can't be imported \(ModuleNotFoundError"):
        group.load("bad")


# -- damaged distributions -------------------------------------------------------------------------


def test_every_damaged_distribution_is_one_warning(tmp_path: Path, run_zoo: Run) -> None:
    site, sound = tmp_path / "site", b"[zoo.models]\nx_digits = m:x\n"
    damaged = [
        (None, sound),  # no metadata
        (b"Metadata-Version: 2.1\nVersion: 1.0\n", sound),  # no name
        (b"Name: zoo-ghost\nVersion: 1.0\n", b"[zoo.models]\nno equals sign\n"),
        (b"Name: zoo-ghost\nVersion: 1.0\n", b"[zoo.models]\nx_digits = \xff\xfe\n"),  # not UTF-8
    ]
    for number, (metadata, points) in enumerate(damaged):
        info = site / f"zoo_ghost{number}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "entry_points.txt").write_bytes(points)
        if metadata is not None:
            (info / "METADATA").write_bytes(metadata)
    finished = run_zoo("list", "resnet8*", PYTHONPATH=on_path(site))
    assert finished.returncode == 0, finished.stderr
    assert "resnet8_digits" in finished.stdout
    warned = re.findall(r"^zoo: warning: the distribution \S+/zoo_ghost(\d)\S+ can't be read", finished.stderr, re.M)
    assert sorted(warned) == ["0", "1", "2", "3"]
    assert finished.stderr.count("\n") == 4
    script = "import zoo; zoo.load(zoo.pull('resnet8_digits', out='pulled'), pretrained=True)"  # torch reads them too
    path = {**os.environ, "PYTHONPATH": on_path(site)}
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, cwd=tmp_path, env=path)


# -- wrong declarations ----------------------------------------------------------------------------


PIX = """
import numpy as np
from zoo.spec import Architecture, Dataset, Model, Recipe

def build(input_size, num_classes):
    from torch import nn
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, num_classes))

def read(root, *, train):
    labels = np.arange(64 if train else 16) % 3
    images = np.random.default_rng(train).integers(0, 256, (len(labels), 4, 4, 3))
    return images.astype(np.uint8), labels.astype(np.int64)

PIX = Dataset("pix", "Pixels", ("a", "b", "c"), (3, 4, 4), (0.5, 0.5, 0.5), (0.3, 0.3, 0.3),
    64, 16, hub_id="", read=read)
net_pix = Model(Architecture("net", build, {"r": Recipe(epochs=1)}), PIX, parameters=147)
"""


NET_OF = "model net_pix, of plugin zoo-pix: its net"
READER = "dataset pix: the reader of plugin zoo-pix "


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("parameters=147", "parameters=999", f"{NET_OF} has 147 parameters, it declares 999; write parameters=147"),
        ("4 * 4, num_classes", "4 * 4, 5", f"{NET_OF} returns shape (1, 5) for an image, expected (1, 3)"),
        ("3 * 4 * 4,", "7,", f"{NET_OF} fails on an image of (3, 4, 4) (RuntimeError: "),
        (
            "build(input_size, num_classes)",
            "build(c, n)",
            "architecture net: its build, of plugin zoo-pix, should take (input_size, num_classes), by these names",
        ),
        ("return nn.Sequential", "return str(nn.Linear) or ", "build, of plugin zoo-pix, returns a str, expected"),
        (
            "images.astype(np.uint8)",
            "(images / 255).astype(np.float32)",
            f"{READER}should return images as uint8 (0 to 255) and labels as int64, not float32 and int64",
        ),
        ("labels.astype", "(labels + 1).astype", f"{READER}returns labels from 1 to 3, expected 0 to 2 by its classes"),
        (
            "64 if train",
            "63 if train",
            f"{READER}returns images (63, 4, 4, 3) and labels (63,), expected (64, 4, 4, 3) and (64,) by "
            "its input_size and train_images; correct these numbers, the reader",
        ),
        ("labels = np", "np.stack([])\n    labels = np", f"{READER}fails on ROOT (ValueError: need at least one array"),
        ("return images.astype", "return images, labels, images.astype", f"{READER}should return two arrays"),
        (
            "(0.5, 0.5, 0.5)",
            "(0.5,)",
            "plugin zoo-pix can't be imported (dataset pix: mean should be 3 numbers, one per channel, not 1)",
        ),
        ("(0.3, 0.3, 0.3)", "(0.3, 0.3, 0.0)", "dataset pix: std should be above 0, not (0.3, 0.3, 0.0)"),
        ('"b", "c"', '"b", "b"', "dataset pix: classes should be all different, not ['b']"),
        ("64, 16, hub", "0, 16, hub", "dataset pix: train_images should be at least 1, not 0"),
        ("parameters=147", "parameters=0", "model net_pix: parameters should be at least 1, or None, not 0"),
        (', PIX, par', ', "pix", par', "a model's dataset should be a zoo.plugin.Dataset, not a str"),
    ],
    ids=lambda value: value[:24],
)  # fmt: skip
def test_a_wrong_plugin_is_refused_before_the_first_step(
    fake_plugin: Install, tmp_path: Path, right: str, wrong: str, message: str
) -> None:
    assert right in PIX
    site = fake_plugin("zoo-pix", {"net_pix": "pix:net_pix"}, "pix", PIX.replace(right, wrong))
    with pytest.raises((PluginError, DataError)) as seen:
        api.train("net_pix", data=tmp_path / "data", out=tmp_path / "out")
    text = str(seen.value)
    assert message.replace("ROOT", str(tmp_path / "data")) in text
    assert "\n" not in text
    without_site = text.replace(f" at {site / 'pix.py'}:", "")  # the line of the plugin
    assert str(tmp_path) not in without_site or "ROOT" in message


def test_a_plugin_cannot_redefine_a_dataset_of_the_zoo(fake_plugin: Install) -> None:
    code = PIX.replace('"pix", ', '"digits", ')
    fake_plugin("zoo-pix", {"net_digits": "pix:net_pix"}, "pix", code)
    with pytest.raises(PluginError, match="plugin zoo-pix has a dataset with the name digits"):
        registry.load("net_digits")


def test_two_plugins_with_the_same_dataset_name_give_a_warning(fake_plugin: Install) -> None:
    fake_plugin("zoo-pix", {"net_pix": "pix:net_pix"}, "pix", PIX)
    fake_plugin("zoo-pox", {"other_pix": "pox:net_pix"}, "pox", PIX.replace('"net"', '"other"').replace("64", "65"))
    assert registry.load("net_pix").dataset.train_images == 64
    assert registry.load("other_pix").dataset.train_images == 65
    with pytest.warns(
        PluginWarning, match="both zoo-pix and zoo-pox declare the dataset name pix; that of zoo-pix is used"
    ):
        assert registry.resolve("resnet8", "pix") == "resnet8_pix"


# -- the version of the API, and the card ----------------------------------------------------------


@pytest.mark.parametrize(("version", "advice"), [(spec.API + 1, "update residual-zoo"), (0, "update the plugin")])
def test_a_plugin_for_another_version_of_the_api_is_refused(fake_plugin: Install, version: int, advice: str) -> None:
    code = f"from zoo.spec import require_api\nrequire_api({version})\nfrom zoo.spec import Nowhere\n"
    fake_plugin("zoo-pix", {"net_pix": "pix:net_pix"}, "pix", code)
    with pytest.raises(PluginError) as seen:
        registry.load("net_pix")
    assert f"it is written for version {version} of zoo.plugin, this zoo supports {spec.API}; {advice})" in str(
        seen.value
    )


OWN = PIX.replace('hub_id="", read=read', 'read=read, license="cc0-1.0", homepage="https://pix.example"')
OWN = OWN.replace("Recipe(epochs=1)}", 'Recipe(epochs=1)}, tags=("linear", "tiny")')


@pytest.fixture
def published(fake_plugin: Install, tmp_path: Path) -> Path:
    """A folder hub with a model of a plugin that is in a git repository."""
    site = fake_plugin("zoo-pix", {"net_pix": "pix:net_pix"}, "pix", OWN)
    git = ["git", "-C", str(site), "-c", "user.name=me", "-c", "user.email=me@example.com"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "All of it"]):
        subprocess.run([*git, *words], check=True)
    api.train("net", out=tmp_path / "out", push=True, hub=f"file:{tmp_path / 'hub'}")
    return tmp_path / "hub"


def test_the_card_of_a_plugin_model_has_its_tags_dataset_and_commit(published: Path, tmp_path: Path) -> None:
    text = (published / "net_pix" / "README.md").read_text()
    data = yaml.safe_load(text.split("---")[1])
    assert data["tags"] == ["zoo", "linear", "tiny", "net", "pix"]
    assert "datasets" not in data
    assert "The dataset: [Pixels](https://pix.example), cc0-1.0." in text
    words = ["git", "-C", str(tmp_path / "site" / "zoo-pix"), "rev-parse", "--short=12", "HEAD"]
    head = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    assert re.search(rf"zoo-pix 1\.0 \(commit {head}(-dirty)?\)\.", text)


def test_every_snippet_on_the_card_of_a_plugin_model_loads_it(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (published / "net_pix" / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        names: dict[str, Any] = {}
        exec(block.replace("PATH/TO/CHECKOUT", str(CHECKOUT)), names)
        assert not names["model"].training
        assert sum(parameter.numel() for parameter in names["model"].parameters()) == 147
