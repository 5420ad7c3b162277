from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from zoo import registry
from zoo.data import batches, sources
from zoo.data.batches import Batches
from zoo.errors import CompileWarning
from zoo.nets.build import build
from zoo.record.job import How
from zoo.spec import Recipe
from zoo.training import optimizer as optim
from zoo.training.objective import Loss, objective
from zoo.training.optimizer import BatchCounts
from zoo.training.step import GraphedStep, Step, StepState, Stopwatch, fastest

CPU = torch.device("cpu")
MODEL = registry.load("resnet8_digits")
RECIPE = Recipe(epochs=1, batch_size=64, lr=0.05, crop_padding=1, weight_decay=5e-4)
IMAGES = 300  # four batches of 64 and one of 44


class Training:
    """A net and its training step."""

    def __init__(
        self,
        *,
        recipe: Recipe = RECIPE,
        device: torch.device = CPU,
        how: How = "none",
    ) -> None:
        torch.manual_seed(0)
        self.net = build(MODEL.architecture, MODEL.dataset).to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.optimizer = optim.build(recipe, optim.groups(recipe, self.net))
        split = sources.read_split(MODEL.dataset, Path(), train=True, device=device, part=slice(IMAGES), border=1)
        self.drawn = batches.draw(IMAGES, recipe, seed=0, epoch=1).to(device)
        self.totals = torch.zeros(2, dtype=torch.float64, device=device)
        self.stopwatch = Stopwatch(device)
        self.counts = BatchCounts(self.net)
        feed = Batches(split, self.drawn, batches.pixels(MODEL.dataset.mean, MODEL.dataset.std, device), 1)
        step = Step(
            objective(self.net, feed, Loss(recipe), amp=False, teacher=None),
            StepState(self.net, self.optimizer, self.totals, self.counts),
            recipe, how=how, stopwatch=self.stopwatch,
        )  # fmt: skip
        self.step = fastest(step, how)

    def epoch(self, number: int = 1) -> Training:
        batches.redraw(self.drawn, batches.draw(IMAGES, RECIPE, seed=0, epoch=number))
        for start in range(0, IMAGES, 64):
            self.step(start, min(start + 64, IMAGES))
        return self

    @property
    def loss(self) -> float:
        return self.totals[0].item() / IMAGES

    def state(self) -> dict[str, Tensor]:
        with self.counts.restored():
            return {name: tensor.cpu().clone() for name, tensor in self.net.state_dict().items()}


def close(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.allclose(first[name].double(), second[name].double(), atol=2e-3, rtol=1e-2) for name in first)


def test_a_step_matches_a_hand_written_one() -> None:
    training = Training()
    torch.manual_seed(0)
    net = build(MODEL.architecture, MODEL.dataset).to(memory_format=torch.channels_last).train()
    split = sources.read_split(MODEL.dataset, Path(), train=True, device=CPU, part=slice(IMAGES), border=1)
    images, labels = batches.batch(split, training.drawn, torch.arange(64), 1)
    pixels = batches.pixels(MODEL.dataset.mean, MODEL.dataset.std, CPU)
    loss = nn.functional.cross_entropy(net(pixels.normalise(images)), labels)
    gradients = torch.autograd.grad(loss, list(net.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(net.parameters(), gradients, strict=True):
            parameter.sub_(0.05 * (gradient + 5e-4 * parameter))

    training.step(0, 64)
    assert training.totals[0].item() == pytest.approx(64 * loss.item(), rel=1e-5)
    after = training.state()
    assert all(torch.allclose(after[name], tensor, atol=1e-6) for name, tensor in net.state_dict().items())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs a C++ compiler")
def test_a_compiled_epoch_matches_an_eager_one() -> None:
    eager, compiled = Training(), Training(how="default")
    for number in (1, 2):
        assert compiled.epoch(number).loss == pytest.approx(eager.epoch(number).loss, rel=1e-3)
    assert close(eager.state(), compiled.state())
    assert compiled.stopwatch.compile_seconds > 0
    assert eager.stopwatch.compile_seconds == 0


def test_only_whole_batches_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def compile(forward: Callable[..., object], **options: object) -> Callable[..., object]:
        def counted(positions: Tensor, scale: float) -> object:
            sizes.append(len(positions))
            return forward(positions, scale)

        return counted

    monkeypatch.setattr(torch, "compile", compile)
    Training(how="default").epoch()
    assert sizes == [64, 64, 64, 64]


def test_a_step_that_cannot_be_compiled_runs_eagerly_with_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(forward: object, **options: object) -> object:
        def fail(positions: Tensor, scale: float) -> Tensor:
            assert forward(positions, scale).isfinite()  # type: ignore[operator]
            raise RuntimeError("no compiler here\nand a long story")

        return fail

    monkeypatch.setattr(torch, "compile", broken)
    training = Training(how="default")
    with pytest.warns(CompileWarning, match="training goes on without compiling: RuntimeError: no compiler here$"):
        training.epoch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        training.epoch(2)
    eager = Training().epoch().epoch(2)
    assert all(torch.equal(tensor, eager.state()[name]) for name, tensor in training.state().items())


def test_steps_queued_before_compiling_count_as_training_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, queued = [0.0], [5.0]

    def synchronize(device: torch.device) -> None:
        seconds[0] += queued.pop() if queued else 0.0

    monkeypatch.setattr("zoo.training.step.synchronize", synchronize)
    monkeypatch.setattr("zoo.training.step.time", SimpleNamespace(perf_counter=lambda: seconds[0]))
    stopwatch = Stopwatch(CPU)
    with stopwatch.compiling():
        seconds[0] += 2
    assert (stopwatch.train_seconds, stopwatch.compile_seconds) == (5.0, 2.0)


# -- CUDA graphs -----------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("how", ["graph", "default"])
def test_a_cuda_graph_matches_eager_steps(how: How, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # its rounding would be the difference
    cuda = torch.device("cuda")
    eager, graphed = Training(device=cuda), Training(device=cuda, how=how)
    assert isinstance(graphed.step, GraphedStep)
    for number in range(1, 7):
        assert graphed.epoch(number).loss == pytest.approx(eager.epoch(number).loss, rel=1e-2)
    assert set(graphed.step._graphs) == {64, 44}


@pytest.mark.gpu
def test_a_cuda_graph_follows_the_learning_rate_of_every_layer() -> None:
    cuda = torch.device("cuda")
    recipe = RECIPE.replace(momentum=0.0, layer_decay=0.5)
    eager, graphed = (Training(device=cuda, how=how, recipe=recipe) for how in ("none", "graph"))
    for number in range(1, 7):
        for training in (eager, graphed):
            for group in training.optimizer.param_groups:
                group["lr"] = 0.05 / number * optim.scale(group)
            training.epoch(number)
    assert close(eager.state(), graphed.state())
