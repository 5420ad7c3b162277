"""The choices made for `device="mps"`, Apple's GPUs, and what that device lacks.

There is no such GPU here: torch is told that there is one, and nets run on the meta device or on the CPU.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from zoo import api, registry
from zoo.data import batches
from zoo.data.sources import Split
from zoo.errors import TrainingError
from zoo.nets import device
from zoo.nets.build import build
from zoo.record.job import Job
from zoo.training import distributed, jobs
from zoo.training.environment import settings
from zoo.training.learner import Learner
from zoo.training.options import TrainOptions

MPS, META = torch.device("mps"), torch.device("meta")
MODEL = registry.load("resnet8_digits")


@pytest.fixture(autouse=True)
def _mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.mps, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda major, minor: (major, minor) <= (14, 0))


def job(**options: Any) -> Job:
    return jobs.new(MODEL, TrainOptions(device="mps", **options), distributed.own_device("mps"))[0]


class NoFloat64(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses operations that MPS has not: it has no float64."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if any(isinstance(tensor, Tensor) and tensor.dtype == torch.float64 for tensor in tree_leaves(out)):
            raise TypeError(f"{func} returns float64")
        return out


def test_a_training_runs_in_bf16_from_macos_14_on() -> None:
    assert (job().device, job().amp) == ("mps", True)


def test_a_training_runs_in_fp32_before_macos_14(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda major, minor: False)
    assert not job().amp


@pytest.mark.parametrize("amp", [True, False])
def test_the_precision_can_be_chosen(amp: bool) -> None:
    assert job(amp=amp).amp is amp


def test_a_step_is_not_compiled_unless_requested() -> None:
    assert job().compile == "none"
    assert job(compile="default").compile == "default"
    with pytest.raises(TrainingError, match="a CUDA graph needs a GPU"):
        job(compile="graph")


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match="several processes train on cpu or cuda, not on mps"):
        job()


def test_a_step_uses_bf16_autocast_of_the_device_and_no_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    # The meta device stands for one that is neither a CPU nor CUDA; it has neither autocast nor a fused optimizer.
    autocast: list[tuple[Any, ...]] = []

    def record(*args: Any, enabled: bool, **options: Any) -> contextlib.AbstractContextManager[None]:
        autocast.append((*args, enabled))
        return contextlib.nullcontext()

    sgd = torch.optim.SGD
    monkeypatch.setattr(torch, "autocast", record)
    monkeypatch.setattr(torch.optim, "SGD", lambda *args, fused, **options: sgd(*args, foreach=True, **options))
    described = job(limit_train=100)
    images = torch.zeros((100, 10, 10, 1), dtype=torch.uint8, device=META)
    split = Split(images, torch.zeros(100, dtype=torch.int64, device=META), margin=2)
    net = build(MODEL.architecture, MODEL.dataset)
    with NoFloat64():  # type: ignore[no-untyped-call]
        pixels = batches.pixels((0.5,), (0.5,), META)
        learner = Learner(described, net, split, pixels, teacher=None)
        learner.begin(1)
        for number in range(learner.steps):
            learner.step(number)
    assert set(autocast) == {("meta", torch.bfloat16, True)}


def test_evaluation_and_prediction_make_no_float64(tmp_path: Path) -> None:
    with NoFloat64():  # type: ignore[no-untyped-call]
        assert api.evaluate("resnet8_digits", device="cpu").results.test_images == 360
        (prediction,) = api.predict("resnet8_digits", Path(__file__).with_name("photo.png"), device="cpu")
    assert prediction.error is None


def test_random_numbers_of_the_device_are_restored_after_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    state = torch.tensor([7], dtype=torch.uint8)
    restored: list[Tensor] = []
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: state)
    monkeypatch.setattr(torch.mps, "set_rng_state", restored.append)
    with settings(MPS, deterministic=False, threads=torch.get_num_threads()):
        assert restored == []
    assert restored == [state]


def test_queued_work_is_waited_for_before_a_time_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[None] = []
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waited.append(None))
    device.synchronize(MPS)
    assert waited == [None]


def test_too_little_memory_is_an_error_of_one_line() -> None:
    with (
        pytest.raises(TrainingError, match="mps has too little memory for a step"),
        device.enough_memory(MPS, "a step"),
    ):
        raise RuntimeError("MPS backend out of memory (MPS allocated: 1.00 GB). Tried to allocate 2.00 GB.")
