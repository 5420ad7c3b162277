from __future__ import annotations

from typing import Any

import pytest
import torch

from zoo.errors import TrainingError
from zoo.record.job import How
from zoo.spec import Recipe
from zoo.training import step
from zoo.training.options import TrainOptions
from zoo.training.step import IMAGES_WORTH_COMPILING, IMAGES_WORTH_COMPILING_ON_A_GPU

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
RECIPE = Recipe(epochs=1)


ADAM = RECIPE.replace(opt="adam")
CYCLE = RECIPE.replace(sched="onecycle", sched_on_updates=True, cycle_momentum=True)
MANY = 10**9


def choose(
    compile: str,
    images: int = 1,
    *,
    device: torch.device = CPU,
    recipe: Recipe = RECIPE,
    processes: int = 1,
    amp: bool = True,
    recomputes: bool = False,
) -> tuple[How, str]:
    return step.choose(
        compile, recipe, device=device, amp=amp, images=images, processes=processes, recomputes=recomputes
    )


@pytest.mark.parametrize(
    ("images", "options", "expected"),
    [
        (IMAGES_WORTH_COMPILING, {}, "default"),
        (IMAGES_WORTH_COMPILING - 1, {}, "none"),
        (MANY, {"recomputes": True}, "none"),
        (MANY, {"processes": 2}, "none"),
        (1, {"device": CUDA}, "graph"),
        (IMAGES_WORTH_COMPILING_ON_A_GPU - 1, {"device": CUDA}, "graph"),
        (IMAGES_WORTH_COMPILING_ON_A_GPU, {"device": CUDA}, "default"),
        (1, {"device": CUDA, "recipe": ADAM}, "default"),
        (1, {"device": CUDA, "recipe": CYCLE}, "default"),
        (MANY, {"device": CUDA, "processes": 2}, "none"),
        (MANY, {"device": CUDA, "recomputes": True}, "graph"),
        (MANY, {"device": CUDA, "recipe": ADAM, "recomputes": True}, "none"),
    ],
)
def test_auto_depends_on_device_length_and_recipe(
    monkeypatch: pytest.MonkeyPatch, images: int, options: dict[str, Any], expected: str
) -> None:
    monkeypatch.setenv("CXX", "sh")  # any program stands for the compiler
    assert choose("auto", images, **options)[0] == expected


def test_auto_does_not_compile_on_a_cpu_in_fp32_or_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "sh")
    assert choose("auto", MANY, amp=False) == ("none", "auto: compiling does not pay in fp32 on a CPU")
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert choose("auto", MANY) == ("none", "auto: no C++ compiler was found; install g++ or set CXX")


@pytest.mark.parametrize("compile", ["none", "default"])
def test_an_explicit_choice_is_used(compile: str) -> None:
    for amp in (True, False):
        assert choose(compile, MANY, amp=amp) == (compile, "requested")


@pytest.mark.parametrize(
    ("compile", "options", "message"),
    [
        ("graph", {}, "a CUDA graph needs a GPU"),
        ("graph", {"device": CUDA, "recipe": ADAM}, "graph is not possible: a CUDA graph .*; use default or none"),
        ("graph", {"device": CUDA, "recipe": CYCLE}, "graph is not possible: a CUDA graph .*; use default or none"),
        ("graph", {"device": CUDA, "processes": 2}, "compile graph needs a training in one process; use none"),
        ("default", {"processes": 2}, "compile default needs a training in one process; use none"),
        ("default", {"recomputes": True}, "compile default is not possible with grad_checkpointing"),
    ],
)
def test_an_impossible_choice_is_refused(compile: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        choose(compile, **options)


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(TrainingError, match="should be one of auto, none, graph, default, not 'fast'"):
        TrainOptions(compile="fast")
