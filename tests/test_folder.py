from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from pathlib import Path
from typing import Any

import pytest

from zoo.errors import FolderError, HashMismatch
from zoo.folder import store
from zoo.folder.config import spread
from zoo.folder.replace import written_aside


def change(model_folder: Path, **fields: object) -> None:
    path = model_folder / store.CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_finished_run_leaves_a_whole_folder(trained: Path) -> None:
    assert sorted(path.name for path in trained.iterdir()) == sorted(store.FILES)
    config = store.check(trained)
    assert config.name == "resnet8_digits"
    assert config.own.job.recipe_name == "quick"
    assert config.weights.bytes == (trained / store.WEIGHTS).stat().st_size
    assert (config.own.training.epochs, config.own.job.train_images) == (3, 1437)
    assert len(store.read_log(trained)) == 3


def test_the_weights_carry_name_recipe_hash_and_normalisation(trained: Path) -> None:
    from safetensors import safe_open

    config = store.read_config(trained)
    with safe_open(trained / store.WEIGHTS, framework="pt") as opened:
        assert opened.metadata() == {
            "name": "resnet8_digits",
            "recipe": "quick",
            "recipe_sha256": config.recipe_sha256,
            "mean": "[0.3054]",
            "std": "[0.3753]",
        }


def test_the_last_row_of_the_log_has_the_results_of_the_config(trained: Path) -> None:
    results, last = store.read_config(trained).own.results, store.read_log(trained)[-1]
    assert (last.test_top1, last.test_loss) == (results.test_top1, results.test_loss)


def test_no_path_of_the_machine_is_in_what_is_published(trained: Path) -> None:
    for name in (store.README, store.CONFIG, store.LOG, store.CURVE):
        text = (trained / name).read_text()
        assert str(trained.parent) not in text
        assert str(Path.home()) + "/" not in text


def test_a_flipped_byte_in_the_weights_is_caught(model_folder: Path) -> None:
    content = bytearray((model_folder / store.WEIGHTS).read_bytes())
    content[-5] ^= 1
    (model_folder / store.WEIGHTS).write_bytes(content)
    with pytest.raises(HashMismatch, match=r"model.safetensors has SHA-256 [0-9a-f]{64}, but config.json expects"):
        store.check(model_folder)


@pytest.mark.parametrize("name", store.FILES)
def test_a_missing_file_is_named(model_folder: Path, name: str) -> None:
    (model_folder / name).unlink()
    with pytest.raises(FolderError, match=name):
        store.check(model_folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "{}", "\xed\xa0\x80"])
def test_a_config_that_is_none_is_one_line(model_folder: Path, text: str) -> None:
    (model_folder / store.CONFIG).write_text(text, encoding="latin1")
    with pytest.raises(FolderError, match=r"config\.json is not") as caught:
        store.read_config(model_folder)
    assert "\n" not in str(caught.value)


def test_a_config_without_a_field_names_it(model_folder: Path) -> None:
    change(model_folder, files={store.WEIGHTS: {"bytes": 3}})
    with pytest.raises(FolderError, match=r"files\.model\.safetensors\.sha256 is missing"):
        store.read_config(model_folder)


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "a//b", ".hidden", "a/../b", "a\nb", ""])
def test_a_config_that_names_files_elsewhere_is_refused(model_folder: Path, name: str) -> None:
    files = json.loads((model_folder / store.CONFIG).read_text())["files"]
    change(model_folder, files={**files, name: files[store.LOG]})
    with pytest.raises(FolderError, match="files should be names inside the folder"):
        store.read_config(model_folder)


UNSOUND: dict[str, tuple[dict[str, Any], str]] = {
    "a name that is a path": ({"name": "../../escaped"}, "name should be a name"),
    "a name with a newline": ({"name": "a\nb"}, "name should be a name"),
    "control characters in a class": ({"classes": ["\x1b[31m"] * 10}, "classes[0] should be one line"),
    "lone surrogates": ({"license": "\ud800"}, "license should be one line"),
    "a text without an end": ({"paper": "A" * 3_000_000}, "paper should be one line of up to"),
    "images of gigabytes": ({"input_size": [1, 30000, 30000]}, "input_size should be of 1 to 4096 pixels"),
    "a number beyond all": ({"input_size": [1, 2**63, 8]}, "input_size should be of 1 to 4096 pixels"),
    "a mean of another length": ({"mean": [0.5, 0.5]}, "mean should be of 1 numbers"),
    "a deviation of nothing": ({"std": [0.0]}, "std should be above 0"),
    "ragged answers": ({"known_answers": [[1.0], [2.0, 3.0]]}, "known_answers should be a logit for every class"),
    "no classes": ({"classes": []}, "classes should be 1 to"),
    "parameters of nothing": ({"parameters": -1}, "parameters should be a number of values"),
}


@pytest.mark.parametrize("what", UNSOUND)
def test_facts_that_can_not_be_a_models_are_one_line(model_folder: Path, what: str) -> None:
    fields, message = UNSOUND[what]
    change(model_folder, **fields)
    with pytest.raises(FolderError, match=re.escape(message)) as caught:
        store.read_config(model_folder)
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)


ODD = {
    "lists a hundred thousand deep": "[" * 100_000,
    "a number of five thousand digits": '{"format": ' + "9" * 5000 + "}",
    "NaN": '{"format": NaN}',
    "infinity": '{"format": 2, "parameters": -Infinity}',
    "a float that is none": '{"format": 2, "parameters": 1e400}',
    "no object": "[1, 2]",
    "half of it": '{"format": 2, "na',
    "no text": "\x00",
}


@pytest.mark.parametrize("what", ODD)
def test_a_config_of_odd_json_is_one_line(model_folder: Path, what: str) -> None:
    (model_folder / store.CONFIG).write_text(ODD[what])
    with pytest.raises(FolderError, match="is not a model's") as caught:
        store.read_config(model_folder)
    assert len(str(caught.value)) < 1000


def test_a_folder_has_an_id_whatever_else_stands_in_its_config(model_folder: Path) -> None:
    before = store.identity(model_folder)
    change(model_folder, **{"\ud800": "half of a character"})
    assert store.identity(model_folder) != before
    assert store.check(model_folder)


def test_a_format_of_hundreds_of_digits_is_one_line(model_folder: Path) -> None:
    change(model_folder, format=10**400)
    with pytest.raises(FolderError, match="this zoo reads up to"):
        store.read_config(model_folder)


def test_a_log_with_a_number_that_is_none_is_one_line(model_folder: Path) -> None:
    (model_folder / store.LOG).write_text(
        '{"epoch": 1, "lr": 1e999, "train_loss": 1, "train_top1": 1, "train_seconds": 1}\n'
    )
    with pytest.raises(FolderError, match="is not a training log: it has 1e999, which is no number"):
        store.read_log(model_folder)


def test_facts_that_are_not_finite_can_not_be_written(trained: Path, tmp_path: Path) -> None:
    config = store.read_config(trained)
    broken = dataclasses.replace(config, results=dataclasses.replace(config.own.results, test_loss=math.nan))
    files = {name: store.read_file(trained, config, name) for name in config.files}
    with pytest.raises(FolderError, match=r"can't be written: its results\.test_loss should be finite"):
        store.write(tmp_path, broken, files)
    assert list(tmp_path.iterdir()) == []


def test_a_config_of_a_newer_format_says_to_update(model_folder: Path) -> None:
    change(model_folder, format=99)
    with pytest.raises(FolderError, match=r"format 99.*pip install -U"):
        store.read_config(model_folder)


def test_a_folder_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    def fill() -> None:
        with written_aside(tmp_path / "model") as aside:
            (aside / "half").touch()
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_a_folders_id_is_that_of_its_facts_however_they_are_spaced(model_folder: Path) -> None:
    before = store.identity(model_folder)
    (model_folder / "note.txt").write_text("not part of it")
    path = model_folder / store.CONFIG
    path.write_text(json.dumps(dict(reversed(json.loads(path.read_text()).items()))))
    assert store.identity(model_folder) == before
    change(model_folder, license="mit")
    assert store.identity(model_folder) != before


@pytest.mark.parametrize("name", [one for one in store.FILES if one != store.CONFIG])
def test_no_file_of_a_folder_can_change_unnoticed(model_folder: Path, name: str) -> None:
    content = bytearray((model_folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (model_folder / name).write_bytes(content)
    with pytest.raises(HashMismatch, match=re.escape(name)):
        store.check(model_folder)


def test_what_is_not_a_regular_file_is_not_opened(model_folder: Path) -> None:
    (model_folder / store.WEIGHTS).unlink()
    os.mkfifo(model_folder / store.WEIGHTS)
    with pytest.raises(FolderError, match="is no regular file"):
        store.read_weights(model_folder, store.read_config(model_folder))


def test_a_file_larger_than_it_should_be_is_not_read(model_folder: Path) -> None:
    with (model_folder / store.WEIGHTS).open("ab") as weights:
        weights.truncate(200 * 2**30)  # a hole, which takes no room
    with pytest.raises(FolderError, match="bytes, expected up to"):
        store.check(model_folder)


def test_figures_of_several_seeds_come_to_their_mean_and_the_deviation_of_a_sample() -> None:
    assert spread([90.0, 92.0]) == "91.00 ± 1.41"
