"""The queue that trains the catalogue, with small entries."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from examples import train_catalogue
from examples.train_catalogue import Candidate, Entry, Options
from zoo import api, registry
from zoo.record import store
from zoo.record.types import EpochRow, log_text, require_trained
from zoo.training.output import locked

from .conftest import Run
from .folders import trained_record

# A queue may train a head on random features; tests/test_freezing.py tests the warning.
pytestmark = pytest.mark.filterwarnings("ignore::zoo.errors.StartWarning")
CATALOGUE = train_catalogue.QUEUE  # which the tests replace
QUICK, LINEAR = Entry("resnet8_digits", "quick"), Entry("resnet8_digits", "linear", settings={"batch_size": "32"})


def queue_of(tmp_path: Path, *entries: Entry) -> Options:
    return Options(entries or (QUICK, LINEAR), 2, 64, tmp_path / "runs", f"file:{tmp_path / 'hub'}")


@pytest.fixture(autouse=True)
def small_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_catalogue, "QUEUE", (QUICK, LINEAR))


def call(monkeypatch: pytest.MonkeyPatch, words: Sequence[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["train_catalogue.py", *words])
    train_catalogue.main()


def test_the_status_shows_finished_running_and_waiting_trainings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queue = queue_of(tmp_path)
    train_catalogue.status(queue)
    assert [line.split()[1:] for line in capsys.readouterr().out.splitlines()] == [
        ["quick", "next"],
        ["linear", "waiting"],
    ]
    assert train_catalogue.train(queue_of(tmp_path, QUICK)) == 0
    top1 = require_trained(store.read_record(queue.output(QUICK).folder)).results.test_top1
    run = queue.output(LINEAR).run
    run.mkdir()
    row = EpochRow(epoch=1, lr=0.1, train_loss=1.0, train_top1=50.0, train_seconds=30.0)
    (run / store.LOG).write_text(log_text([row]))
    capsys.readouterr()
    train_catalogue.status(queue)
    assert capsys.readouterr().out.splitlines() == [
        f"resnet8_digits           quick      done, top-1 {top1:.2f}%",
        "resnet8_digits           linear     next, after epoch 1 of 2, 2 images/s, left 0:00:30",
    ]
    with locked([queue.output(LINEAR)]):
        train_catalogue.status(queue)
    assert f" running by pid {os.getpid()} on " in capsys.readouterr().out.splitlines()[1]


def test_a_training_in_another_process_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    queue = queue_of(tmp_path)
    with locked([queue.output(QUICK)]):
        assert train_catalogue.train(queue) == 0
    out, errors = capsys.readouterr()
    assert f"resnet8_digits: recipe quick is being trained by pid {os.getpid()} on " in out
    assert errors == ""
    assert [queue.is_done(entry) for entry in (QUICK, LINEAR)] == [False, True]


def test_the_plan_has_a_command_for_each_unfinished_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], run_here: Run
) -> None:
    queue = queue_of(tmp_path)
    assert train_catalogue.train(queue_of(tmp_path, QUICK)) == 0
    capsys.readouterr()
    train_catalogue.plan(queue)
    (line,) = capsys.readouterr().out.splitlines()
    program, *words = shlex.split(line)
    assert program == "zoo"
    assert run_here(*words).returncode == 0
    job = require_trained(store.read_record(queue.output(LINEAR).folder)).job
    assert (job.recipe_name, job.recipe.batch_size, job.recipe.epochs, job.train_images) == ("linear", 32, 2, 64)
    train_catalogue.plan(queue)
    assert capsys.readouterr().out == ""


def test_a_candidate_is_measured_on_held_out_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(train_catalogue, "HELD_OUT", 100)
    as_it_is, higher = Candidate("as it is", "quick"), Candidate("at 0.2", "quick", {"lr": "0.2"})
    monkeypatch.setattr(train_catalogue, "CANDIDATES", (as_it_is, higher))
    words = ["--epochs", "1", "--limit-train", "64", "--out", str(tmp_path), "--only", "at 0.2"]
    with pytest.raises(SystemExit) as done:
        call(monkeypatch, ["tune", "resnet8_digits", *words])
    assert done.value.code == 0
    folder = tmp_path / "tune" / "resnet8_digits-at-0.2"
    recipe, last = trained_record(folder).job.recipe, store.read_log(folder)[-1]
    assert (recipe.lr, recipe.val_images) == (0.2, 100)
    assert f"at 0.2: held-out top-1 {last.val_top1:.2f}%, loss {last.val_loss:.4f}" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "tune").iterdir() if path.is_dir()] == [folder.name]
    with pytest.raises(SystemExit) as refused:
        call(monkeypatch, ["tune", "--only", "at 0.3"])
    assert refused.value.code == "at 0.3 is not a candidate; the candidates are as it is, at 0.2"


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: f"{entry.model}-{entry.recipe}")
def test_every_entry_of_the_catalogue_is_a_valid_recipe_that_can_be_timed(entry: Entry) -> None:
    assert entry.train.changed(train_catalogue.WITHOUT_WARM_UP).epochs == 2


@pytest.mark.parametrize("candidate", train_catalogue.CANDIDATES, ids=lambda candidate: candidate.name)
def test_every_candidate_is_a_valid_recipe(candidate: Candidate) -> None:
    assert registry.load("resnet20_cifar10").recipes[candidate.recipe].changed(candidate.settings)


def test_an_entry_that_is_not_to_be_published_leaves_the_hub_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    proof = replace(LINEAR, publish=False)
    monkeypatch.setattr(train_catalogue, "QUEUE", (QUICK, proof))
    queue = queue_of(tmp_path, QUICK, proof)
    train_catalogue.plan(queue)
    assert ["--push" in line for line in capsys.readouterr().out.splitlines()] == [True, False]
    assert train_catalogue.train(queue) == 0
    assert [queue.is_done(entry) for entry in (QUICK, proof)] == [True, True]
    assert require_trained(store.read_record(api.find("resnet8_digits", hub=queue.hub))).job.recipe_name == "quick"


def test_the_time_of_an_epoch_gives_the_epochs_that_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(train_catalogue, "TIMED_STEPS", 2)
    with pytest.raises(SystemExit) as done:
        call(monkeypatch, ["time", "resnet8_digits", "--hours", "0.5", "--out", str(tmp_path)])
    assert done.value.code == 0
    quick, linear = capsys.readouterr().out.splitlines()
    assert linear.split()[:2] == ["resnet8_digits", "linear"]
    measured = re.fullmatch(r"resnet8_digits +quick +(\S+) s/epoch, (\d+) epochs in 0.5 h", quick)
    assert measured is not None
    seconds, fit = float(measured[1]), int(measured[2])
    assert (seconds - 0.051) * fit <= 1800 <= (seconds + 0.051) * (fit + 1)  # the printed seconds are rounded


@pytest.mark.parametrize("queue", ["train", "status", "plan", "time"])
def test_a_model_outside_the_queue_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, queue: str) -> None:
    with pytest.raises(SystemExit) as refused:
        call(monkeypatch, [queue, "resnet8_digits", "resnet2o_cifar10"])
    assert refused.value.code == "resnet2o_cifar10 is not in the queue; it has resnet8_digits"
