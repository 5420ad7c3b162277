"""Trainings that start from existing weights: which are kept, initialized again, refused and recorded."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from torch import Tensor

import zoo
from zoo import api
from zoo.api import Trained
from zoo.errors import HubError, Interrupted, TrainingError, ZooError
from zoo.hub.resolve import published
from zoo.nets.build import build
from zoo.record import store
from zoo.record.job import Origin
from zoo.record.types import EpochRow
from zoo.registry import load as model_of
from zoo.spec import Deepening, Recipe
from zoo.training.options import TrainOptions
from zoo.training.reporting import Report
from zoo.training.start import head

from .folders import config_of
from .loopback_hub import Hub

THREE = '''
"""Digits by their remainder of three, in colour, and with their classes in reverse order."""
from dataclasses import replace
import numpy as np
from zoo.datasets import DIGITS
from zoo.spec import Deepening, Model
from zoo_resnet_cifar.models import LAST_NORM, RESNET8, Build, Shortcut

def by_three(root, *, train):
    images, labels = DIGITS.read(root, train=train)
    return images, labels % 3

def in_colour(root, *, train):
    images, labels = DIGITS.read(root, train=train)
    return np.repeat(images, 3, axis=-1), labels

def backwards(root, *, train):
    images, labels = DIGITS.read(root, train=train)
    return images, 9 - labels

three = replace(DIGITS, name="three", classes=("none", "one", "two"), read=by_three)
colour = replace(DIGITS, name="colour", input_size=(3, 8, 8), mean=3 * DIGITS.mean, std=3 * DIGITS.std, read=in_colour)
turned = replace(DIGITS, name="turned", classes=tuple(reversed(DIGITS.classes)), read=backwards)
resnet8_three, resnet8_colour, resnet8_turned = (Model(RESNET8, data, None) for data in (three, colour, turned))

RESNET14 = replace(RESNET8, name="resnet14", build=Build(14, Shortcut.A), deepening=Deepening(("resnet8",), LAST_NORM))
resnet14_digits = Model(RESNET14, DIGITS, None)
'''
NAMES = ("resnet8_three", "resnet8_colour", "resnet8_turned", "resnet14_digits")
Install = Callable[..., Path]


@pytest.fixture(autouse=True)
def data_sets(fake_plugin: Install) -> None:
    fake_plugin("zoo-three", {name: f"zoo_three:{name}" for name in NAMES}, "zoo_three", THREE)


def trained(name: str, out: Path, **options: object) -> Trained:
    """Fine-tune for one epoch of two steps."""
    settings: dict[str, object] = {"epochs": 1, "recipe": "quick", "limit_train": 128, "amp": False}
    settings["settings"] = {"batch_size": "64"}
    return api.train(name, out=out, **{"start": "resnet8_digits", "threads": 1, **settings, **options})  # type: ignore[arg-type]


def barely(name: str, out: Path, **options: object) -> dict[str, Tensor]:
    """The weights after a step with a tiny learning rate, in effect those that the training started from."""
    slow = {"batch_size": "64", "lr": "1e-9", "weight_decay": "0", "warmup_epochs": "0"}
    net = zoo.load(trained(name, out, limit_train=64, settings=slow, **options).folder, pretrained=True)
    return {key: value.detach() for key, value in net.named_parameters()}


@pytest.fixture(scope="module")
def digits() -> dict[str, Tensor]:
    return zoo.load("resnet8_digits", pretrained=True).state_dict()


def test_a_head_of_other_classes_is_initialised_from_the_seed(tmp_path: Path, digits: dict[str, Tensor]) -> None:
    began = barely("resnet8_three", tmp_path / "out", seed=5)
    torch.manual_seed(5)
    fresh = build(model_of("resnet8_three").architecture, model_of("resnet8_three").dataset).state_dict()
    heads = head(model_of("resnet8_three"))
    assert heads == {"fc.weight", "fc.bias"}
    for name, tensor in began.items():
        assert torch.allclose(tensor, (fresh if name in heads else digits)[name], atol=1e-6), name


@pytest.mark.parametrize(
    ("name", "same_head", "channels"),
    [("resnet8_digits", True, 1), ("resnet8_turned", False, 1), ("resnet8_colour", True, 3)],
    ids=["same classes", "as many other classes", "other channels"],
)
def test_the_head_is_kept_for_the_same_classes_and_the_stem_is_adapted_like_timm(
    tmp_path: Path, digits: dict[str, Tensor], name: str, same_head: bool, channels: int
) -> None:
    began = barely(name, tmp_path / "out")
    assert torch.allclose(began["fc.weight"], digits["fc.weight"], atol=1e-3) == same_head
    assert torch.allclose(began["conv1.weight"], digits["conv1.weight"].repeat(1, channels, 1, 1) / channels, atol=1e-6)


def test_the_start_is_recorded_with_its_hash_and_named_on_the_card(tmp_path: Path) -> None:
    model = trained("resnet8_three", tmp_path / "out")
    start = model.config.job.start
    weights = published("resnet8_digits").config.weights.sha256
    assert start is not None
    assert (start.address, start.sha256) == ("resnet8_digits", weights)
    text = (model.folder / store.README).read_text()
    assert f"Fine-tuned from the weights of `resnet8_digits` (SHA-256 `{weights}`)" in text
    assert "--start resnet8_digits" in text
    assert store.check(model.folder) == model.config


class Stops(Report):
    """A report that sends Ctrl-C after the first epoch."""

    def epoch(self, row: EpochRow) -> None:
        if row.epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_stopped_run_is_resumed_to_the_same_weights_with_the_same_start_only(tmp_path: Path) -> None:
    whole = trained("resnet8_three", tmp_path / "whole", epochs=3).config
    with pytest.raises(Interrupted):
        trained("resnet8_three", tmp_path / "out", epochs=3, report=Stops())
    with pytest.raises(TrainingError, match="is of another training: it has start"):
        trained("resnet8_three", tmp_path / "out", epochs=3, start=None, resume=True)
    assert trained("resnet8_three", tmp_path / "out", epochs=3, resume=True).config.weights == whole.weights


def pushed(hub: str, folder: Path, seed: int) -> str:
    """Train a model from a seed and push it; returns its address."""
    zoo.push(trained("resnet8_digits", folder, start=None, seed=seed).folder, hub=hub)
    return f"{hub}/resnet8_digits"


def test_a_start_that_was_pushed_again_is_resumed_and_reproduced_at_its_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = f"file:{tmp_path / 'hub'}"
    address = pushed(hub, tmp_path / "a", 1)
    whole = trained("resnet8_three", tmp_path / "whole", epochs=3, start=address)
    with pytest.raises(Interrupted):
        trained("resnet8_three", tmp_path / "out", epochs=3, start=address, report=Stops())
    pushed(hub, tmp_path / "b", 2)
    resumed = trained("resnet8_three", tmp_path / "out", epochs=3, start=address, resume=True)
    assert resumed.config.weights == whole.config.weights
    assert resumed.config.job.start == whole.config.job.start
    finished = trained("resnet8_three", tmp_path / "out", epochs=3, start=address, resume=True)
    assert finished.config == resumed.config
    monkeypatch.setenv("ZOO_TRUST", hub)
    again, _ = api.reproduce(whole.folder, out=tmp_path / "again")
    assert again.config.weights == whole.config.weights


def test_a_run_that_replaces_a_model_with_the_same_start_of_another_hub_is_resumed(tmp_path: Path) -> None:
    old, new = f"file:{tmp_path / 'old'}", f"file:{tmp_path / 'new'}"
    folder = trained("resnet8_digits", tmp_path / "a", start=None).folder
    zoo.push(folder, hub=old, license="mit")
    zoo.push(folder, hub=new, license="apache-2.0")
    out = tmp_path / "out"
    assert trained("resnet8_three", out, epochs=2, start=f"{old}/resnet8_digits").config.license == "mit"
    replacing = {"epochs": 2, "start": f"{new}/resnet8_digits"}
    with pytest.raises(Interrupted):
        trained("resnet8_three", out, overwrite=True, report=Stops(), **replacing)
    finished = trained("resnet8_three", out, resume=True, epochs=2, start=f"{old}/resnet8_digits").config
    assert finished.license == "mit"
    config = trained("resnet8_three", out, resume=True, **replacing).config
    assert config.license == "apache-2.0"
    assert config.job.start is not None
    assert config.job.start.address.startswith(new)


def test_a_run_is_resumed_although_the_path_of_its_start_is_written_differently_or_changed(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = trained("resnet8_three", tmp_path / "whole", epochs=2, start=str(model_folder))
    with pytest.raises(Interrupted):
        trained("resnet8_three", tmp_path / "out", epochs=2, start="./model", report=Stops())
    trained("resnet8_digits", model_folder, seed=9, overwrite=True)
    same = Path(f"../{tmp_path.name}/model")
    resumed = trained("resnet8_three", tmp_path / "out", epochs=2, start=same, resume=True)
    assert resumed.config.weights == whole.config.weights


def test_later_seeds_are_refused_if_the_start_has_changed(tmp_path: Path, model_folder: Path) -> None:
    options: dict[str, object] = {"epochs": 2, "start": model_folder, "seeds": 2}
    with pytest.raises(Interrupted):
        trained("resnet8_three", tmp_path / "out", report=Stops(), **options)
    trained("resnet8_digits", model_folder, seed=9, overwrite=True)
    with pytest.raises(TrainingError, match="has other weights now than when the first seed started"):
        trained("resnet8_three", tmp_path / "out", resume=True, **options)


# -- defaults of fine-tuning -----------------------------------------------------------------------


def recipe_of(**options: Any) -> tuple[str, Recipe]:
    return TrainOptions(**options).recipe_of(model_of("resnet8_digits"))


@pytest.mark.parametrize(("images", "batch_size"), [(1_400, 128), (1_000, 100), (101, 9), (20, 4), (5, 3)])
def test_fine_tuning_uses_its_recipe_and_ten_steps_per_epoch_if_possible(images: int, batch_size: int) -> None:
    name, recipe = recipe_of(start="resnet8_digits", limit_train=images, settings={"lr": 0.02})
    assert (name, recipe.lr, recipe.batch_size) == ("finetune", 0.02, batch_size)


def test_a_given_recipe_or_batch_size_is_not_changed() -> None:
    start = {"start": "resnet8_digits", "limit_train": 100}
    recipes = model_of("resnet8_digits").recipes
    for name in ("quick", "finetune"):
        assert recipe_of(recipe=name, **start) == (name, recipes[name])
    assert recipe_of(settings={"batch_size": 50}, **start)[1].batch_size == 50
    assert recipe_of(limit_train=100) == ("quick", recipes["quick"])
    assert recipe_of(start="resnet8_digits", epochs=1)[1].freeze_epochs == 0


@pytest.mark.parametrize(
    ("start", "error", "message"),
    [
        ({"sha256": "0" * 64}, TrainingError, "the published training had 0000"),
        (
            {"address": "hf://stranger/resnet8_digits"},
            HubError,
            "the start of resnet8_three would be fetched from hf://stranger/resnet8_digits",
        ),
    ],
    ids=["other weights", "an address that is not trusted"],
)
def test_a_fine_tuned_model_is_not_reproduced_from(
    tmp_path: Path, start: dict[str, str], error: type[ZooError], message: str
) -> None:
    folder = trained("resnet8_three", tmp_path / "tuned").folder
    job = json.loads((folder / store.CONFIG).read_text())["job"]
    config_of(folder, job={**job, "start": {**job["start"], **start}})
    with pytest.raises(error, match=message):
        api.reproduce(folder, out=tmp_path / "again")


def test_a_deeper_net_starts_as_the_shallower_one_with_blocks_that_learn(
    tmp_path: Path, digits: dict[str, Tensor]
) -> None:
    began = barely("resnet14_digits", tmp_path / "out")
    assert all(torch.allclose(began[name], digits[name], atol=1e-6) for name in began.keys() & digits.keys())
    zeroed = {f"layer{stage}.1.bn2.weight" for stage in (1, 2, 3)}
    assert {name for name, tensor in began.items() if tensor.abs().max() < 1e-6 and name.endswith("weight")} == zeroed
    net, images = zoo.load(tmp_path / "out", pretrained=True), torch.randn(4, 1, 8, 8)
    shallow = zoo.load("resnet8_digits", pretrained=True)
    shallow.load_state_dict({name: net.state_dict()[name] for name in shallow.state_dict()})
    torch.testing.assert_close(net(images), shallow(images))
    longer = trained("resnet14_digits", tmp_path / "longer")
    learned = zoo.load(longer.folder, pretrained=True).state_dict()
    assert all(learned[name].abs().min() > 0 for name in zeroed)
    weights = published("resnet8_digits").config.weights.sha256
    assert longer.config.job.start == Origin("resnet8_digits", weights, shallower="resnet8")
    card = (longer.folder / store.README).read_text()
    assert "That model is a resnet8: the added blocks started as identities" in card


def test_the_pattern_of_zeroed_parameters_is_a_regular_expression() -> None:
    with pytest.raises(ValueError, match="is not a regular expression"):
        Deepening(("resnet8",), "(")


def test_weights_of_a_deeper_architecture_are_refused(tmp_path: Path) -> None:
    deep = trained("resnet14_digits", tmp_path / "deep", start=None).folder
    with pytest.raises(TrainingError, match=r"resnet8 can't start from .*, which has the architecture resnet14"):
        trained("resnet8_digits", tmp_path / "out", start=deep)


def test_a_fine_tuned_model_inherits_a_restrictive_license(model_folder: Path, tmp_path: Path) -> None:
    start = config_of(model_folder, license="cc-by-nc-4.0")
    assert trained("resnet8_three", tmp_path / "out", start=start).config.license == "cc-by-nc-4.0"


def test_the_card_of_a_fine_tuned_model_names_its_base_model(tmp_path: Path, hub: Hub, model_folder: Path) -> None:
    api.push(model_folder, hub="hf://me")
    model = trained("resnet8_three", tmp_path / "out", start="hf://me/resnet8_digits", push=True, hub="hf://me")
    card = ModelCard(hub.repositories["me/resnet8_three"].commits[-1].files["README.md"].content.decode())
    data = vars(card.data)
    assert (data["base_model"], data["base_model_relation"]) == ("me/resnet8_digits", "finetune")
    assert model.config.job.start is not None
    assert re.fullmatch("hf://me/resnet8_digits@[0-9a-f]{40}", model.config.job.start.address)
    assert model.config.job.start.sha256 == store.read_record(model_folder).weights.sha256
