from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo import errors, plugins, registry
from zoo.datasets import DIGITS
from zoo.errors import PluginError, PluginWarning, UnknownModel

from .conftest import CHECKOUT

Install = Callable[..., Path]

GOOD = """
from zoo.datasets import DIGITS
from zoo.spec import Architecture, Model, Recipe
mine_digits = Model(Architecture("mine", None, {"r": Recipe(epochs=1)}), DIGITS, parameters=1)
"""

FLOWERS = GOOD.replace("DIGITS, parameters", "FLOWERS, parameters").replace(
    "mine_digits =",
    """
from dataclasses import replace
FLOWERS = replace(DIGITS, name="flowers", title="Flowers")
mine_flowers =""",
)


@pytest.mark.parametrize(
    ("name", "dataset", "expected"),
    [
        ("resnet32", None, "resnet32_cifar10"),
        ("resnet32", "cifar100", "resnet32_cifar100"),
        ("resnet32_cifar10", None, "resnet32_cifar10"),
        ("resnet32_cifar10", "cifar10", "resnet32_cifar10"),
        ("resnet32_cifar10", "cifar100", "resnet32_cifar100"),
        ("resnet8", None, "resnet8_digits"),
        ("resnet8", "cifar10", "resnet8_cifar10"),
        ("resnet8_digits", "cifar10", "resnet8_cifar10"),
        ("resnet8_cifar10", None, "resnet8_cifar10"),
        ("resnet8_cifar10", "digits", "resnet8_digits"),
    ],
)
def test_an_architecture_alone_means_its_default_dataset(name: str, dataset: str | None, expected: str) -> None:
    assert registry.resolve(name, dataset) == expected


def test_an_unknown_name_is_an_error_that_suggests_close_ones() -> None:
    with pytest.raises(UnknownModel, match=r"no model 'resnet23'; did you mean .*resnet32"):
        registry.resolve("resnet23")
    with pytest.raises(UnknownModel, match=r"no dataset 'cifar1000'; did you mean cifar100"):
        registry.resolve("resnet20", "cifar1000")
    with pytest.raises(UnknownModel, match=r"no model 'resnet20_digit'; did you mean .*resnet20"):
        registry.resolve("resnet20_digit")
    with pytest.raises(UnknownModel, match=r"no model 'resnet23'; did you mean .*resnet32"):
        registry.resolve("resnet23", "cifar10")
    with pytest.raises(UnknownModel, match=r"no architecture 'resnet23'; did you mean .*resnet32"):
        registry.architecture("resnet23")
    with pytest.raises(UnknownModel, match="no plugin provides this name"):
        registry.load("zzzzz")


def test_at_most_three_close_names_are_suggested() -> None:
    many = [f"many{number}_digits" for number in range(10_000)]
    assert errors.close_to("MANY123_DIGTS", many)[0] == "many123_digits"
    assert len(errors.close_to("many123_digts", many)) == 3
    assert errors.close_to("zzzz", many) == []


def test_an_architecture_and_a_dataset_of_different_plugins_make_a_model(fake_plugin: Install) -> None:
    fake_plugin("zoo-flowers", {"mine_flowers": "flowers:mine_flowers"}, "flowers", FLOWERS)
    resnet8, flowers = registry.architecture("resnet8"), registry.dataset("flowers")
    joined = registry.join(resnet8, flowers)
    assert (joined.name, joined.parameters, joined.recipes) == ("resnet8_flowers", None, resnet8.recipes)
    assert registry.load(registry.resolve("resnet8", "flowers")) == joined
    assert "resnet8_flowers" not in registry.entries()


def test_another_dataset_of_a_declared_name_has_no_declared_parameters() -> None:
    declared = registry.load("resnet8_digits")
    other = dataclasses.replace(DIGITS, classes=tuple("abcdefghij"))
    joined = registry.join(declared.architecture, other)
    assert (joined.name, joined.dataset, joined.parameters) == ("resnet8_digits", other, None)


def test_the_provider_of_an_architecture_is_the_distribution_of_its_net(fake_plugin: Install) -> None:
    code = """
from dataclasses import replace
from zoo.datasets import DIGITS
from zoo.spec import Model
from zoo_resnet_cifar.models import RESNET8
resnet8_a = Model(RESNET8, replace(DIGITS, name="a"), parameters=1)
"""
    fake_plugin("zoo-a", {"resnet8_a": "a:resnet8_a"}, "a", code)
    resnet8 = registry.architecture("resnet8")
    assert next(iter(name for name in registry.entries() if name.startswith("resnet8_"))) == "resnet8_a"
    assert registry.provider(resnet8).startswith("zoo-resnet-cifar ")
    assert registry.provider(dataclasses.replace(resnet8, name="nobodys")) == "zoo_resnet_cifar"


def test_a_record_gets_the_architecture_of_its_distribution_if_there_is_one(fake_plugin: Install) -> None:
    fake_plugin("zoo-mine", {"mine_digits": "mine:mine_digits"}, "mine", GOOD)
    fake_plugin("zoo-nuts", {"nuts": "nuts:architecture"}, "nuts", NUTS, group="zoo.architectures")
    for distribution in ("zoo-mine", "Zoo_Mine", "zoo-nuts", "zoo-nowhere"):
        assert registry.recorded("mine", distribution).name == "mine"
    assert registry.recorded("acorn", "zoo-nuts").name == "acorn"
    with pytest.raises(UnknownModel, match="there is no architecture 'acorn'"):
        registry.architecture("acorn")
    with pytest.raises(UnknownModel, match="there is no architecture 'acorn'"):
        registry.recorded("acorn", "zoo-mine")
    with pytest.raises(PluginError, match=r"architecture explode: plugin zoo-nuts fails \(ZeroDivisionError"):
        registry.recorded("explode", "zoo-nuts")


NUTS = """
from zoo.spec import Architecture, Recipe

def architecture(name):
    if name == "explode":
        1 / 0
    return Architecture(name, None, {"r": Recipe(epochs=1)}) if name == "acorn" else None
"""


def test_a_broken_plugin_of_the_same_architecture_is_only_a_warning(fake_plugin: Install) -> None:
    fake_plugin("zoo-broken", {"resnet8_mine": "broken:a"}, "broken", "1 / 0\n")
    with pytest.warns(PluginWarning, match="zoo-broken can't be imported"):
        assert registry.resolve("resnet8") == "resnet8_digits"
    with pytest.warns(PluginWarning, match="zoo-broken can't be imported"):
        assert registry.architecture("resnet8").name == "resnet8"
    fake_plugin("zoo-alone", {"alone_mine": "alone:a"}, "alone", "1 / 0\n")
    with pytest.raises(PluginError, match="zoo-alone can't be imported"):
        registry.architecture("alone")


SIBLING = """
from dataclasses import replace
from zoo.datasets import DIGITS
from zoo.spec import Model
from zoo_resnet_cifar.models import RESNET8
PIX = replace(DIGITS, name="pix")
resnet8_pix = Model(RESNET8, PIX, parameters=1, default=True)
resnet8_qix = Model(RESNET8, replace(PIX, name="qix"), parameters=1, default=True)
"""


def test_another_plugin_does_not_change_the_default_dataset_of_an_architecture(fake_plugin: Install) -> None:
    names = ("resnet8_pix", "resnet8_qix")
    fake_plugin("a-sibling", {name: f"sibling:{name}" for name in names}, "sibling", SIBLING)
    assert registry.resolve("resnet8") == "resnet8_digits"
    assert registry.resolve("resnet8", "pix") == "resnet8_pix"
    assert registry.load("resnet8_pix").dataset.name == "pix"


def test_the_zoos_own_distributions_are_those_in_its_repository() -> None:
    assert {path.name for path in (CHECKOUT / "plugins").iterdir()} == plugins.SHIPPED


def test_an_entry_point_to_a_model_of_another_name_is_an_error(fake_plugin: Install) -> None:
    fake_plugin("zoo-wrong", {"y_digits": "wrong:mine_digits"}, "wrong", GOOD)
    with pytest.raises(PluginError, match="of plugin zoo-wrong is of the type Model, expected the"):
        registry.load("y_digits")


def test_an_uninstalled_checkout_reads_the_entry_points_of_its_plugins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = _checkout(tmp_path, monkeypatch)
    monkeypatch.setattr(plugins, "distributions", lambda: [])
    entries = registry.entries()
    assert set(entries) == {"mine_digits"}
    assert entries["mine_digits"].folder == root / "plugins" / "zoo-mine"
    assert registry.load("mine_digits").name == "mine_digits"
    assert plugins.core_version() == "9.9"


def test_an_installed_plugin_is_preferred_to_that_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_plugin: Install
) -> None:
    _checkout(tmp_path, monkeypatch)
    fake_plugin("Zoo_Mine", {"mine_digits": "mine_installed:mine_digits"}, "mine_installed", GOOD)
    assert registry.entries()["mine_digits"].folder is None


def test_an_unreadable_pyproject_of_a_plugin_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _checkout(tmp_path, monkeypatch)
    (root / "plugins" / "half").mkdir()
    (root / "plugins" / "half" / "pyproject.toml").write_text("[project\n")
    with pytest.warns(PluginWarning, match="half"):
        assert "mine_digits" in registry.entries()


def _checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "checkout"
    plugin = root / "plugins" / "zoo-mine"
    plugin.mkdir(parents=True)
    (root / "pyproject.toml").write_text('[project]\nname = "residual-zoo"\nversion = "9.9"\n')
    (plugin / "pyproject.toml").write_text(
        '[project]\nname = "zoo-mine"\nversion = "1.0"\n'
        '[project.entry-points."zoo.models"]\nmine_digits = "mine_in_checkout:mine_digits"\n'
    )
    (plugin / "mine_in_checkout.py").write_text(GOOD)
    (root / "zoo").mkdir()
    monkeypatch.setattr(plugins, "__file__", str(root / "zoo" / "plugins.py"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    return root
