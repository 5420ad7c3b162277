"""Train in the processes that torchrun starts: `torchrun --nproc-per-node 2 -m zoo train …`.

Every process has the whole dataset and trains on its share of each batch. torch's DistributedDataParallel averages the
gradients. On GPUs, torch's SyncBatchNorm computes statistics over the whole batch. On CPUs, where torch has no such
layer, each process normalizes its own share. Only the first process evaluates, writes, prints and publishes. All nodes
must see its output folder. If a process is killed, torchrun restarts all of them, and `resume` continues from the
checkpoint.

Outside torchrun there is one process, and the functions that communicate do nothing.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from zoo.errors import TrainingError
from zoo.nets.device import choose_for_training

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
STEPS_BETWEEN_AGREEMENTS = 16


@dataclass(frozen=True)
class Share:
    """The part of every batch that this process trains on: the images rank, rank + world, …"""

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process evaluates, writes and prints."""
        return self.rank == 0


def share() -> Share:
    """This process's share of the work, from the environment that torchrun sets."""
    return Share(rank=int(os.environ.get("RANK", "0")), world=int(os.environ.get("WORLD_SIZE", "1")))


def own_device(name: str | None) -> torch.device:
    """The device that this process trains on: for "cuda" the GPU of its local rank.

    Args:
        name: `cpu`, `cuda`, `cuda:1` or `mps`; None for a CUDA GPU if present, else the CPU.

    Raises:
        DeviceError: torch does not find the device on this machine.
        TrainingError: The zoo can't train on the device, or not with several processes.
    """
    device = choose_for_training(name)
    if device.type == "mps" and share().world > 1:
        raise TrainingError("several processes train on cpu or cuda, not on mps; use one process")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if str(device) == "cuda" else device


@contextlib.contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the process group of the training inside the block, if there are several processes."""
    if share().world == 1:
        yield
        return
    with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
        on_gpu = device.type == "cuda"
        distributed.init_process_group("nccl" if on_gpu else "gloo", device_id=device if on_gpu else None)
        try:
            yield
        finally:
            distributed.destroy_process_group()


def synchronize_batch_norm(net: nn.Module, device: torch.device) -> None:
    """Replace the BatchNorm layers of a net by torch's SyncBatchNorm, if several processes train it on GPUs.

    Layers of derived classes are kept, because they may compute something else.
    """
    if share().world == 1 or device.type != "cuda":
        return
    for name, module in list(net.named_modules(remove_duplicate=False)):
        if type(module) in BATCH_NORMS:
            net.set_submodule(name, nn.SyncBatchNorm.convert_sync_batchnorm(module))  # type: ignore[no-untyped-call]


def parallel(net: nn.Module, device: torch.device) -> nn.Module:
    """The net in DistributedDataParallel; the net itself in a training with one process.

    Gradients are averaged for the parameters that require them at this moment.
    """
    if share().world == 1:
        return net
    return nn.parallel.DistributedDataParallel(net, device_ids=[device.index] if device.type == "cuda" else None)


def batch_norm_images(net: nn.Module, batch_size: int) -> int | None:
    """The number of images that batch norm layers see in each process; None if they see the whole batch."""
    world = share().world
    return math.ceil(batch_size / world) if world > 1 and any(map(_is_local_norm, net.modules())) else None


def _is_local_norm(module: nn.Module) -> bool:
    """Whether a module is a batch norm, recognized by its running mean, that sees the images of its process only."""
    return getattr(module, "running_mean", None) is not None and not isinstance(module, nn.SyncBatchNorm)


def wait_for_all() -> None:
    """Wait until all processes have called this."""
    if share().world > 1:
        distributed.barrier()


def summed(values: Tensor) -> Tensor:
    """The sum of the values over all processes; every process has to call this."""
    if share().world > 1:
        values = values.clone()
        distributed.all_reduce(values)
    return values


def agreed(signal_number: int | None, step: int = 0) -> int | None:
    """The signal that any process has received, in all processes at the same step; they exchange it every 16 steps."""
    if share().world == 1:
        return signal_number
    if step % STEPS_BETWEEN_AGREEMENTS:
        return None
    return _reduced(signal_number or 0, distributed.ReduceOp.MAX) or None


def in_all(value: bool) -> bool:
    """Whether `value` is true in all processes."""
    return value if share().world == 1 else bool(_reduced(value, distributed.ReduceOp.MIN))


def _reduced(number: int, operation: distributed.ReduceOp.RedOpType) -> int:
    """The maximum or minimum over all processes."""
    numbers = torch.tensor(int(number), device="cuda" if distributed.get_backend() == "nccl" else "cpu")
    distributed.all_reduce(numbers, operation)
    return int(numbers)


def from_first(value: float | None) -> float | None:
    """The value of the first process, returned in all processes."""
    if share().world == 1:
        return value
    values: list[float | None] = [value]
    distributed.broadcast_object_list(values)
    return values[0]
