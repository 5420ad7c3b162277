"""What the caller has set in torch does not change what the zoo computes, and is left as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

import zoo
from zoo import api


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


SETTINGS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "device": lambda: torch.device("meta"),
    "no gradients": lambda: torch.set_grad_enabled(False),
    "inference": torch.inference_mode,
}


def settings() -> tuple[object, ...]:
    enabled = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    return torch.get_default_dtype(), torch.get_default_device(), enabled


@pytest.fixture(params=SETTINGS)
def ambient(request: pytest.FixtureRequest) -> Callable[[], AbstractContextManager[object]]:
    return SETTINGS[request.param]


Ambient = Callable[[], AbstractContextManager[object]]


def weights(net: torch.nn.Module) -> dict[str, Tensor]:
    assert all(parameter.requires_grad and not parameter.is_inference() for parameter in net.parameters())
    return net.state_dict()


@pytest.mark.parametrize("pretrained", [True, False])
@pytest.mark.parametrize("classes", [None, 3])
def test_a_model_is_loaded_in_float32_on_the_processor(ambient: Ambient, pretrained: bool, classes: int | None) -> None:
    def loaded() -> dict[str, Tensor]:
        torch.manual_seed(0)
        return weights(zoo.load("resnet8_digits", pretrained=pretrained, num_classes=classes))

    expected = loaded()
    with ambient():
        before = settings()
        actual = loaded()
        assert settings() == before
    for name, tensor in expected.items():
        assert actual[name].dtype == tensor.dtype, name
        assert torch.equal(actual[name], tensor), name


def test_a_training_ends_with_the_same_bytes(ambient: Ambient, tmp_path: Path) -> None:
    def trained(out: str) -> str:
        done = api.train("resnet8", epochs=1, limit_train=64, amp=False, out=tmp_path / out)
        return done.config.weights.sha256

    expected = trained("expected")
    with ambient():
        before = settings()
        assert trained("actual") == expected
        assert settings() == before


def test_an_evaluation_and_a_prediction_are_the_same(ambient: Ambient, tmp_path: Path) -> None:
    Image.new("L", (8, 8), 100).save(tmp_path / "picture.png")

    def results() -> tuple[object, ...]:
        (prediction,) = api.predict("resnet8_digits", [tmp_path / "picture.png"])
        return api.evaluate("resnet8_digits").results, prediction.guesses

    expected = results()
    with ambient():
        assert results() == expected


def test_threads_that_load_at_once_leave_the_default_type_as_it_was() -> None:
    with default_dtype(torch.float64), ThreadPoolExecutor(4) as threads:
        nets = list(threads.map(lambda _: zoo.load("resnet8_digits", pretrained=True), range(12)))
        assert torch.get_default_dtype() == torch.float64
    assert {parameter.dtype for net in nets for parameter in net.parameters()} == {torch.float32}
