from __future__ import annotations

import pytest
import torch

from zoo import api
from zoo.errors import DeviceError, TrainingError
from zoo.nets import device


@pytest.mark.parametrize("name", ["tpu", "meta", "", "mps"])
def test_a_device_that_torch_does_not_have_is_refused_with_those_that_it_has(name: str) -> None:
    if name == "mps" and torch.backends.mps.is_available():
        pytest.skip("it is there")
    with pytest.raises(DeviceError, match=f"has no device '{name}' on this machine; it has cpu"):
        api.load("resnet8_digits", device=name)


def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(DeviceError, match=r"no device 'cuda:77'|cuda:77 is not there"):
        api.load("resnet8_digits", device="cuda:77")


@pytest.mark.parametrize("name", ["mps", "xpu"])
def test_any_device_of_torch_is_accepted_for_inference(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.get_device_module(name), "device_count", lambda: 1)
    assert device.choose(name) == torch.device(name)
    assert device.describe(torch.device(name)) == name


def test_training_is_refused_on_a_device_without_support(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.xpu, "device_count", lambda: 1)
    with pytest.raises(TrainingError, match="a training runs on cpu, cuda, mps, not on xpu"):
        api.train("resnet8_digits", device="xpu")


@pytest.mark.gpu
def test_a_gpu_has_its_makers_name() -> None:
    assert device.describe(torch.device("cuda")) == torch.cuda.get_device_name()
