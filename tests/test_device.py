from __future__ import annotations

import pytest
import torch

from zoo import api
from zoo.errors import DeviceError, TrainingError
from zoo.nets import device


@pytest.mark.parametrize("name", ["tpu", "meta", "", "mps"])
def test_an_unavailable_device_is_refused_with_the_available_ones(name: str) -> None:
    if name == "mps" and torch.backends.mps.is_available():
        pytest.skip("MPS is available")
    with pytest.raises(DeviceError, match=f"there is no device '{name}' .*; there is cpu"):
        api.load("resnet8_digits", device=name)


def test_a_missing_gpu_is_refused() -> None:
    with pytest.raises(DeviceError, match=r"no device 'cuda:77'|cuda:77 is not there"):
        api.load("resnet8_digits", device="cuda:77")


@pytest.mark.parametrize("name", ["mps", "xpu"])
def test_mps_and_xpu_are_accepted_except_for_training(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.get_device_module(name), "device_count", lambda: 1)
    assert device.choose(name) == torch.device(name)
    assert device.describe(torch.device(name)) == name
    with pytest.raises(TrainingError, match=f"a training runs on cpu or cuda, not on {name}"):
        api.train("resnet8_digits", device=name)


@pytest.mark.gpu
def test_a_gpu_is_described_by_its_product_name() -> None:
    assert device.describe(torch.device("cuda")) == torch.cuda.get_device_name()
