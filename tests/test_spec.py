from __future__ import annotations

import dataclasses
import json

import pytest

from zoo.datasets import CIFAR10
from zoo.errors import RecipeError
from zoo.spec import Model, Recipe

PAPER = Recipe(epochs=200, lr=0.1, sched="multistep", decay_milestones=(100, 150), clip_grad=0.5)


def test_a_recipe_is_changed_by_text_under_its_fields_names() -> None:
    changed = PAPER.changed({"lr": "0.05", "decay_milestones": "10,20", "clip_grad": "null", "nesterov": "true"})
    assert (changed.lr, changed.decay_milestones, changed.clip_grad, changed.nesterov) == (0.05, (10, 20), None, True)
    assert PAPER.lr == 0.1


def test_an_unknown_field_is_refused_with_the_list_of_fields() -> None:
    with pytest.raises(RecipeError, match=r"no field 'learning_rate'; the fields are epochs, batch_size, opt, lr, "):
        PAPER.changed({"learning_rate": "0.1"})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lr", "0"),
        ("lr", "-1"),
        ("epochs", "0"),
        ("batch_size", "0"),
        ("momentum", "1"),
        ("smoothing", "1"),
        ("hflip", "2"),
        ("clip_grad", "0"),
        ("opt", "lion"),
        ("sched", "step"),
        ("warmup_epochs", "5"),
        ("weight_decay", "-1e-4"),
    ],
)
def test_a_value_that_can_not_be_is_refused_by_its_name(field: str, value: str) -> None:
    name = "warmup_lr" if field == "warmup_epochs" else field
    with pytest.raises(RecipeError, match=f"recipe: {name} should be"):
        PAPER.changed({field: value})


def test_a_plateau_needs_held_out_images_to_watch() -> None:
    with pytest.raises(RecipeError, match="val_images should be above 0 with plateau"):
        PAPER.changed({"sched": "plateau"})
    assert PAPER.changed({"sched": "plateau", "val_images": "5000"}).patience_epochs == 10


def test_a_recipe_comes_back_from_json_and_keeps_its_hash() -> None:
    again = Recipe.from_json(json.loads(json.dumps(PAPER.to_json())))
    assert again == PAPER
    assert again.sha256() == PAPER.sha256()
    assert dataclasses.replace(PAPER, lr=0.2).sha256() != PAPER.sha256()


def test_a_field_at_its_default_is_no_part_of_the_hash_so_that_later_fields_leave_it_as_it_is() -> None:
    assert Recipe(epochs=200).chosen() == {"epochs": 200}
    assert PAPER.chosen().keys() < PAPER.to_json().keys()


def test_a_recipe_of_a_newer_zoo_is_refused_rather_than_half_read() -> None:
    with pytest.raises(RecipeError, match="no field 'sharpness'"):
        Recipe.from_json({**PAPER.to_json(), "sharpness": 1})


def test_a_model_knows_its_architecture_and_its_default_recipe(tiny: Model) -> None:
    assert tiny.architecture == "tiny"
    assert tiny.default_recipe == "paper"


def test_a_models_name_ends_with_its_data_set(tiny: Model) -> None:
    with pytest.raises(ValueError, match="should be ARCHITECTURE_cifar10"):
        dataclasses.replace(tiny, name="tiny")


def test_a_model_has_a_recipe(tiny: Model) -> None:
    with pytest.raises(ValueError, match="has no recipe"):
        dataclasses.replace(tiny, recipes={})


@pytest.fixture
def tiny() -> Model:
    def build(in_channels: int, num_classes: int) -> object:
        raise AssertionError("facts build no net")

    return Model(name="tiny_cifar10", dataset=CIFAR10, build=build, parameters=1, recipes={"paper": PAPER})  # type: ignore[arg-type]
