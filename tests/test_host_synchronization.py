"""A training step never waits for the device and uses no tensor on the CPU.

The learner runs on torch's meta device, which stands for a GPU: reading a value, and any shape that depends on values,
is an error there. A guard refuses tensors on the CPU within a step.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from msgspec.structs import replace
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from zoo import registry
from zoo.data import batches
from zoo.data.sources import Split
from zoo.nets.build import build
from zoo.spec import Recipe
from zoo.training.learner import Learner
from zoo.training.step import Stopwatch

from .jobs import JOB

pytestmark = pytest.mark.slow
META = torch.device("meta")
MODEL = registry.load("resnet8_digits")
IMAGES = 150  # two batches of 64 and one of 22
BASE = Recipe(epochs=2, batch_size=64, lr=0.05, crop_padding=1, weight_decay=5e-4)
RECIPES = {
    "plain": BASE,
    "mixing": BASE.replace(mixup=0.2, cutmix=1.0, cutout=2, smoothing=0.1),
    "distilled": BASE.replace(teacher="resnet8_digits", distill=0.5, distill_warmup_epochs=1),
    "distilled, decoupled": BASE.replace(teacher="resnet8_digits", distill=0.5, distill_type="dkd"),
    "averaged, clipped": BASE.replace(model_ema_decay=0.9, clip_grad=0.5),
    "clipped by value, rates by layer": BASE.replace(clip_grad=0.05, clip_mode="value", layer_decay=0.5),
}


@pytest.fixture(autouse=True)
def _meta_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in fp32 and without fused SGD: torch has neither on the meta device."""
    sgd = torch.optim.SGD
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: contextlib.nullcontext())
    monkeypatch.setattr(torch.optim, "SGD", lambda *args, fused, **kwargs: sgd(*args, foreach=True, **kwargs))


class DeviceGuard(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses operations with a tensor on another device than meta."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves((args, kwargs, out)):
            if isinstance(tensor, Tensor) and tensor.device != META:
                raise RuntimeError(f"{func} has a tensor on {tensor.device}")
        return out


def train(recipe: Recipe, changed: Callable[[Tensor], Tensor] | None = None) -> None:
    """Train an epoch on the meta device; `changed` is applied to the net's logits."""
    net = build(MODEL.architecture, MODEL.dataset)
    teacher = copy.deepcopy(net).to(META).eval().requires_grad_(False) if recipe.teacher else None
    images = torch.zeros((IMAGES, 10, 10, 1), dtype=torch.uint8, device=META)
    split = Split(images, torch.zeros(IMAGES, dtype=torch.int64, device=META), margin=2)
    if changed is not None:
        net.register_forward_hook(lambda module, inputs, logits: changed(logits))
    pixels = batches.Pixels(torch.zeros(1, device=META), torch.ones(1, device=META))
    job = replace(JOB, recipe=recipe, train_images=IMAGES)
    learner = Learner(job, net, split, pixels, teacher=teacher, stopwatch=Stopwatch(META))
    learner.begin(1)
    with DeviceGuard():  # type: ignore[no-untyped-call]
        for number in range(learner.steps):
            learner.step(number)


@pytest.mark.parametrize("name", RECIPES)
def test_a_step_neither_waits_for_the_device_nor_uses_the_cpu(name: str) -> None:
    train(RECIPES[name])


FAULTS: dict[str, Callable[[Tensor], Tensor]] = {
    "reads a number": lambda logits: logits / max(1.0, logits.detach().abs().max().item()),
    "copies to the CPU": lambda logits: logits + logits.detach().cpu().mean(),
    "has a shape that depends on values": lambda logits: logits - logits[logits > 0].mean(),
    "has a tensor on the CPU": lambda logits: logits + torch.zeros(10),
    "has a scalar tensor on the CPU": lambda logits: logits * torch.tensor(2.0),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_net_that_waits_for_the_device_or_uses_the_cpu_is_refused(name: str) -> None:
    with pytest.raises((RuntimeError, NotImplementedError), match=r"meta|has a tensor on cpu"):
        train(BASE, FAULTS[name])
