"""Training options in a TOML file: `zoo train --config` reads one and `zoo info --job` prints one."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import zoo
from zoo.errors import TrainingError
from zoo.record import store
from zoo.record.types import Trained
from zoo.training import config

from .conftest import Run
from .images import flowers

FILE = """
model = "resnet8_digits"
epochs = 1
limit_train = 128
seed = 3
amp = false
out = "{out}"

[settings]
lr = 0.05
sched = "cosine"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "job.toml"
    path.write_text(FILE.format(out=(tmp_path / "out").as_posix()))
    return path


def trained(folder: Path) -> Trained:
    record = store.check(folder)
    assert isinstance(record, Trained)
    return record


def test_a_file_trains_as_the_same_options_do(file: Path, tmp_path: Path, run_here: Run) -> None:
    finished = run_here("train", "--config", file, "--quiet")
    assert finished.returncode == 0, finished.stderr
    words = "--epochs 1 --limit-train 128 --seed 3 --no-amp --set lr=0.05 --set sched=cosine --quiet"
    finished = run_here("train", "resnet8_digits", *words.split(), "--out", tmp_path / "options")
    assert finished.returncode == 0, finished.stderr
    assert trained(tmp_path / "out").job == trained(tmp_path / "options").job
    assert trained(tmp_path / "out").weights == trained(tmp_path / "options").weights


def test_options_of_the_command_take_precedence(file: Path, tmp_path: Path, run_here: Run) -> None:
    words = ["--seed", "4", "--set", "lr=0.01", "--out", tmp_path / "other", "--quiet"]
    finished = run_here("train", "--config", file, *words)
    assert finished.returncode == 0, finished.stderr
    job = trained(tmp_path / "other").job
    assert (job.seed, job.recipe.lr, job.recipe.epochs) == (4, 0.01, 1)


def test_a_printed_job_trains_the_same_model_on_a_folder_of_images(tmp_path: Path, run_here: Run) -> None:
    flowers(tmp_path / "work" / "flowers", size=(12, 12))
    words = "train resnet8 --dataset folder:flowers --epochs 1 --seed 3 --set batch_size=8 --quiet"
    finished = run_here(*words.split(), "--out", tmp_path / "out")
    assert finished.returncode == 0, finished.stderr
    again = tmp_path / "again.toml"
    again.write_text(run_here("info", tmp_path / "out", "--job").stdout)
    finished = run_here("train", "--config", again, "--out", tmp_path / "again", "--quiet")
    assert finished.returncode == 0, finished.stderr
    assert trained(tmp_path / "again").job == trained(tmp_path / "out").job
    assert trained(tmp_path / "again").weights == trained(tmp_path / "out").weights


def test_a_file_has_the_arguments_of_the_function(file: Path, tmp_path: Path) -> None:
    options = tomllib.loads(file.read_text())
    result = zoo.train(options.pop("model"), **options)
    assert result.folder == tmp_path / "out"
    assert trained(result.folder).job.recipe.sched == "cosine"


def test_the_job_of_a_published_model_has_its_recipe_and_only_changed_settings(run_here: Run) -> None:
    options = tomllib.loads(run_here("info", "resnet20_cifar10", "--job").stdout)
    assert (options["model"], options["recipe"], options["seed"]) == ("resnet20_cifar10", "long", 0)
    assert "settings" not in options
    assert options.keys() <= set(config.fields())


def test_imported_weights_have_no_job(run_here: Run) -> None:
    finished = run_here("info", "resnet20_cifar10.akamaster", "--job")
    assert finished.returncode == 1
    assert "has no recipe and no log: the zoo did not train it" in finished.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "'epoch' is not an option of a training; did you mean epochs?"),
        ("epochs = ", "is not a TOML file"),
        ("settings = 3", "settings should be a table"),
        ("colour = 1", "'colour' is not an option of a training; expected one of model, recipe"),
    ],
)
def test_an_invalid_file_is_reported_in_one_line(tmp_path: Path, run_here: Run, text: str, message: str) -> None:
    path = tmp_path / "job.toml"
    path.write_text(text)
    with pytest.raises(TrainingError, match=r"job\.toml"):
        config.read(path)
    finished = run_here("train", "resnet8_digits", "--config", path)
    assert finished.returncode == 1
    assert message in finished.stderr
    assert finished.stderr.count("\n") == 1


def test_a_value_of_a_wrong_type_is_reported_as_for_an_option(tmp_path: Path, run_here: Run) -> None:
    path = tmp_path / "job.toml"
    path.write_text('model = "resnet8_digits"\nepochs = "many"\n')
    finished = run_here("train", "--config", path)
    assert finished.returncode == 2
    assert "--epochs" in finished.stderr
