"""Loading in a thread pool does not change the state of the process."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

import zoo

MODEL = "resnet8_digits"


def umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def equal(net: nn.Module, other: nn.Module) -> bool:
    own, expected = net.state_dict(), other.state_dict()
    return all(torch.equal(expected[name], tensor) for name, tensor in own.items())


def test_loading_in_threads_leaves_stdout_the_generator_and_the_umask_unchanged() -> None:
    before = sys.stdout, torch.get_rng_state(), umask()
    with ThreadPoolExecutor(8) as pool:
        nets = list(pool.map(lambda _: zoo.load(MODEL, pretrained=True), range(40)))
    assert sys.stdout is before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert umask() == before[2]
    assert all(equal(nets[0], net) for net in nets)


def test_a_pretrained_net_is_on_the_cpu_whatever_the_default_device() -> None:
    torch.set_default_device("meta")
    try:
        net = zoo.load(MODEL, pretrained=True)
    finally:
        torch.set_default_device(None)
    assert equal(net, zoo.load(MODEL, pretrained=True))


@pytest.mark.parametrize("name", ["resnet20_cifar10", "resnet8_digits"])
def test_an_untrained_net_is_initialised_from_torchs_generator(name: str) -> None:
    torch.manual_seed(7)
    first = zoo.load(name)
    torch.manual_seed(7)
    assert equal(first, zoo.load(name))
    assert not equal(first, zoo.load(name))
