from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo import registry
from zoo.errors import DuplicateModel, PluginError, PluginWarning, UnknownModel

Install = Callable[..., Path]

GOOD = """
from zoo.datasets import DIGITS
from zoo.spec import Model, Recipe
mine_digits = Model(name="mine_digits", dataset=DIGITS, build=None, parameters=1, recipes={"r": Recipe(epochs=1)})
"""


def test_entries_are_sorted_by_name() -> None:
    names = list(registry.entries())
    assert names == sorted(names)
    assert "resnet20_cifar10" in names


def test_a_plugin_is_found_by_its_entry_point(fake_plugin: Install) -> None:
    fake_plugin("zoo-mine", {"mine_digits": "mine:mine_digits"}, "mine", GOOD)
    assert registry.load("mine_digits").name == "mine_digits"
    assert registry.entries()["mine_digits"].distribution == "zoo-mine"


@pytest.mark.parametrize(
    ("name", "dataset", "expected"),
    [
        ("resnet32", None, "resnet32_cifar10"),
        ("resnet32", "cifar100", "resnet32_cifar100"),
        ("resnet32_cifar10", None, "resnet32_cifar10"),
        ("resnet32_cifar10", "cifar10", "resnet32_cifar10"),
        ("resnet32_cifar10", "cifar100", "resnet32_cifar100"),
        ("resnet8", None, "resnet8_digits"),
    ],
)
def test_an_architecture_alone_means_its_default_data_set(name: str, dataset: str | None, expected: str) -> None:
    assert registry.resolve(name, dataset) == expected


def test_an_unknown_name_is_an_error_that_suggests_close_ones() -> None:
    with pytest.raises(UnknownModel, match=r"no model 'resnet23'; did you mean .*resnet32"):
        registry.resolve("resnet23")
    with pytest.raises(UnknownModel, match=r"resnet20_digits.*did you mean .*resnet8_digits"):
        registry.resolve("resnet20", "digits")
    with pytest.raises(UnknownModel, match="no plugin provides it"):
        registry.load("zzzzz")


def test_two_plugins_that_claim_one_name_are_an_error_naming_both(fake_plugin: Install) -> None:
    fake_plugin("zoo-one", {"mine_digits": "mine:mine_digits"})
    fake_plugin("zoo-two", {"mine_digits": "other:mine_digits"})
    with pytest.raises(DuplicateModel, match="both zoo-one and zoo-two claim the model name mine_digits"):
        registry.entries()


def test_a_plugin_that_fails_to_import_is_a_named_warning_and_hurts_only_itself(fake_plugin: Install) -> None:
    fake_plugin("zoo-broken", {"a_digits": "broken:a", "b_digits": "broken:b"}, "broken", "1 / 0\n")
    with pytest.warns(PluginWarning, match=r"zoo-broken can't be imported \(ZeroDivisionError") as seen:
        models = registry.load_all(registry.entries()[name] for name in ("a_digits", "b_digits", "resnet8_digits"))
    assert [model.name for model in models] == ["resnet8_digits"]
    assert len(seen) == 1
    with pytest.raises(PluginError, match="zoo-broken"):
        registry.load("a_digits")


def test_an_entry_that_is_not_the_model_of_its_name_is_an_error(fake_plugin: Install) -> None:
    fake_plugin("zoo-wrong", {"x_digits": "wrong:x", "y_digits": "wrong:mine_digits"}, "wrong", GOOD + "x = 3\n")
    with pytest.raises(PluginError, match="is a int"):
        registry.load("x_digits")
    with pytest.raises(PluginError, match="is the model mine_digits"):
        registry.load("y_digits")


def test_in_a_plain_checkout_the_declarations_are_read_from_the_plugins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = _checkout(tmp_path, monkeypatch)
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    entries = registry.entries()
    assert set(entries) == {"mine_digits"}
    assert entries["mine_digits"].folder == root / "plugins" / "zoo-mine"
    assert registry.load("mine_digits").name == "mine_digits"
    assert registry.core_version() == "9.9"


def test_an_installed_plugin_stands_before_the_checkouts_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_plugin: Install
) -> None:
    _checkout(tmp_path, monkeypatch)
    fake_plugin("Zoo_Mine", {"mine_digits": "mine_installed:mine_digits"}, "mine_installed", GOOD)
    assert registry.entries()["mine_digits"].folder is None


def test_a_plugins_folder_that_declares_nothing_readable_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    monkeypatch.setattr(registry, "__file__", str(root / "zoo" / "registry.py"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    return root
