from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from typing import Any

import pytest
from torch import nn

from zoo.datasets import CIFAR10
from zoo.errors import RecipeError
from zoo.spec import Architecture, InputSize, Model, Recipe

PAPER = Recipe(epochs=200, lr=0.1, sched="multistep", decay_milestones=(100, 150), clip_grad=0.5)
QUICK = Recipe(epochs=12)


def test_a_recipe_is_changed_by_field_names_and_text() -> None:
    changed = PAPER.changed({"lr": "0.05", "decay_milestones": "10,20", "clip_grad": "null", "nesterov": "true"})
    assert (changed.lr, changed.decay_milestones, changed.clip_grad, changed.nesterov) == (0.05, (10, 20), None, True)
    assert PAPER.lr == 0.1


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("learning_rate", "lr"), ("label_smoothing", "smoothing"), ("batchsize", "batch_size")],
)
def test_an_unknown_field_is_refused_with_the_right_name(typed: str, meant: str) -> None:
    with pytest.raises(RecipeError, match=rf"no field '{typed}'; did you mean {meant}\b"):
        PAPER.changed({typed: "1"})
    with pytest.raises(RecipeError, match=r"no field 'nothing_of_it'; the fields are epochs, batch_size, opt, lr, "):
        PAPER.changed({"nothing_of_it": "0.1"})


def test_a_plateau_needs_held_out_images_to_watch() -> None:
    with pytest.raises(RecipeError, match="val_images should be above 0 with plateau"):
        PAPER.changed({"sched": "plateau"})
    assert PAPER.changed({"sched": "plateau", "val_images": "5000"}).patience_epochs == 10


def test_a_recipe_survives_a_round_trip_through_json() -> None:
    again = Recipe.from_json(json.loads(json.dumps(PAPER.to_json())))
    assert again == PAPER
    assert again.sha256() == PAPER.sha256()
    assert PAPER.replace(lr=0.2).sha256() != PAPER.sha256()


def test_the_hash_of_a_recipe_covers_fields_at_their_default() -> None:
    spelt_out = {"v": 2, **PAPER.to_json()}
    assert PAPER.sha256() == hashlib.sha256(json.dumps(spelt_out, sort_keys=True).encode()).hexdigest()
    assert spelt_out["momentum"] == 0.9


def test_a_field_added_later_does_not_change_the_hash_at_its_default() -> None:
    assert "img_size" not in PAPER.to_json()
    assert PAPER.every()["img_size"] is None
    larger = PAPER.replace(img_size=64)
    assert larger.to_json()["img_size"] == 64
    assert larger.sha256() != PAPER.sha256()
    assert Recipe.from_json(larger.to_json()) == larger


def test_integers_and_lists_are_converted_to_the_types_of_the_fields() -> None:
    whole, same = Recipe(epochs=5, lr=1, mixup=1, mean=[0, 1]), Recipe(epochs=5, lr=1.0, mixup=1.0, mean=(0.0, 1.0))  # type: ignore[arg-type]
    assert whole == same
    assert whole.sha256() == same.sha256()
    assert isinstance(whole.lr, float)


@pytest.mark.parametrize(
    "fields",
    [
        {"opt": "adamm"}, {"lr": math.inf}, {"lr": math.nan}, {"weight_decay": math.inf}, {"div_factor": 0.0},
        {"div_factor": math.nan}, {"final_div_factor": 0.0}, {"std": (0.0,)}, {"mean": (math.nan,)}, {"min_lr": -1.0},
        {"clip_grad": math.inf}, {"temperature": math.inf}, {"decay_milestones": (-5,)}, {"cutout": 10**20},
        {"crop_padding": 3000}, {"img_size": 0}, {"img_size": 5000}, {"scale": (0.5,)}, {"scale": (0.0, 1.0)},
        {"ratio": (2.0, 1.0)}, {"rand_magnitude": 31}, {"freeze_epochs": 3}, {"layer_decay": 0.0},
        {"model_ema_decay": 1.0}, {"distill_type": "crd"}, {"class_weight": "some"},
        {"warmup_epochs": 9, "warmup_lr": 0.01}, {"epochs": "two"}, {"nesterov": 1}, {"lr": 0}, {"epochs": 0},
        {"batch_size": 0}, {"momentum": 1}, {"smoothing": 1}, {"hflip": 2}, {"sched": "step"},
    ],
    ids=str,
)  # fmt: skip
def test_a_value_out_of_bounds_is_refused_by_its_field(fields: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=f"recipe: {next(iter(fields))}.* should (be|have)"):
        Recipe(**{"epochs": 2, **fields})


def test_a_changed_copy_is_validated_like_any_recipe() -> None:
    assert PAPER.replace(lr=1, mean=[0.5]).lr == 1.0
    with pytest.raises(RecipeError, match="lr should be above 0"):
        PAPER.replace(lr=0.0)
    with pytest.raises(RecipeError, match="no field 'learning_rate'; did you mean lr"):
        PAPER.replace(learning_rate=0.1)


def build(input_size: InputSize, num_classes: int) -> nn.Module:
    raise AssertionError("a declaration builds no net")


TINY = Architecture("tiny", build, {"paper": PAPER, "quick": QUICK}, description="A net of one block.")


def test_a_model_has_the_name_and_the_recipes_of_its_architecture() -> None:
    model = Model(TINY, CIFAR10, 1)
    assert (model.name, model.recipes, model.default_recipe) == ("tiny_cifar10", TINY.recipes, "paper")


@pytest.mark.parametrize("name", ["Tiny", "tiny net", "../tiny", "tiny_", ""])
def test_a_name_that_cannot_be_a_folder_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"architecture name '.*' should consist of lower-case letters"):
        dataclasses.replace(TINY, name=name)
    with pytest.raises(ValueError, match=r"dataset name '.*' should consist of lower-case letters"):
        dataclasses.replace(CIFAR10, name=name)


def test_an_architecture_without_recipes_is_refused() -> None:
    with pytest.raises(ValueError, match="architecture tiny has no recipe"):
        dataclasses.replace(TINY, recipes={})


def test_recipes_of_a_model_come_first_and_replace_those_of_the_architecture() -> None:
    own = QUICK.replace(lr=0.01)
    model = Model(TINY, CIFAR10, 1, {"quick": own, "long": PAPER})
    assert list(model.recipes) == ["quick", "long", "paper"]
    assert model.recipes["quick"] == own
    assert model.default_recipe == "quick"
    assert dataclasses.replace(model, parameters=2).recipes == model.recipes


def test_the_description_names_the_net_and_the_dataset() -> None:
    assert Model(TINY, CIFAR10, 1).description == "A net of one block, trained on CIFAR-10."
    bare = dataclasses.replace(TINY, description="")
    assert Model(bare, CIFAR10, 1).description == "The architecture tiny, trained on CIFAR-10."
