from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from zoo.errors import FolderError, HashMismatch
from zoo.record import store
from zoo.record.types import require_trained

from .folders import trained_record


def change(model_folder: Path, **fields: object) -> None:
    path = model_folder / store.CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_finished_run_leaves_a_complete_model_folder(trained: Path) -> None:
    assert sorted(path.name for path in trained.iterdir()) == sorted(store.FILES)
    config = require_trained(store.check(trained))
    assert config.name == "resnet8_digits"
    assert config.job.recipe_name == "quick"
    assert config.weights.bytes == (trained / store.WEIGHTS).stat().st_size
    assert (config.training.epochs, config.job.train_images) == (3, 1437)
    rows = store.read_log(trained)
    assert len(rows) == 3
    assert (rows[-1].test_top1, rows[-1].test_loss) == (config.results.test_top1, config.results.test_loss)


def test_the_weights_file_has_name_recipe_hash_and_normalization(trained: Path) -> None:
    from safetensors import safe_open

    config = trained_record(trained)
    with safe_open(trained / store.WEIGHTS, framework="pt") as opened:
        assert opened.metadata() == {
            "name": "resnet8_digits",
            "recipe": "quick",
            "recipe_sha256": config.recipe_sha256,
            "mean": "[0.3054]",
            "std": "[0.3753]",
        }


def test_published_files_contain_no_local_path(trained: Path) -> None:
    for name in (store.README, store.CONFIG, store.LOG, store.CURVE, store.ERRORS):
        text = (trained / name).read_text()
        assert str(trained.parent) not in text
        assert str(Path.home()) + "/" not in text


@pytest.mark.parametrize("name", [store.CONFIG, store.WEIGHTS, store.LOG])
def test_a_missing_file_is_named(model_folder: Path, name: str) -> None:
    (model_folder / name).unlink()
    with pytest.raises(FolderError, match=name):
        store.check(model_folder)


@pytest.mark.parametrize("name", [store.README, store.CURVE, store.ERRORS])
def test_a_missing_or_edited_card_or_chart_is_accepted(model_folder: Path, tmp_path: Path, name: str) -> None:
    before = store.identity(model_folder)
    for number, text in enumerate(("mine", None)):
        if text is None:
            (model_folder / name).unlink()
        else:
            (model_folder / name).write_text(text)
        (tmp_path / f"copy{number}").mkdir()
        store.copy_files(model_folder, tmp_path / f"copy{number}")
        assert store.check(tmp_path / f"copy{number}") == store.check(model_folder)
        assert store.identity(tmp_path / f"copy{number}") == before
    assert (tmp_path / "copy0" / name).read_text() == "mine"


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", ".hidden", "a/../b", "a\nb", ""])
def test_a_config_that_names_files_outside_the_folder_is_refused(model_folder: Path, name: str) -> None:
    files = json.loads((model_folder / store.CONFIG).read_text())["files"]
    change(model_folder, files={**files, name: files[store.LOG]})
    with pytest.raises(FolderError, match="a name in files should be a path inside the folder"):
        store.read_record(model_folder)


PRETRAINED_CFG = {
    "input_size": [1, 9, 9], "mean": [0.5], "std": [0.5], "crop_pct": 1.0, "interpolation": "bilinear",
    "crop_mode": "squash", "label_names": ["0"], "num_classes": 1,
}  # fmt: skip
INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "a name that is a path": ({"name": "../../escaped"}, "name should be a name"),
    "a name with a newline": ({"name": "a\nb"}, "name should be a name"),
    "control characters in a class": ({"classes": ["\x1b[31m"] * 10}, "classes[0] should be one line"),
    "a text of megabytes": ({"paper": "A" * 3_000_000}, "paper should have at most 2,000 characters"),
    "images of gigabytes": ({"input_size": [1, 30000, 30000]}, "input_size[1] should be at most 4,096"),
    "a number above the range of integers": ({"input_size": [1, 2**63, 8]}, "input_size[1] should be at most 4,096"),
    "a mean of another length": ({"mean": [0.5, 0.5]}, "mean should have 1 number, one per channel"),
    "a standard deviation of 0": ({"std": [0.0]}, "std[0] should be above 0"),
    "uneven known answers": (
        {"known_answers": [[1.0], [2.0, 3.0]]},
        "known_answers should have a logit for every class",
    ),
    "no classes": ({"classes": []}, "classes should have at least 1 entries"),
    "a negative number of parameters": ({"parameters": -1}, "parameters should be at least 1"),
    "an accuracy above 100": (
        {"results": {"test_top1": 101, "test_top5": 100, "test_loss": 0, "test_images": 9}},
        "results.test_top1 should be at most 100",
    ),
    "a field of another version": ({"later": 1}, "later is an unknown field"),
    "an unknown kind": ({"kind": "found"}, "kind can't be 'found'"),
    "a card with a hash": ({"files": {"README.md": {"sha256": "0" * 64, "bytes": 1}}}, "files should have model.safe"),
    "another size for timm": (
        {"pretrained_cfg": PRETRAINED_CFG},
        "pretrained_cfg.input_size should be the record's",
    ),
    "another recipe": ({"recipe_sha256": "0" * 64}, "recipe_sha256 should be the one of the job's recipe"),
}


@pytest.mark.parametrize("fault", INVALID)
def test_an_invalid_field_of_a_config_is_refused(model_folder: Path, fault: str) -> None:
    fields, message = INVALID[fault]
    change(model_folder, **fields)
    with pytest.raises(FolderError, match=re.escape(message)):
        store.read_record(model_folder)


def test_a_log_with_a_number_out_of_range_is_refused(model_folder: Path) -> None:
    (model_folder / store.LOG).write_text(
        '{"epoch": 1, "lr": 1e999, "train_loss": 1, "train_top1": 1, "train_seconds": 1}\n'
    )
    with pytest.raises(FolderError, match="is not a training log: line 1: lr is a number out of range"):
        store.read_log(model_folder)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_results_that_are_not_finite_cannot_be_written(trained: Path, tmp_path: Path, loss: float) -> None:
    config = trained_record(trained)
    results = msgspec.structs.replace(config.results, test_loss=loss)
    files = {name: store.read_file(trained, config, name) for name in config.files}
    with pytest.raises(FolderError, match=r"can't be written: results\.test_loss should be a number"):
        store.write(tmp_path, msgspec.structs.replace(config, results=results), files)
    assert list(tmp_path.iterdir()) == []


def test_a_config_of_a_newer_format_is_refused_with_advice_to_update(model_folder: Path) -> None:
    change(model_folder, format=99)
    with pytest.raises(FolderError, match=r"format 99.*pip install -U"):
        store.read_record(model_folder)


def test_an_id_depends_on_the_values_in_the_record_only(model_folder: Path) -> None:
    before = store.identity(model_folder)
    (model_folder / "note.txt").write_text("not part of it")
    path = model_folder / store.CONFIG
    path.write_text(json.dumps(dict(reversed(json.loads(path.read_text()).items()))))
    assert store.identity(model_folder) == before
    change(model_folder, license="mit")
    assert store.identity(model_folder) != before


@pytest.mark.parametrize("name", [store.WEIGHTS, store.LOG])
def test_a_changed_file_is_refused(model_folder: Path, name: str) -> None:
    content = bytearray((model_folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (model_folder / name).write_bytes(content)
    with pytest.raises(HashMismatch, match=re.escape(name)):
        store.check(model_folder)


def test_a_named_pipe_is_not_opened(model_folder: Path) -> None:
    (model_folder / store.WEIGHTS).unlink()
    os.mkfifo(model_folder / store.WEIGHTS)
    with pytest.raises(FolderError, match="is no regular file"):
        store.read_weights(model_folder, store.read_record(model_folder))


def test_a_file_larger_than_recorded_is_not_read(model_folder: Path) -> None:
    with (model_folder / store.WEIGHTS).open("ab") as weights:
        weights.truncate(200 * 2**30)  # sparse: takes no disk space
    with pytest.raises(FolderError, match="bytes, expected at most"):
        store.check(model_folder)
