from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

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
from zoo.training.distributed import Share
from zoo.training.objective import objective
from zoo.training.optimizer import BatchCounts
from zoo.training.step import GraphedStep, Moved, Step, Stopwatch, fastest

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
            objective(self.net, feed, recipe, amp=False, teacher=None),
            Moved(self.net, self.optimizer, self.totals, self.counts),
            recipe, share=share or Share(), how=how, stopwatch=self.stopwatch,
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
        with self.counts.back():
            return {name: tensor.cpu().clone() for name, tensor in self.net.state_dict().items()}


def close(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.allclose(one[name].double(), other[name].double(), atol=2e-3, rtol=1e-2) for name in one)


def test_a_step_is_what_a_hand_written_one_does() -> None:
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
def test_a_compiled_epoch_learns_what_an_eager_one_learns() -> None:
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


def test_a_step_that_can_not_be_compiled_is_run_eagerly_with_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_shares_of_a_batch_have_every_image_once_and_the_gradient_of_the_whole() -> None:
    seen: list[int] = []
    gradients: list[dict[str, Tensor]] = []
    whole = Share()
    for share in (Share(0, 2), Share(1, 2), whole):
        training = Training(share=share)
        training.net.eval()  # batch norm at rest: otherwise each share has statistics of its own
        assert isinstance(training.step, Step)
        keeping = _Keeping(training.net, gradients)
        training.step.moved = replace(training.step.moved, optimizer=keeping)  # type: ignore[arg-type]
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


class Clock:
    """A clock that only what is measured moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_the_first_step_of_every_size_is_booked_as_compiling_where_kernels_are_searched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, training = Clock(), Training()
    training.stopwatch._now = clock
    training.stopwatch.start()
    assert isinstance(training.step, Step)
    run = training.step.run

    def timed(positions: Tensor, batch_size: int) -> None:
        run(positions, batch_size)
        clock.seconds += 1

    monkeypatch.setattr(training.step, "run", timed)
    monkeypatch.setattr("zoo.training.step.searches_kernels", lambda device: True)
    training.epoch()  # four batches of 64 and one of 44
    assert training.stopwatch.seconds == (3.0, 2.0)
    training.epoch(2)
    assert training.stopwatch.seconds == (8.0, 2.0)


def test_steps_that_are_still_queued_when_compiling_begins_are_training(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    stopwatch = Stopwatch(CPU, clock)
    queued = [5.0]

    def synchronize(device: torch.device) -> None:
        clock.seconds += queued.pop() if queued else 0.0

    monkeypatch.setattr("zoo.training.step.synchronize", synchronize)
    with stopwatch.compiling():
        clock.seconds += 2
    assert stopwatch.seconds == (5.0, 2.0)


# -- graphs, as far as they can be tried without a GPU ----------------------------------------------


class FakeGraph:
    """Counts its replays, and computes nothing."""

    def __init__(self) -> None:
        self.replays = 0

    def replay(self) -> None:
        self.replays += 1


@pytest.fixture
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams and graphs that are none: what would be captured is computed at once."""

    class Stream:
        def __init__(self, device: object = None) -> None:
            pass

        def wait_stream(self, other: object) -> None:
            pass

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: None)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, **settings: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", object)


def graphed(training: Training) -> GraphedStep:
    assert isinstance(training.step, Step)
    training.step = GraphedStep(training.step)
    return training.step


@pytest.mark.usefixtures("fake_cuda")
def test_a_size_that_can_not_be_captured_leaves_the_others_their_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training()
    step = graphed(training)
    captured = step._captured

    def only_whole_batches(size: int) -> torch.cuda.CUDAGraph:
        if size != 64:
            raise RuntimeError("not this one")
        return captured(size)

    monkeypatch.setattr(step, "_captured", only_whole_batches)
    for number in (1, 2, 3):
        training.epoch(number)
    with pytest.warns(CompileWarning, match="without a CUDA graph: RuntimeError: not this one$"):
        training.epoch(4)
    graph = step._graphs[64]
    assert isinstance(graph, FakeGraph)
    before = graph.replays
    training.epoch(5)
    assert graph.replays == before + 4
    assert step._graphs.keys() == {64}
    assert step.how == "graph"


@pytest.mark.usefixtures("fake_cuda")
def test_a_capture_that_failed_names_the_cause_and_not_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training()
    step = graphed(training)

    run, capturing = step.step.run, False

    @contextlib.contextmanager
    def capture(graph: object, **settings: object) -> Iterator[None]:
        nonlocal capturing
        capturing = True
        try:
            yield
        finally:
            capturing = False
            raise RuntimeError("operation failed due to a previous error during capture")

    def synchronising(positions: Tensor, batch_size: int) -> None:
        if capturing:
            raise ValueError("this step asks for a number")
        run(positions, batch_size)

    monkeypatch.setattr(torch.cuda, "graph", capture)
    monkeypatch.setattr(step.step, "run", synchronising)
    with pytest.warns(CompileWarning, match="without a CUDA graph: ValueError: this step asks for a number$"):
        training.epoch()
    eager = Training().epoch()
    assert all(torch.equal(tensor, eager.state()[name]) for name, tensor in training.state().items())


@pytest.mark.gpu
@pytest.mark.parametrize("how", ["graph", "default"])
def test_a_graph_learns_what_an_eager_step_on_the_gpu_learns(how: How, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # what it rounds off would be the difference
    cuda = torch.device("cuda")
    eager, graphed = Training(device=cuda), Training(device=cuda, how=how)
    assert isinstance(graphed.step, GraphedStep)
    for number in range(1, 7):
        assert graphed.epoch(number).loss == pytest.approx(eager.epoch(number).loss, rel=1e-2)
    assert set(graphed.step._graphs) == {64, 44}


@pytest.mark.gpu
def test_a_graph_follows_the_rate_of_every_layer() -> None:
    cuda = torch.device("cuda")
    recipe = RECIPE.replace(momentum=0.0, layer_decay=0.5)
    eager, graphed = (Training(device=cuda, how=how, recipe=recipe) for how in ("none", "graph"))
    for number in range(1, 7):
        for one in (eager, graphed):
            for group in one.optimizer.param_groups:
                group["lr"] = 0.05 / number * optim.scale(group)
            one.epoch(number)
    assert close(eager.state(), graphed.state())


@pytest.mark.gpu
def test_a_graph_follows_the_rate() -> None:
    cuda = torch.device("cuda")
    training = Training(device=cuda, how="graph", recipe=RECIPE.replace(momentum=0.0, weight_decay=0.0))
    for number in range(1, 6):
        training.epoch(number)
    training.optimizer.param_groups[0]["lr"] = 0.0
    before = {name: parameter.detach().clone() for name, parameter in training.net.named_parameters()}
    training.epoch(6)
    assert all(torch.equal(parameter, before[name]) for name, parameter in training.net.named_parameters())
