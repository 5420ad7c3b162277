from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from zoo import registry
from zoo.data import batches
from zoo.errors import CompileWarning
from zoo.nets import weights
from zoo.spec import Recipe
from zoo.training import optim
from zoo.training.distributed import Share
from zoo.training.step import GraphedStep, Step, fastest

CPU = torch.device("cpu")
MODEL = registry.load("resnet8_digits")
RECIPE = Recipe(epochs=1, batch_size=64, lr=0.05, crop_padding=1, weight_decay=5e-4)
IMAGES = 300  # four batches of 64 and one of 44


class Training:
    """A net with a step, and an epoch of steps."""

    def __init__(
        self,
        *,
        recipe: Recipe = RECIPE,
        device: torch.device = CPU,
        share: Share | None = None,
        compiled: bool = False,
    ) -> None:
        torch.manual_seed(0)
        self.net = weights.build(MODEL).to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.optimizer = optim.optimizer(recipe, self.net.parameters())
        split = batches.read_split(MODEL.dataset, Path(), train=True, device=device, part=slice(IMAGES))
        self.drawn = batches.draw(IMAGES, recipe, seed=0, epoch=1, device=device)
        self.totals = torch.zeros(2, dtype=torch.float64, device=device)
        step = Step(
            recipe, self.net, self.optimizer, batches.padded(split, 1), self.drawn,
            batches.pixels(MODEL.dataset.mean, MODEL.dataset.std, device), self.totals,
            amp=False, share=share or Share(), compiled=compiled,
        )  # fmt: skip
        self.step = fastest(step)

    def epoch(self, number: int = 1) -> Training:
        batches.redraw(self.drawn, RECIPE, seed=0, epoch=number)
        for start in range(0, IMAGES, 64):
            self.step(start, min(start + 64, IMAGES))
        return self

    @property
    def loss(self) -> float:
        return self.totals[0].item() / IMAGES

    def state(self) -> dict[str, Tensor]:
        return {name: tensor.cpu().clone() for name, tensor in self.net.state_dict().items()}


def close(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.allclose(one[name].double(), other[name].double(), atol=2e-3, rtol=1e-2) for name in one)


def test_a_step_is_what_a_hand_written_one_does() -> None:
    training = Training()
    torch.manual_seed(0)
    net = weights.build(MODEL).to(memory_format=torch.channels_last).train()
    split = batches.read_split(MODEL.dataset, Path(), train=True, device=CPU, part=slice(IMAGES))
    images, labels = batches.batch(batches.padded(split, 1), training.drawn, torch.arange(64), 1)
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


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs a C++ compiler")
def test_a_compiled_epoch_learns_what_an_eager_one_learns() -> None:
    eager, compiled = Training(), Training(compiled=True)
    for number in (1, 2):
        assert compiled.epoch(number).loss == pytest.approx(eager.epoch(number).loss, rel=1e-3)
    assert close(eager.state(), compiled.state())
    assert compiled.step.compile_seconds > 0
    assert eager.step.compile_seconds == 0


def test_only_whole_batches_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def compile(forward: Callable[..., object], **options: object) -> Callable[..., object]:
        def counted(images: Tensor, labels: Tensor, mixing: object) -> object:
            sizes.append(len(images))
            return forward(images, labels, mixing)

        return counted

    monkeypatch.setattr(torch, "compile", compile)
    Training(compiled=True).epoch()
    assert sizes == [64, 64, 64, 64]


def test_a_step_that_can_not_be_compiled_is_run_eagerly_with_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(forward: object, **options: object) -> object:
        def fail(images: Tensor, labels: Tensor, mixing: object) -> tuple[Tensor, Tensor]:
            eager = forward(images, labels, mixing)  # type: ignore[operator]
            assert eager
            raise RuntimeError("no compiler here\nand a long story")

        return fail

    monkeypatch.setattr(torch, "compile", broken)
    training = Training(compiled=True)
    with pytest.warns(CompileWarning, match="training goes on without compiling: RuntimeError: no compiler here$"):
        training.epoch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        training.epoch(2)
    eager = Training().epoch().epoch(2)
    assert all(torch.equal(tensor, eager.state()[name]) for name, tensor in training.state().items())


def test_the_shares_of_a_batch_have_every_image_once_and_the_gradient_of_the_whole() -> None:
    seen: list[int] = []
    gradients: list[dict[str, Tensor]] = []
    whole = Share()
    for share in (Share(0, 2), Share(1, 2), whole):
        training = Training(share=share)
        training.net.eval()  # batch norm at rest: otherwise each share has statistics of its own
        training.optimizer = optim.optimizer(replace(RECIPE, lr=1e-12), training.net.parameters())
        assert isinstance(training.step, Step)
        training.step.optimizer = _Keeping(training.net, gradients)  # type: ignore[assignment]
        training.step(0, 63)  # an odd batch: the shares differ in size
        if share is not whole:
            seen += training.drawn.order[torch.arange(share.rank, 63, 2)].tolist()
    assert sorted(seen) == sorted(Training().drawn.order[:63].tolist())
    one, two, all_of_it = gradients
    assert all(torch.allclose((one[name] + two[name]) / 2, all_of_it[name], atol=1e-6) for name in one)


class _Keeping:
    """An optimizer that keeps the gradients and changes nothing."""

    def __init__(self, net: nn.Module, kept: list[dict[str, Tensor]]) -> None:
        self.net, self.kept = net, kept

    def step(self) -> None:
        self.kept.append({name: p.grad.clone() for name, p in self.net.named_parameters() if p.grad is not None})

    def zero_grad(self) -> None:
        self.net.zero_grad()


@pytest.mark.gpu
def test_a_graph_learns_what_an_eager_step_on_the_gpu_learns() -> None:
    cuda = torch.device("cuda")
    eager, graphed = Training(device=cuda), Training(device=cuda, compiled=True)
    assert isinstance(graphed.step, GraphedStep)
    for number in range(1, 7):
        assert graphed.epoch(number).loss == pytest.approx(eager.epoch(number).loss, rel=1e-2)
    assert set(graphed.step._graphs) == {64, 44}


@pytest.mark.gpu
def test_a_graph_follows_the_rate() -> None:
    cuda = torch.device("cuda")
    training = Training(device=cuda, compiled=True, recipe=replace(RECIPE, momentum=0.0, weight_decay=0.0))
    for number in range(1, 6):
        training.epoch(number)
    training.optimizer.param_groups[0]["lr"] = 0.0
    before = {name: parameter.detach().clone() for name, parameter in training.net.named_parameters()}
    training.epoch(6)
    assert all(torch.equal(parameter, before[name]) for name, parameter in training.net.named_parameters())
