"""Settings of torch that the caller has changed: results do not depend on them, and they are restored."""

from __future__ import annotations

import contextlib
import itertools
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


def results(folder: Path) -> tuple[dict[str, Tensor], object]:
    """Load, train, evaluate and predict: the tensors, and everything else."""
    tensors: dict[str, Tensor] = {}
    for pretrained, classes in itertools.product((True, False), (None, 3)):
        torch.manual_seed(0)
        net = zoo.load("resnet8_digits", pretrained=pretrained, num_classes=classes)
        assert all(parameter.requires_grad and not parameter.is_inference() for parameter in net.parameters())
        tensors |= {f"{pretrained} {classes} {name}": tensor for name, tensor in net.state_dict().items()}
    trained = api.train("resnet8", epochs=1, limit_train=64, amp=False, out=folder / "model")
    Image.new("L", (8, 8), 100).save(folder / "picture.png")
    (prediction,) = api.predict("resnet8_digits", [folder / "picture.png"])
    evaluated = api.evaluate("resnet8_digits").results
    return tensors, (trained.config.weights.sha256, evaluated, prediction.guesses)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], object]:
    return results(tmp_path_factory.mktemp("expected"))


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_torch_change_no_result_and_are_restored(
    name: str, expected: tuple[dict[str, Tensor], object], tmp_path: Path
) -> None:
    with SETTINGS[name]():
        before = settings()
        tensors, others = results(tmp_path)
        assert settings() == before
    assert others == expected[1]
    assert all(torch.equal(tensors[key], tensor) for key, tensor in expected[0].items())
    assert all(tensors[key].dtype == tensor.dtype for key, tensor in expected[0].items())


def test_loading_in_threads_leaves_the_default_dtype_unchanged() -> None:
    with default_dtype(torch.float64), ThreadPoolExecutor(4) as threads:
        nets = list(threads.map(lambda _: zoo.load("resnet8_digits", pretrained=True), range(12)))
        assert torch.get_default_dtype() == torch.float64
    assert {parameter.dtype for net in nets for parameter in net.parameters()} == {torch.float32}
