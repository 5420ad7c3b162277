from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from zoo.errors import TrainingError
from zoo.spec import Recipe
from zoo.testing import learning_rates
from zoo.training import optimizer as optim

STEPS = 4  # per epoch


def rates(recipe: Recipe) -> list[float]:
    return learning_rates(recipe, STEPS)


@pytest.mark.parametrize(
    ("recipe", "expected"),  # learning rates by step
    [
        (
            Recipe(
                epochs=200, lr=0.1, sched="multistep", decay_milestones=(100, 150),
                warmup_epochs=1, warmup_lr=0.01, warmup_mode="constant",
            ),
            {0: 0.01, 3: 0.01, 4: 0.1, 399: 0.1, 400: 0.01, 599: 0.01, 600: 0.001},
        ),
        (
            Recipe(epochs=10, lr=0.4, sched="cosine", warmup_epochs=2, warmup_lr=0.1, sched_on_updates=True),
            {0: 0.1, 4: 0.25, 8: 0.4, 24: 0.2},
        ),
        (
            Recipe(epochs=200, lr=0.1, sched="cosine"),
            {0: 0.1, 200: 0.05 * (1 + math.cos(math.pi / 4)), 400: 0.05, 799: 0.05 * (1 - math.cos(math.pi / 200))},
        ),
        (Recipe(epochs=100, lr=0.1, sched="cosine", min_lr=0.02), {200: 0.06}),
        (
            Recipe(epochs=10, lr=0.4, sched="onecycle", sched_on_updates=True, pct_start=0.25),
            {0: 0.4 / 25, 9: 0.4, 39: 0.4 / 25 / 1e4},
        ),
    ],
    ids=["milestones", "cosine after a warm-up", "cosine", "cosine to min_lr", "onecycle"],
)  # fmt: skip
def test_a_schedule_sets_the_learning_rates_of_its_recipe(recipe: Recipe, expected: dict[int, float]) -> None:
    lr = rates(recipe)
    assert {step: lr[step] for step in expected} == pytest.approx(expected)
    assert max(lr) == pytest.approx(recipe.lr)


# -- layer decay -----------------------------------------------------------------------------------


class Layered(nn.Module):
    """A stem, two blocks and a head, grouped by a matcher like that of timm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Linear(1, 1, bias=False), nn.ModuleList(nn.Linear(1, 1) for _ in range(2))
        self.norm, self.fc = nn.LayerNorm(1), nn.Linear(1, 1)

    def group_matcher(self, coarse: bool = False) -> dict[str, object]:
        assert not coarse
        return {"stem": r"^stem", "blocks": [(r"^blocks\.(\d+)", None), (r"^norm", (99999,))], "none": None}


@pytest.mark.parametrize("updates", ["true", "false"])
@pytest.mark.parametrize("sched", ["constant", "multistep", "cosine", "onecycle", "plateau", "warmup"])
def test_every_schedule_moves_the_rates_of_all_layers_alike(sched: str, updates: str) -> None:
    changes = {"sched": sched, "sched_on_updates": updates, "decay_milestones": "2"}
    if sched == "plateau":
        changes |= {"sched_on_updates": "false", "val_images": "1", "patience_epochs": "0"}
    if sched == "warmup":
        changes |= {"sched": "cosine", "warmup_epochs": "1", "warmup_lr": "0.01"}
    recipe = Recipe(epochs=4, lr=0.1, min_lr=0.01, layer_decay=0.5).changed(changes)
    over = optim.build(recipe, optim.groups(recipe, Layered()))
    schedule = optim.schedule(recipe, over, STEPS)
    followed = []
    for _ in range(recipe.epochs):
        for _ in range(STEPS):
            over.step()
            followed.append(over.param_groups[0]["lr"])
            assert [group["lr"] / followed[-1] for group in over.param_groups] == [1, 0.5, 0.25, 0.125]
            optim.end_step(recipe, schedule)
        optim.end_epoch(recipe, schedule, val_top1=50.0)
    if sched != "plateau":
        assert followed == rates(recipe.changed({"layer_decay": "1"}))


def test_without_layer_decay_a_net_needs_no_named_layers() -> None:
    net = nn.Linear(2, 2)
    assert optim.groups(Recipe(epochs=1), net) == [{"params": list(net.parameters())}]


def test_layer_decay_is_refused_for_a_net_without_named_layers() -> None:
    with pytest.raises(TrainingError, match=r"^Linear has no group_matcher\(\), which layer_decay needs"):
        optim.groups(Recipe(epochs=1, layer_decay=0.9), nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("opt", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_the_optimizer_has_the_hyper_parameters_of_the_recipe(opt: str, kind: type[torch.optim.Optimizer]) -> None:
    recipe = Recipe(epochs=1, momentum=0.8, weight_decay=5e-4).changed({"opt": opt})
    optimizer = optim.build(recipe, [nn.Parameter(torch.ones(1))])
    assert type(optimizer) is kind
    group = optimizer.param_groups[0]
    assert group["weight_decay"] == 5e-4
    assert (group["momentum"] if opt == "sgd" else group["betas"][0]) == 0.8


def test_gradients_are_clipped_by_norm_by_value_or_not_at_all() -> None:
    def clipped(recipe: Recipe) -> list[float]:
        parameter = nn.Parameter(torch.zeros(2))
        parameter.grad = torch.tensor([3.0, 4.0])
        optim.clip(recipe, [parameter])
        return [round(value, 4) for value in parameter.grad.tolist()]

    assert clipped(Recipe(epochs=1)) == [3.0, 4.0]
    assert clipped(Recipe(epochs=1, clip_grad=1.0)) == [0.6, 0.8]
    assert clipped(Recipe(epochs=1, clip_grad=0.1, clip_mode="value")) == [0.1, 0.1]
