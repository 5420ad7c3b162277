from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from zoo import api, registry
from zoo.errors import TrainingError
from zoo.evaluation.outcome import Verified
from zoo.record import store

from .conftest import CHECKOUT, Run
from .folders import flip, hashed, trained_record


def changed(model_folder: Path, **fields: object) -> Path:
    """Change fields of a folder's config.json."""
    path = model_folder / store.CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return model_folder


def finding(verified: Verified, name: str) -> str:
    """The finding of a check."""
    return next(check.finding for check in verified.checks if check.name == name)


def test_an_unchanged_folder_is_as_published(trained: Path) -> None:
    verified = api.verify(trained)
    assert (verified.outcome, verified.differences, verified.not_measured) == ("as published", (), ())
    assert [check.name for check in verified.checks] == ["hash", "strict load", "known answers", "test set"]
    assert finding(verified, "known answers") == "within 0.0e+00"


def test_weights_with_other_logits_differ_without_data(model_folder: Path, tmp_path: Path) -> None:
    tensors = load_file(model_folder / store.WEIGHTS)
    tensors["fc.bias"] += 0.5
    save_file(tensors, model_folder / store.WEIGHTS)
    verified = api.verify(hashed(model_folder))
    assert verified.outcome == "differs"
    assert any("the logits of the fixed inputs differ" in difference for difference in verified.differences)


def test_a_folder_without_known_answers_differs(model_folder: Path) -> None:
    verified = api.verify(changed(model_folder, known_answers=[]))
    assert verified.differences == ("the folder has 0 known answers, expected 4",)
    config = json.loads((model_folder / store.CONFIG).read_text())
    whole = store.read_record(CHECKOUT / "hub_cards" / "resnet8_digits").known_answers
    config["known_answers"] = whole[:1]
    assert api.verify(changed(model_folder, **config)).differences == ("the folder has 1 known answers, expected 4",)


@pytest.mark.parametrize(
    ("where", "value"),  # another processor, other threads, another torch
    [("environment.device", "another one"), ("job.threads", 77), ("job.versions.torch", "1.0")],
)
@pytest.mark.parametrize(("result", "by", "is_close"), [("test_top1", 0.01, True), ("test_top5", 0.06, False)])
def test_results_must_be_equal_here_and_close_on_another_machine(
    model_folder: Path, where: str, value: object, result: str, by: float, is_close: bool
) -> None:
    config = json.loads((model_folder / store.CONFIG).read_text())
    config["results"][result] -= by
    assert api.verify(changed(model_folder, **config)).outcome == "differs"
    *path, name = where.split(".")
    functools.reduce(dict.__getitem__, path, config)[name] = value
    assert api.verify(changed(model_folder, **config)).outcome == ("as published" if is_close else "differs")


@pytest.mark.parametrize("folders", [[], ["cifar-10-batches-py"]])
def test_missing_or_incomplete_data_are_not_measured_and_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: list[str]
) -> None:
    monkeypatch.setattr("urllib.request.urlopen", None)
    for name in folders:
        (tmp_path / name).mkdir()
    verified = api.verify("resnet20_cifar10", data=tmp_path)
    assert (verified.outcome, verified.not_measured, verified.differences) == ("not measured", ("test set",), ())
    assert finding(verified, "test set") == "not run, cifar10 is not there, or not whole"
    assert [path.name for path in tmp_path.rglob("*")] == folders


def test_verify_tells_a_missing_model_from_a_damaged_one(model_folder: Path, tmp_path: Path, run_here: Run) -> None:
    (tmp_path / "file.zip").write_text("no folder")
    (tmp_path / "empty").mkdir()
    paths = [tmp_path / "typo", tmp_path / "file.zip", tmp_path / "empty"]
    flip(model_folder / store.WEIGHTS)
    finished = run_here("verify", *paths, model_folder)
    outcomes = [line for line in finished.stdout.splitlines() if not line.startswith(" ")]
    assert outcomes == [*(f"{path}: not measured: folder" for path in paths), f"{model_folder}: DIFFERS"]
    assert (finished.returncode, len(finished.stderr.splitlines())) == (1, len(paths) + 1)


@pytest.mark.cifar
def test_the_catalogue_has_its_accuracy_on_the_real_data() -> None:
    ours = [row.name for row in api.overview(pretrained=True) if "." not in row.name]  # without imported weights
    assert {"resnet20_cifar10", "resnet20_cifar100"} <= set(ours)
    for name in ours:
        assert api.verify(name).outcome == "as published"


def test_reproduce_keeps_the_license_and_takes_other_epochs_and_seeds(model_folder: Path, tmp_path: Path) -> None:
    shorter, _ = api.reproduce(changed(model_folder, license="mit"), out=tmp_path / "shorter", epochs=1, seed=5)
    config = shorter.config
    assert (config.license, config.training.epochs, config.job.seed) == ("mit", 1, 5)


def test_reproduce_uses_the_published_normalization(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = registry.load("resnet8_digits")
    other = dataclasses.replace(declared, dataset=dataclasses.replace(declared.dataset, mean=(0.1,), std=(0.9,)))
    monkeypatch.setattr(registry, "load", lambda name: other)
    done, published = api.reproduce(trained, epochs=1, out=tmp_path / "again")
    assert (done.config.mean, done.config.std) == (published.mean, published.std)


def test_a_model_is_not_reproduced_on_another_dataset_than_its_own(model_folder: Path, tmp_path: Path) -> None:
    config = json.loads((model_folder / store.CONFIG).read_text())
    results = {**config["results"], "test_images": 200}
    with pytest.raises(TrainingError, match="measured on 200 test images, but digits as declared here has 360"):
        api.reproduce(changed(model_folder, results=results), out=tmp_path / "again")
    recipe = trained_record(model_folder).job.recipe.replace(mean=(0.25,))
    job = {**config["job"], "recipe": recipe.to_json()}
    changed(model_folder, results=config["results"], job=job, recipe_sha256=recipe.sha256())
    with pytest.raises(TrainingError, match="its mean or std is not that of its recipe"):
        api.reproduce(model_folder, out=tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_model_is_not_reproduced_with_another_teacher(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_TRUST", str(model_folder))
    settings = {"teacher": str(model_folder)}
    taught = api.train("resnet8", epochs=1, limit_train=64, settings=settings, out=tmp_path / "taught").folder
    done, published = api.reproduce(taught, out=tmp_path / "again")
    assert done.config.weights.sha256 == published.weights.sha256

    tensors = load_file(model_folder / store.WEIGHTS)
    tensors["fc.bias"] += 0.5
    save_file(tensors, model_folder / store.WEIGHTS)
    hashed(model_folder)
    with pytest.raises(TrainingError, match=r"^the teacher \S+ has weights with SHA-256 \w+ now"):
        api.reproduce(taught, out=tmp_path / "other")
    assert not (tmp_path / "other").exists()
