from __future__ import annotations

import inspect
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace

from zoo import api, registry
from zoo.cli.app import load
from zoo.errors import TrainingError
from zoo.record import store
from zoo.record.card import command
from zoo.record.job import Job
from zoo.training.jobs import again, new
from zoo.training.options import TrainOptions

from .folders import trained_record
from .jobs import JOB

MODEL = registry.load("resnet8_digits")
CPU = torch.device("cpu")


def asked_for_by(line: str) -> Job:
    """The job that `zoo train` would run, as its own parser reads the command."""
    word, *words = shlex.split(line)[1:]
    assert word == "train"
    train = load(word)
    parsed: dict[str, Any] = train.make_context(word, words).params
    settings = dict(setting.split("=", 1) for setting in parsed["settings"] or [])
    options = TrainOptions(
        settings=settings,
        **{
            name: parsed[name]
            for name in (
                "recipe", "epochs", "limit_train", "amp", "compile", "deterministic", "grad_checkpointing", "dtype",
                "threads", "seed",
            )
        },
    )  # fmt: skip
    assert parsed["device"] == "cpu"
    return new(registry.load(parsed["name"]), options, CPU)[0]


@pytest.mark.parametrize(
    "options",
    [
        TrainOptions(seed=5),
        TrainOptions(recipe="quick", epochs=3, settings={"lr": "0.05", "decay_milestones": "1,2", "clip_grad": "0.5"}),
        TrainOptions(amp=True, compile="default", deterministic=False, dtype="fp16", threads=3, limit_train=7),
        TrainOptions(grad_checkpointing=True, settings={"mean": "0.5", "val_images": "100"}),
    ],
)
def test_the_command_on_a_card_trains_the_same_job(options: TrainOptions) -> None:
    job, _ = new(MODEL, options, CPU)
    assert asked_for_by(command(job, MODEL)) == job


def test_every_option_of_a_training_is_a_keyword_and_a_flag() -> None:
    keywords = inspect.signature(api.train).parameters
    assert list(keywords) == ["model", *(field.name for field in fields(TrainOptions))]
    assert {name: keywords[name].default for name in ("seeds", "compile", "push")} == {
        "seeds": 1,
        "compile": "auto",
        "push": False,
    }
    flags = {option.name for option in load("train").params} - {"name", "config", "quiet", "debug"}
    assert flags == set(keywords) - {"model", "report", "tell"}


def test_the_command_on_the_card_of_a_trained_model_trains_its_job(trained: Path) -> None:
    line = next(line for line in (trained / store.README).read_text().splitlines() if line.startswith("zoo train"))
    assert asked_for_by(line) == trained_record(trained).job


def test_the_command_uses_torchrun_for_several_processes_and_spells_out_an_unknown_recipe() -> None:
    job = replace(JOB, processes=2, recipe=JOB.recipe.replace(lr=0.3))
    line = command(job, MODEL)
    assert line.startswith("torchrun --nproc-per-node 2 -m zoo train resnet8_digits --recipe quick --epochs 3 ")
    assert "--set lr=0.3" in line


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"dtype": "fp16"}, "dtype 'fp32', not 'fp16'"),
        ({"amp": True}, "amp False, not True"),
        ({"grad_checkpointing": True}, "grad_checkpointing False, not True"),
        ({"seed": 4}, "seed 0, not 4"),
        ({"settings": {"momentum": "0.8"}}, "recipe momentum 0.9, not 0.8"),
    ],
)
def test_resuming_a_finished_training_with_other_options_is_refused(
    model_folder: Path, options: dict[str, Any], difference: str
) -> None:
    job = trained_record(model_folder).job
    common = {"epochs": job.recipe.epochs, "limit_train": job.train_images, "amp": job.amp, "threads": job.threads}
    with pytest.raises(TrainingError, match=f"is a finished model of another training: it has .*{difference}"):
        api.train("resnet8", out=model_folder, resume=True, **(common | options))


def test_settings_may_be_numbers_and_paths_may_be_text(tmp_path: Path) -> None:
    out = str(tmp_path / "model")
    settings = {"lr": 0.05, "batch_size": 32, "nesterov": False, "mean": (0.5,), "clip_grad": None}
    done = api.train("resnet8", settings=settings, epochs=1, limit_train=64, out=out, data=str(tmp_path), amp=False)
    recipe = done.config.job.recipe
    assert (recipe.lr, recipe.batch_size, recipe.nesterov, recipe.mean) == (0.05, 32, False, (0.5,))
    assert done.folder == tmp_path / "model"


def test_a_published_job_is_repeated_unchanged() -> None:
    job, _ = new(MODEL, TrainOptions(recipe="quick", threads=3, compile="default", seed=5), CPU)
    assert again(job, MODEL, CPU)[0] == job
    assert again(job, MODEL, CPU, epochs=7)[0] == replace(job, recipe=job.recipe.replace(epochs=7))
    from_a_gpu = replace(job, device="cuda", compile="graph")
    assert again(from_a_gpu, MODEL, CPU)[0] == replace(job, compile="none")


def test_a_last_batch_with_fewer_images_than_gpus_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    gpus = torch.device("cuda")
    with pytest.raises(TrainingError, match="the last batch of an epoch has 3 images, fewer than the 4 processes"):
        new(MODEL, TrainOptions(settings={"batch_size": 64}, limit_train=67, amp=True), gpus)
    assert new(MODEL, TrainOptions(settings={"batch_size": 64}, limit_train=68, amp=True), gpus)[0].processes == 4
