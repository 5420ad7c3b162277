from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from zoo import api
from zoo.data import batches
from zoo.errors import HashMismatch
from zoo.evaluation import answers
from zoo.folder import store

from .folders import hashed

CPU = torch.device("cpu")


def changed(model_folder: Path, **fields: object) -> Path:
    """Make a folder's config say something else."""
    path = model_folder / store.CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return model_folder


def test_the_fixed_inputs_are_the_same_everywhere_and_differ_from_one_another() -> None:
    images = answers.fixed_inputs((3, 32, 32))
    assert images.shape == (answers.INPUTS, 32, 32, 3)
    assert images.dtype == torch.uint8
    assert images[1, 2, 3].tolist() == [49, 120, 191]  # 2·11 + 3·9 + 71·channel
    assert len({image.numpy().tobytes() for image in images}) == answers.INPUTS


def test_answers_are_in_evaluation_mode_and_leave_the_net_as_it_was() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10)).train()
    pixels = batches.pixels((0.5,), (0.5,), CPU)
    first = answers.known_answers(net, pixels, (1, 8, 8))
    assert first.shape == (answers.INPUTS, 10)
    assert torch.equal(first, answers.known_answers(net, pixels, (1, 8, 8)))
    assert net.training


def test_a_folder_as_it_was_trained_has_no_differences(trained: Path) -> None:
    found = api.verify(trained)
    assert found.differences == ()
    assert [name for name, _ in found.checks] == ["hash", "strict load", "known answers", "test set"]
    assert dict(found.checks)["known answers"] == "within 0.0e+00"


def test_weights_that_answer_differently_are_found_without_data(model_folder: Path, tmp_path: Path) -> None:
    tensors = load_file(model_folder / store.WEIGHTS)
    tensors["fc.bias"] += 0.5
    save_file(tensors, model_folder / store.WEIGHTS)
    found = api.verify(hashed(model_folder))
    assert any("the logits of the fixed inputs differ" in one for one in found.differences)


def test_a_flipped_byte_is_a_wrong_hash(model_folder: Path) -> None:
    content = bytearray((model_folder / store.WEIGHTS).read_bytes())
    content[-1] ^= 1
    (model_folder / store.WEIGHTS).write_bytes(content)
    with pytest.raises(HashMismatch):
        api.verify(model_folder)


@pytest.mark.parametrize(
    ("points", "device", "differs"), [(0.04, False, False), (0.06, False, True), (0.01, True, True)]
)
def test_accuracy_must_be_exact_on_the_same_device_and_close_on_another(
    model_folder: Path, points: float, device: bool, differs: bool
) -> None:
    config = json.loads((model_folder / store.CONFIG).read_text())
    config["results"]["test_top1"] += points
    if not device:
        config["environment"]["device"] = "another one"
    found = api.verify(changed(model_folder, **config))
    assert any(one.startswith("top-1 is ") for one in found.differences) is differs


def test_data_that_are_not_there_are_not_downloaded(tmp_path: Path) -> None:
    found = api.verify("resnet20_cifar10", data=tmp_path)
    assert dict(found.checks)["test set"] == "not run, cifar10 is not there"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.cifar
def test_the_catalogue_scores_what_it_says_on_the_real_data() -> None:
    for row in api.overview(pretrained=True):
        assert api.verify(row.name).differences == ()


def test_a_published_model_is_reproduced_by_its_own_recipe(trained: Path, tmp_path: Path) -> None:
    done, published = api.reproduce(trained, out=tmp_path / "again")
    assert done.config.job == published.job
    assert done.config.weights.sha256 == published.weights.sha256
    shorter, _ = api.reproduce(trained, out=tmp_path / "shorter", epochs=1, seed=5)
    assert (shorter.config.training.epochs, shorter.config.job.seed) == (1, 5)
