from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from zoo.spec import Recipe
from zoo.testing import learning_rates
from zoo.training import optim

STEPS = 4  # an epoch


def rates(recipe: Recipe) -> list[float]:
    return learning_rates(recipe, STEPS)


def per_epoch(recipe: Recipe) -> list[float]:
    return rates(recipe)[::STEPS]


def test_constant_stays() -> None:
    assert rates(Recipe(epochs=3, lr=0.01)) == [0.01] * 12


def test_multistep_divides_after_its_milestones() -> None:
    recipe = Recipe(epochs=200, lr=0.1, sched="multistep", decay_milestones=(100, 150))
    lr = per_epoch(recipe)
    assert lr[:100] == [0.1] * 100
    assert lr[100:150] == pytest.approx([0.01] * 50)
    assert lr[150:] == pytest.approx([0.001] * 50)


def test_the_papers_warm_up_ends_and_the_milestones_stay_where_they_were() -> None:
    recipe = Recipe(
        epochs=200, lr=0.1, sched="multistep", decay_milestones=(100, 150),
        warmup_epochs=1, warmup_lr=0.01, warmup_mode="constant",
    )  # fmt: skip
    lr = rates(recipe)
    assert lr[:STEPS] == pytest.approx([0.01] * STEPS)
    assert lr[STEPS : 100 * STEPS] == pytest.approx([0.1] * 99 * STEPS)
    assert lr[100 * STEPS] == pytest.approx(0.01)
    assert lr[150 * STEPS] == pytest.approx(0.001)


def test_a_linear_warm_up_rises_to_the_rate_and_cosine_goes_on_to_the_end() -> None:
    recipe = Recipe(epochs=10, lr=0.4, sched="cosine", warmup_epochs=2, warmup_lr=0.1, sched_on_updates=True)
    lr = rates(recipe)
    assert lr[0] == pytest.approx(0.1)
    assert lr[4] == pytest.approx(0.25)
    assert lr[8] == pytest.approx(0.4)
    assert lr[8 + 16] == pytest.approx(0.2)
    assert 0 < lr[-1] < 0.01


def test_cosine_is_half_way_down_half_way_through_and_goes_to_its_minimum() -> None:
    lr = per_epoch(Recipe(epochs=200, lr=0.1, sched="cosine"))
    assert lr[0] == 0.1
    assert lr[50] == pytest.approx(0.05 * (1 + math.cos(math.pi / 4)))
    assert lr[100] == pytest.approx(0.05)
    assert lr[199] == pytest.approx(0.05 * (1 + math.cos(math.pi * 199 / 200)))
    assert per_epoch(Recipe(epochs=100, lr=0.1, sched="cosine", min_lr=0.02))[50] == pytest.approx(0.06)


def test_onecycle_rises_to_its_peak_and_falls_to_nearly_nothing() -> None:
    recipe = Recipe(epochs=10, lr=0.4, sched="onecycle", sched_on_updates=True, pct_start=0.25)
    lr = rates(recipe)
    assert lr[0] == pytest.approx(0.4 / 25)
    assert max(lr) == pytest.approx(0.4)
    assert lr.index(max(lr)) == 9  # a quarter of 40 steps
    assert lr[-1] == pytest.approx(0.4 / 25 / 1e4)


@pytest.mark.parametrize(
    ("opt", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_the_optimizer_has_the_recipes_numbers(opt: str, kind: type[torch.optim.Optimizer]) -> None:
    recipe = Recipe(epochs=1, momentum=0.8, weight_decay=5e-4).changed({"opt": opt})
    optimizer = optim.optimizer(recipe, [nn.Parameter(torch.ones(1))])
    assert type(optimizer) is kind
    group = optimizer.param_groups[0]
    assert group["weight_decay"] == 5e-4
    assert (group["momentum"] if opt == "sgd" else group["betas"][0]) == 0.8


def test_gradients_are_clipped_by_norm_or_by_value_or_not_at_all() -> None:
    def clipped(recipe: Recipe) -> list[float]:
        parameter = nn.Parameter(torch.zeros(2))
        parameter.grad = torch.tensor([3.0, 4.0])
        optim.clip(recipe, [parameter])
        return [round(value, 4) for value in parameter.grad.tolist()]

    assert clipped(Recipe(epochs=1)) == [3.0, 4.0]
    assert clipped(Recipe(epochs=1, clip_grad=1.0)) == [0.6, 0.8]
    assert clipped(Recipe(epochs=1, clip_grad=0.1, clip_mode="value")) == [0.1, 0.1]
