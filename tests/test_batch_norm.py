"""Batch norm over the whole batch: two real processes that share one, beside torch's own over all of it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn

from zoo import registry
from zoo.nets.build import build
from zoo.training import batch_norm
from zoo.training.batch_norm import BatchNorm, WholeBatchNorm
from zoo.training.counts import BatchCounts

CPU = torch.device("cpu")
CHANNELS = 6
MODEL = registry.load("resnet8_digits")

Together = Callable[..., list[dict[str, Tensor]]]


def join(ranks: Queue[int], meeting_place: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{meeting_place}", rank=ranks.get(), world_size=2)


def leave() -> None:
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Together]:
    """Calls a function in two processes of one group, and returns what it returned in each, by rank."""
    spawn = multiprocessing.get_context("spawn")
    ranks: Queue[int] = spawn.Queue()
    for rank in range(2):
        ranks.put(rank)
    meeting_place = tmp_path_factory.mktemp("group") / "store"
    with ProcessPoolExecutor(2, spawn, join, (ranks, meeting_place)) as processes:

        def call(function: Callable[..., dict[str, Tensor]], *arguments: object) -> list[dict[str, Tensor]]:
            # Each takes one: neither comes to an end before the other has begun.
            futures = [processes.submit(_ranked, function, *arguments) for _ in range(2)]
            return [result for _, result in sorted((one.result(120) for one in futures), key=lambda pair: pair[0])]

        yield call
        for _ in range(2):
            processes.submit(leave)


def _ranked(function: Callable[..., dict[str, Tensor]], *arguments: object) -> tuple[int, dict[str, Tensor]]:
    result = function(*arguments)
    distributed.barrier()
    return distributed.get_rank(), result


def trained(norm: nn.Module, x: Tensor, gradient: Tensor) -> dict[str, Tensor]:
    """What a step of training leaves: the output, all gradients, the state of the norm."""
    x = x.detach().requires_grad_()
    out = norm(x)
    out.backward(gradient)
    gradients = {f"gradient of {name}": parameter.grad for name, parameter in norm.named_parameters()}
    found = {"output": out.detach(), "gradient of x": x.grad, **gradients, **norm.state_dict()}
    return {name: tensor.clone() for name, tensor in found.items() if tensor is not None}


def norm(kind: type[BatchNorm], settings: dict[str, Any]) -> BatchNorm:
    torch.manual_seed(0)
    made = kind(CHANNELS, **settings)
    for parameter in made.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    return made


def trained_on_a_share(
    kind: type[BatchNorm], settings: dict[str, Any], x: Tensor, gradient: Tensor
) -> dict[str, Tensor]:
    rank, net = distributed.get_rank(), nn.Sequential(norm(kind, settings))
    batch_norm.over_whole_batches(net, CPU)
    return trained(net[0], x[rank::2], gradient[rank::2])


@pytest.mark.parametrize("images", [8, 7, 1])
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (nn.BatchNorm2d, {}),
        (nn.BatchNorm2d, {"momentum": None, "eps": 0.1}),
        (nn.BatchNorm2d, {"affine": False}),
        (nn.BatchNorm2d, {"track_running_stats": False}),
        (nn.BatchNorm1d, {}),
        (nn.BatchNorm3d, {}),
    ],
)
def test_shares_come_to_what_the_whole_batch_comes_to(
    together: Together, kind: type[BatchNorm], settings: dict[str, Any], images: int
) -> None:
    """Also where one of them has an image more, or none at all."""
    spatial = {nn.BatchNorm1d: (5,), nn.BatchNorm2d: (5, 4), nn.BatchNorm3d: (2, 3, 2)}[kind]
    x = 30 + torch.randn(images, CHANNELS, *spatial)
    gradient = torch.randn_like(x)
    alone = norm(kind, settings)
    whole = trained(alone, x, gradient)
    shares = together(trained_on_a_share, kind, settings, x, gradient)
    buffers = [name for name, _ in alone.named_buffers()]
    for rank, share in enumerate(shares):
        assert share.keys() == whole.keys()
        for name in ("output", "gradient of x"):
            close(share[name], whole[name][rank::2])
        for name in buffers:
            close(share[name], whole[name])
            assert torch.equal(share[name], shares[0][name])
    for name, _ in alone.named_parameters():
        close(shares[0][f"gradient of {name}"] + shares[1][f"gradient of {name}"], whole[f"gradient of {name}"])


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def trained_in_bf16(x: Tensor, gradient: Tensor) -> dict[str, Tensor]:
    with torch.autocast("cpu", torch.bfloat16):
        return trained_on_a_share(nn.BatchNorm2d, {}, x, gradient)


def test_its_statistics_are_fp32_where_its_input_is_bf16(together: Together) -> None:
    x = (300 + torch.randn(8, CHANNELS, 5, 4)).bfloat16().to(memory_format=torch.channels_last)
    for share in together(trained_in_bf16, x, torch.randn_like(x)):
        assert share["output"].dtype == share["gradient of x"].dtype == torch.bfloat16
        assert share["output"].is_contiguous(memory_format=torch.channels_last)
        close(share["running_mean"], 0.1 * x.float().mean((0, 2, 3)))
        close(share["running_var"], 0.9 + 0.1 * x.float().var((0, 2, 3)))


def stepped(grad_checkpointing: bool) -> dict[str, Tensor]:
    torch.manual_seed(0)
    net: Any = build(MODEL.architecture, MODEL.dataset)
    net.set_grad_checkpointing(grad_checkpointing)
    batch_norm.over_whole_batches(net, CPU)
    x = torch.randn(8, *MODEL.dataset.input_size)[distributed.get_rank() :: 2]
    for _ in range(2):
        net(x).square().mean().backward()
    gradients = {f"gradient of {name}": parameter.grad.clone() for name, parameter in net.named_parameters()}
    return {**gradients, **net.state_dict()}


def test_activations_computed_again_change_no_gradient_and_no_statistic(together: Together) -> None:
    for kept, again in zip(together(stepped, False), together(stepped, True), strict=True):
        assert all(torch.equal(tensor, kept[name]) for name, tensor in again.items())


class Activated(nn.BatchNorm2d):
    """A batch norm that does more than one."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu()


class Net(nn.Module):
    """One norm under two names, and one in a part."""

    def __init__(self) -> None:
        super().__init__()
        self.first = self.second = nn.BatchNorm2d(CHANNELS)
        self.part = nn.Sequential(nn.BatchNorm2d(CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.part(self.second(self.first(x)))
        return out


@pytest.mark.parametrize(("device", "kind"), [("cpu", WholeBatchNorm), ("cuda", nn.SyncBatchNorm)])
def test_a_net_keeps_its_state_dict_and_evaluates_on_its_own(device: str, kind: type[nn.Module]) -> None:
    net = Net()
    net(torch.randn(8, CHANNELS, 5, 4))
    net.eval()
    x = torch.randn(3, CHANNELS, 5, 4)
    before, out = net.state_dict(keep_vars=True), net(x)
    batch_norm.over_whole_batches(net, torch.device(device))
    after = net.state_dict(keep_vars=True)
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)
    assert net.first is net.second
    assert isinstance(net.first, kind)
    assert isinstance(net.part[0], kind)
    assert torch.equal(net(x), out)


def test_a_norm_that_is_more_than_batch_norm_stays_and_is_known_to_see_its_share() -> None:
    net = nn.Sequential(nn.Conv2d(1, CHANNELS, 3), nn.BatchNorm2d(CHANNELS))
    batch_norm.over_whole_batches(net, CPU)
    assert not batch_norm.sees_shares(net)
    net.append(Activated(CHANNELS))
    batch_norm.over_whole_batches(net, CPU)
    assert isinstance(net[2], Activated)
    assert batch_norm.sees_shares(net)


def test_torchs_norm_over_processes_trains_though_its_batches_are_counted_for_it() -> None:
    net = nn.Sequential(nn.BatchNorm2d(CHANNELS))
    batch_norm.over_whole_batches(net, torch.device("cuda"))
    counts = BatchCounts(net)
    for _ in range(3):
        net(torch.randn(4, CHANNELS, 5, 5))
        counts.add()
    with counts.back():
        assert net.state_dict()["0.num_batches_tracked"] == 3
