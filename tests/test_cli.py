from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from zoo.cli import app
from zoo.cli.app import load
from zoo.plugins import core_version
from zoo.record import store

from .conftest import CHECKOUT, Run
from .folders import hashed


@pytest.mark.parametrize("command", app.COMMANDS)
def test_every_command_has_a_help_text(run_here: Run, command: str) -> None:
    paragraph = (load(command).help or "").partition("\n\n")[0]
    assert app.COMMANDS[command][1] == " ".join(paragraph.split())
    finished = run_here(command, "--help")
    assert finished.returncode == 0
    assert f"zoo {command}" in finished.stdout


def test_version_is_that_of_the_distribution(run_here: Run) -> None:
    finished = run_here("--version")
    assert finished.returncode == 0
    assert finished.stdout == f"zoo {core_version()}\n"


def test_the_help_lists_every_command(run_here: Run) -> None:
    help_text = run_here("--help").stdout
    assert all(f"\n  {command} " in help_text for command in app.COMMANDS)


def test_list_shows_every_model_with_its_numbers(run_here: Run) -> None:
    lines = run_here("list").stdout.splitlines()
    assert lines[0].split("\t") == ["model", "dataset", "parameters", "top-1", "license", "weights"]
    row = next(line.split() for line in lines if "resnet8_digits" in line)
    assert row[1:3] == ["digits", "75,002"]
    assert row[3].endswith("%")
    assert row[4:] == ["apache-2.0", "catalogue"]
    assert next(line.split() for line in lines if "plain56_cifar100" in line)[3:] == ["–", "apache-2.0", "–"]


def test_a_model_is_trained_pushed_listed_evaluated_and_pulled(run_here: Run, tmp_path: Path) -> None:
    hub = f"file:{tmp_path / 'hub'}"
    finished = run_here(
        "train", "resnet8", "--epochs", "2", "--limit-train", "300", "--out", "out", "--push", ZOO_HUB=hub
    )
    assert finished.returncode == 0, finished.stderr
    lines = finished.stdout.splitlines()
    assert lines.pop(0).startswith("training resnet8_digits, recipe quick: 2 epochs × 5 steps per epoch, batch 64, ")
    assert lines.pop(0).startswith("compile none (auto: ")
    assert [line.split()[1] for line in lines[:2]] == ["1/2", "2/2"]
    assert "left 0:00:0" in lines[0]
    assert lines[2].startswith("resnet8_digits: top-1 ")
    assert lines[3].startswith(f"published as {hub}/resnet8_digits at revision ")

    assert f"{hub}/resnet8_digits" in run_here("list", "--hub", hub).stdout
    measured = json.loads(run_here("eval", "resnet8", "--hub", hub, "--json").stdout)
    assert measured["now"] == measured["card"]
    assert run_here("pull", "resnet8", "--hub", hub, "--out", "pulled").stdout == (
        "downloaded to pulled\nuse it: zoo eval ./pulled, or zoo.load('./pulled', pretrained=True)\n"
    )
    again = run_here("push", "pulled", "--hub", hub).stdout
    assert again == lines[3] + "\n"
    work = tmp_path / "work"
    assert store.identity(work / "pulled") == store.identity(work / "out")


def test_info_shows_the_changed_fields_of_a_recipe_or_all_fields(run_here: Run) -> None:
    lines = run_here("info", "resnet20", "--no-layers").stdout.splitlines()
    line = next(line for line in lines if "recipe paper" in line)
    fields = line.partition(": ")[2]
    assert fields == (
        "epochs=200, batch_size=128, opt=sgd, lr=0.1, weight_decay=0.0001, sched=multistep, "
        "decay_milestones=[100, 150], crop_padding=4, hflip=0.5"
    )
    everything = run_here("info", "resnet20", "--no-layers", "--all").stdout
    assert "temperature=4.0" in everything
    assert "teacher=None" in everything


def test_info_shows_shapes_parameters_and_multiply_adds_of_layers(run_here: Run) -> None:
    lines = [line.split("\t") for line in run_here("info", "resnet20", "--depth", "1").stdout.splitlines()]
    assert ["layer", "type", "output", "parameters", "multiply-adds"] in lines
    assert ["resnet20", "CifarResNet", "10", "269,722", "40,551,040"] in lines
    assert ["layer3", "Sequential", "64×8×8", "203,520", "12,976,128"] in lines
    assert "multiply-adds" not in run_here("info", "resnet20", "--no-layers").stdout


def test_several_seeds_print_their_mean_and_deviation(run_here: Run) -> None:
    finished = run_here("train", "resnet8", "--epochs", "1", "--limit-train", "200", "--seeds", "2", "--quiet")
    last = finished.stdout.splitlines()[-1]
    assert re.search(r"top-1 [\d.]+ ± [\d.]+% from 2 seeds \(seed 0 [\d.]+%, seed 1 [\d.]+%\)", last)


def test_eval_report_prints_a_row_per_class(run_here: Run, tmp_path: Path) -> None:
    lines = run_here("eval", "resnet8", "--report").stdout.splitlines()
    assert lines[2].split("\t") == ["class", "images", "top-1", "mistaken for", "times"]
    assert [line.split("\t")[0] for line in lines[3:13]] == [str(digit) for digit in range(10)]
    assert lines[13] == "the confusion matrix is in resnet8_digits-report"
    assert sorted(path.name for path in (tmp_path / "work" / "resnet8_digits-report").iterdir()) == [
        "confusion.svg",
        "report.json",
    ]


def test_predict_continues_after_an_unreadable_image_and_exits_1(run_here: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    photo = CHECKOUT / "tests" / "photo.png"
    finished = run_here("predict", "resnet20", tmp_path / "bad.png", photo)
    assert finished.returncode == 1
    assert finished.stderr.startswith(f"zoo: {tmp_path}/bad.png can't be read as an image")
    assert finished.stderr.count("\n") == 1
    name, *guesses = finished.stdout.splitlines()
    assert name == str(photo)
    assert len(guesses) == 5
    assert re.fullmatch(r" +[\d.]+%  ship", guesses[0])


def test_predict_prints_json(run_here: Run) -> None:
    finished = run_here("predict", "resnet20", CHECKOUT / "tests" / "photo.png", "--json", "--top", "2")
    assert finished.returncode == 0
    (prediction,) = json.loads(finished.stdout)
    assert prediction["guesses"][0]["label"] == "ship"
    assert len(prediction["guesses"]) == 2


def test_plot_and_compare_write_charts(run_here: Run, tmp_path: Path) -> None:
    assert run_here("plot", "resnet8", "resnet20", "--out", "p.png").stdout == "written to p.png\n"
    assert (tmp_path / "work" / "p.png").stat().st_size > 10_000
    finished = run_here("compare", "resnet8", "--epochs", "1", "--limit-train", "100", "--quiet")
    assert finished.stdout.splitlines()[-1] == "the errors are plotted in compare/errors.svg and compare/errors.png"


def test_verify_prints_its_checks_and_exits_0(run_here: Run, tmp_path: Path) -> None:
    finished = run_here("verify", "--all", "--data", tmp_path)
    assert finished.returncode == 0, finished.stderr
    lines = finished.stdout.splitlines()
    assert "resnet8_digits: as published" in lines
    assert "resnet20_cifar10: not measured: test set" in lines
    assert "  test set: not run, cifar10 is not there, or not whole" in lines


def test_verify_exits_1_if_a_recorded_accuracy_is_wrong(run_here: Run, model_folder: Path) -> None:
    path = model_folder / store.CONFIG
    config = json.loads(path.read_text())
    config["results"]["test_top1"] += 0.1
    path.write_text(json.dumps(config))
    finished = run_here("verify", model_folder)
    assert finished.returncode == 1
    assert finished.stderr.startswith("zoo: resnet8_digits: top-1 is ")
    assert "DIFFERS" in finished.stdout


def test_verify_continues_after_a_damaged_model_and_prints_valid_json(
    run_here: Run, model_folder: Path, trained: Path
) -> None:
    (model_folder / store.LOG).write_text("another log")
    finished = run_here("verify", model_folder, "plain20", trained, "--json")
    assert finished.returncode == 1
    damaged, missing, whole = json.loads(finished.stdout)
    assert [report["outcome"] for report in (damaged, missing, whole)] == ["differs", "not measured", "as published"]
    assert "log.jsonl has " in damaged["checks"][0]["finding"]
    lines = finished.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("zoo: ") for line in lines)


def test_verify_all_exits_1_if_a_model_cannot_be_listed(
    run_here: Run, trained: Path, model_folder: Path, tmp_path: Path
) -> None:
    hub = tmp_path / "hub"
    shutil.copytree(trained, hub / "resnet8_digits")
    model_folder.rename(hub / "resnet20_digits")
    (hub / "resnet20_digits" / store.CONFIG).write_text("{")
    finished = run_here("verify", "--all", "--hub", f"file:{hub}", "--json")
    assert finished.returncode == 1
    assert [report["outcome"] for report in json.loads(finished.stdout)] == ["as published"]
    assert finished.stderr.count("\n") == 1


def test_reproduce_prints_its_result_and_the_recorded_one(run_here: Run, trained: Path) -> None:
    finished = run_here("reproduce", trained, "--quiet")
    assert finished.returncode == 0, finished.stderr
    lines = finished.stdout.splitlines()
    assert lines[1].startswith("resnet8_digits  here: top-1 ")
    assert lines[2].startswith("resnet8_digits  card: top-1 ")
    assert lines[1].split("top-1")[1] == lines[2].split("top-1")[1]
    assert lines[3] == "expecting identical weights"
    assert lines[4] == "the weights are identical to the published ones"


@pytest.mark.slow
def test_reproduce_exits_1_if_expected_bytes_differ(run_here: Run, trained: Path, model_folder: Path) -> None:
    tensors = load_file(model_folder / store.WEIGHTS)
    tensors["fc.bias"] += 0.5
    save_file(tensors, model_folder / store.WEIGHTS)
    finished = run_here("reproduce", hashed(model_folder), "--quiet")
    assert finished.returncode == 1
    assert finished.stdout.splitlines()[3:] == [
        "expecting identical weights",
        "the weights are different from the published ones",
    ]
    finished = run_here("reproduce", trained, "--quiet", "--epochs", "1", "--seed", "7", "--out", "shorter")
    assert finished.returncode == 0
    assert finished.stdout.splitlines()[3] == (
        "expecting different weights: recipe epochs 3 there, 1 here; seed 0 there, 7 here"
    )
