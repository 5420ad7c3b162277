"""A captured step computes what an eager step does; tested on a CPU with a stand-in for CUDA graphs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from zoo import registry
from zoo.data import batches, sources
from zoo.errors import CompileWarning
from zoo.nets.build import build
from zoo.record.job import How
from zoo.spec import Recipe
from zoo.training.learner import Learner

from . import cuda_stand_in, kernels
from .cuda_stand_in import Graph
from .jobs import JOB

CPU = torch.device("cpu")
MODEL = registry.load("resnet8_digits")
IMAGES = 300  # four batches of 64 and one of 44
BASE = Recipe(epochs=6, batch_size=64, lr=0.05, crop_padding=1, weight_decay=5e-4)
RECIPES = {
    "plain": BASE,
    "milestones by epochs": BASE.replace(
        sched="multistep", sched_on_updates=False, decay_milestones=(3,), decay_rate=0.5, nesterov=False
    ),
    "cosine with a warm-up": BASE.replace(sched="cosine", sched_on_updates=True, warmup_epochs=1, warmup_lr=0.01),
    "clipped by norm, smoothed, mixed": BASE.replace(clip_grad=0.5, smoothing=0.1, mixup=0.2, cutmix=1.0, cutout=2),
    "averaged, clipped by value, balanced": BASE.replace(
        model_ema_decay=0.9, clip_grad=0.05, clip_mode="value", class_weight="balanced"
    ),
    "rates by layer, head first": BASE.replace(layer_decay=0.5, freeze_epochs=2),
    "distilled": BASE.replace(teacher="resnet8_digits", distill=0.5, distill_warmup_epochs=2),
    "distilled, decoupled": BASE.replace(teacher="resnet8_digits", distill=0.5, distill_type="dkd"),
}


@pytest.fixture(autouse=True)
def _graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda_stand_in.install(monkeypatch)


def learner(recipe: Recipe, how: How) -> Learner:
    torch.manual_seed(0)
    net = build(MODEL.architecture, MODEL.dataset)
    teacher = build(MODEL.architecture, MODEL.dataset).eval().requires_grad_(False) if recipe.teacher else None
    split = sources.read_split(MODEL.dataset, Path(), train=True, device=CPU, part=slice(IMAGES), border=1)
    pixels = batches.pixels(MODEL.dataset.mean, MODEL.dataset.std, CPU)
    job = replace(JOB, recipe=recipe, compile=how, train_images=IMAGES)
    torch.manual_seed(0)
    return Learner(job, net, split, pixels, teacher=teacher)


def train(learner: Learner, epochs: range, losses: list[float]) -> None:
    for epoch in epochs:
        learner.begin(epoch)
        for number in range(learner.steps):
            learner.step(number)
        losses.append(learner.totals[0].item())
        learner.state()  # as for a checkpoint
        learner.end(50.0)


def trained(recipe: Recipe, how: How, *, resumed: bool = False) -> tuple[dict[str, Tensor], list[float]]:
    losses: list[float] = []
    training = learner(recipe, how)
    if resumed:
        train(training, range(1, 4), losses)
        state = training.state()
        training = learner(recipe, how)
        training.begin(4)
        training.restore(state)
        train(training, range(4, recipe.epochs + 1), losses)
    else:
        train(training, range(1, recipe.epochs + 1), losses)
    assert training.how == how
    return training.published().state_dict(), losses


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("resumed", [False, True], ids=["at once", "resumed"])
def test_replayed_steps_equal_eager_steps_bit_for_bit(name: str, resumed: bool) -> None:
    recipe = RECIPES[name]
    eager, losses = trained(recipe, "none", resumed=resumed)
    captured, replayed = trained(recipe, "graph", resumed=resumed)
    assert sum(graph.replays for graph in Graph.made) > 10
    assert replayed == losses
    assert all(torch.equal(eager[key], captured[key]) for key in eager)


def test_a_step_that_waits_for_the_gpu_is_not_captured() -> None:
    class Reading(nn.Module):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.net(images)
            return logits / max(1.0, logits.detach().abs().max().item())

    training = learner(BASE, "graph")
    training.net = Reading(training.net)
    with pytest.warns(CompileWarning, match="training goes on without a CUDA graph: .*waits for the GPU"):
        train(training, range(1, 3), [])
    assert training.how == "none"


def test_graphs_of_different_batch_sizes_share_memory() -> None:
    train(learner(BASE, "graph"), range(1, 6), [])
    whole, last = Graph.made
    assert whole.pool is not None
    assert whole.pool is last.pool


def test_a_few_steps_without_a_capture_are_recorded_as_graph() -> None:
    training = learner(BASE, "graph")
    training.begin(1)
    training.step(0)
    assert not Graph.made
    assert training.how == "graph"


def test_a_failed_capture_restores_the_current_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.cuda.graph does not restore the current stream if the end of a capture raises."""
    current = ["the caller's"]

    @contextlib.contextmanager
    def failing(graph: Graph, **settings: object) -> Iterator[None]:
        current[0] = "the capture's"
        yield
        raise RuntimeError("operation failed due to a previous error during capture")

    class Current(cuda_stand_in.Stream):
        def __init__(self, name: str) -> None:
            self.name = name

    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: Current(current[0]))
    monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: current.__setitem__(0, stream.name))
    monkeypatch.setattr(torch.cuda, "graph", failing)
    training = learner(BASE, "graph")
    with pytest.warns(CompileWarning, match="without a CUDA graph"):
        train(training, range(1, 3), [])
    assert current == ["the caller's"]


@pytest.mark.parametrize(("name", "limit"), [("resnet20_cifar10", 356), ("resnet56_cifar10", 932)])
def test_a_step_launches_a_limited_number_of_kernels(name: str, limit: int) -> None:
    assert 0 < kernels.count(name, fused=False) <= limit


@pytest.mark.parametrize(("name", "limit"), [("resnet20_cifar10", 252), ("resnet56_cifar10", 630)])
def test_fused_layers_launch_fewer_kernels(name: str, limit: int) -> None:
    pytest.importorskip("zoo.training.norm_relu", reason="Triton is not installed", exc_type=ImportError)
    assert 0 < kernels.count(name, fused=True) <= limit
