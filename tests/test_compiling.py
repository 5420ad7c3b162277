from __future__ import annotations

import pytest
import torch

from zoo.errors import TrainingError
from zoo.spec import Recipe
from zoo.training import step
from zoo.training.options import TrainOptions
from zoo.training.step import IMAGES_WORTH_COMPILING, IMAGES_WORTH_COMPILING_ON_A_GPU, Compilation

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
RECIPE = Recipe(epochs=1)


def choose(
    asked: str,
    images: int = 1,
    *,
    device: torch.device = CPU,
    recipe: Recipe = RECIPE,
    processes: int = 1,
    amp: bool = True,
    recomputes: bool = False,
) -> Compilation:
    return step.choose(asked, recipe, device=device, amp=amp, images=images, processes=processes, recomputes=recomputes)


@pytest.mark.parametrize("asked", ["none", "default"])
def test_a_given_way_of_compiling_is_used(asked: str) -> None:
    assert choose(asked, 10**9) == Compilation(asked, "requested")  # type: ignore[arg-type]


def test_a_long_training_on_a_cpu_is_worth_compiling_where_there_is_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "sh")  # any program that is there
    assert choose("auto", IMAGES_WORTH_COMPILING).how == "default"
    assert choose("auto", IMAGES_WORTH_COMPILING - 1).how == "none"
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert choose("auto", IMAGES_WORTH_COMPILING) == Compilation(
        "none", "auto: no C++ compiler was found; install g++ or set CXX"
    )


def test_a_training_in_fp32_on_a_cpu_is_not_worth_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "sh")
    assert choose("auto", 10**9, amp=False) == Compilation("none", "auto: compiling does not pay in fp32 on a CPU")
    assert choose("default", amp=False).how == "default"


def test_a_training_on_a_gpu_is_a_graph_until_it_is_worth_compiling() -> None:
    assert choose("auto", device=CUDA).how == "graph"
    assert choose("auto", IMAGES_WORTH_COMPILING_ON_A_GPU - 1, device=CUDA).how == "graph"
    assert choose("auto", IMAGES_WORTH_COMPILING_ON_A_GPU, device=CUDA).how == "default"


@pytest.mark.parametrize(
    "recipe",
    [RECIPE.replace(opt="adam"), RECIPE.replace(sched="onecycle", sched_on_updates=True, cycle_momentum=True)],
)
def test_a_schedule_that_no_graph_can_hold_is_compiled_on_a_gpu(recipe: Recipe) -> None:
    assert choose("auto", device=CUDA, recipe=recipe).how == "default"
    with pytest.raises(TrainingError, match=r"compile graph is not possible: a CUDA graph .*; use default or none"):
        choose("graph", device=CUDA, recipe=recipe)


def test_several_processes_are_not_compiled_on_gpus() -> None:
    assert choose("auto", 10**9, device=CUDA, processes=2).how == "none"
    with pytest.raises(TrainingError, match="a CUDA graph needs a training in one process"):
        choose("graph", device=CUDA, processes=2)


def test_recomputed_activations_are_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "sh")
    assert choose("auto", 10**9, device=CUDA, recomputes=True).how == "graph"
    assert choose("auto", 10**9, recomputes=True).how == "none"
    assert choose("auto", 10**9, device=CUDA, recipe=RECIPE.replace(opt="adam"), recomputes=True).how == "none"
    with pytest.raises(TrainingError, match="compile default is not possible with grad_checkpointing"):
        choose("default", recomputes=True)


def test_there_is_no_graph_on_a_cpu() -> None:
    with pytest.raises(TrainingError, match="a CUDA graph needs a GPU"):
        choose("graph")


def test_another_word_is_refused() -> None:
    with pytest.raises(TrainingError, match="should be one of auto, none, graph, default, not 'fast'"):
        TrainOptions(compile="fast")
