from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from zoo.data import batches
from zoo.data.preprocessing import preprocessing
from zoo.data.sources import Split
from zoo.evaluation.evaluate import evaluate, known_answers
from zoo.evaluation.predict import probabilities
from zoo.nets.device import exact

CPU = torch.device("cpu")
PIXELS = batches.pixels((0.5,), (0.25,), CPU)


def settings() -> dict[str, object]:
    cudnn: Any = torch.backends.cudnn
    return {
        "enabled": cudnn.enabled,
        "benchmark": cudnn.benchmark,
        "deterministic": cudnn.deterministic,
        "convolution": cudnn.conv.fp32_precision,
        "matrix product": torch.backends.cuda.matmul.fp32_precision,
        "gradients": torch.is_grad_enabled(),
    }


EXACT = {
    "enabled": True,
    "benchmark": False,
    "deterministic": True,
    "convolution": "ieee",
    "matrix product": "ieee",
    "gradients": False,
}


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `exact` believe that this machine has a GPU."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)


class Witness(nn.Module):
    """A net that records the settings under which it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.seen: list[dict[str, object]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(settings())
        return x.flatten(1)[:, :10] * self.scale


SETTINGS = ['torch.set_float32_matmul_precision("high")', 'torch.backends.fp32_precision = "tf32"']


@pytest.mark.parametrize("setting", SETTINGS)
def test_reduced_precision_set_by_the_caller_is_ignored_and_restored(setting: str) -> None:
    """Runs in a new process: torch refuses to mix its older and newer names for these settings."""
    code = f"""
import torch
from zoo.nets.device import exact
torch.cuda.is_available = lambda: True
{setting}
names = lambda: (torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision)
before = names()
with exact():
    assert names() == ("ieee", "ieee"), names()
assert names() == before, (names(), before)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_threads_compute_exactly_and_restore_the_settings() -> None:
    before = settings()

    def compute(number: int) -> dict[str, object]:
        with exact():
            return settings()

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(compute, range(200))) == [EXACT] * 200
    assert settings() == before


def test_a_caller_who_has_turned_cudnn_off_keeps_it_off() -> None:
    with torch.backends.cudnn.flags(enabled=False), exact():
        assert not torch.backends.cudnn.enabled


@pytest.mark.parametrize("figure", ["an accuracy", "the known answers", "a prediction"])
def test_published_figures_and_predictions_are_computed_exactly(figure: str) -> None:
    net = Witness()
    if figure == "an accuracy":
        images = torch.zeros(3, 8, 8, 1, dtype=torch.uint8)
        evaluate(net, Split(images, torch.zeros(3, dtype=torch.int64)), PIXELS)
    elif figure == "the known answers":
        known_answers(net, PIXELS, (1, 8, 8))
    else:
        probabilities(net, preprocessing((1, 8, 8), (0.5,), (0.25,)), Image.new("L", (8, 8)))
    assert net.seen == [EXACT]
