from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch

from zoo import api
from zoo.errors import DeviceError, TrainingError
from zoo.nets import device
from zoo.training.environment import algorithms


def test_without_a_name_it_is_the_best_there_is() -> None:
    assert device.choose(None).type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["tpu", "meta", "", "mps"])
def test_a_device_that_torch_does_not_have_is_refused_with_those_that_it_has(name: str) -> None:
    if name == "mps" and torch.backends.mps.is_available():
        pytest.skip("it is there")
    with pytest.raises(DeviceError, match=f"there is no device '{name}' .*; there is cpu"):
        api.load("resnet8_digits", device=name)


def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(DeviceError, match=r"no device 'cuda:77'|cuda:77 is not there"):
        api.load("resnet8_digits", device="cuda:77")


@pytest.mark.parametrize("name", ["mps", "xpu"])
def test_any_device_of_torchs_is_taken_and_training_is_refused_on_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.get_device_module(name), "device_count", lambda: 1)
    assert device.choose(name) == torch.device(name)
    assert device.describe(torch.device(name)) == name
    with pytest.raises(TrainingError, match=f"a training runs on cpu or cuda, not on {name}"):
        api.train("resnet8_digits", device=name)


def test_a_device_has_a_name_for_the_card() -> None:
    assert device.describe(torch.device("cpu")).startswith("CPU, ")
    assert isinstance(device.has_bf16(torch.device("cpu")), bool)


@pytest.mark.gpu
def test_a_gpu_has_its_makers_name() -> None:
    assert device.describe(torch.device("cuda")) == torch.cuda.get_device_name()


@pytest.mark.parametrize("deterministic", [True, False])
def test_the_callers_choice_of_algorithms_is_put_back(deterministic: bool) -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with algorithms(torch.device("cpu"), deterministic=deterministic):
            pass
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert not torch.backends.cudnn.deterministic


PAGES_TAKEN = """
import resource, torch
from zoo.training.environment import keep_memory

def pages_taken(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(10 * 2**20)  # 40 MiB, 10,240 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(pages_taken(3))
keep_memory()
pages_taken(30)  # until the blocks that were freed are together
print(pages_taken(3))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_memory_that_is_kept_is_not_taken_from_the_system_again() -> None:
    done = subprocess.run([sys.executable, "-c", PAGES_TAKEN], capture_output=True, text=True, check=True)
    before, kept = map(int, done.stdout.split())
    assert before > 30_000
    assert kept < 100
