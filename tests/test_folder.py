from __future__ import annotations

import json
from pathlib import Path

import pytest

from zoo.errors import FolderError, HashMismatch
from zoo.folder import store
from zoo.folder.config import spread


def change(model_folder: Path, **fields: object) -> None:
    path = model_folder / store.CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_finished_run_leaves_a_whole_folder(trained: Path) -> None:
    assert sorted(path.name for path in trained.iterdir()) == sorted(store.FILES)
    config = store.check(trained)
    assert config.name == "resnet8_digits"
    assert config.job.recipe_name == "quick"
    assert config.weights.bytes == (trained / store.WEIGHTS).stat().st_size
    assert (config.training.epochs, config.job.train_images) == (3, 1437)
    assert len(store.read_log(trained)) == 3


def test_the_weights_carry_name_recipe_and_hash(trained: Path) -> None:
    from safetensors import safe_open

    config = store.read_config(trained)
    with safe_open(trained / store.WEIGHTS, framework="pt") as opened:
        assert opened.metadata() == {
            "name": "resnet8_digits",
            "recipe": "quick",
            "recipe_sha256": config.recipe_sha256,
        }


def test_the_last_row_of_the_log_has_the_results_of_the_config(trained: Path) -> None:
    results, last = store.read_config(trained).results, store.read_log(trained)[-1]
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
    change(model_folder, weights={"bytes": 3})
    with pytest.raises(FolderError, match=r"weights\.sha256 is missing"):
        store.read_config(model_folder)


def test_a_config_that_names_weights_elsewhere_is_refused(model_folder: Path) -> None:
    change(model_folder, weights={"sha256": "0" * 64, "bytes": 3, "file": "../../secret"})
    with pytest.raises(FolderError, match=r"names the weights '../../secret'"):
        store.read_config(model_folder)


def test_a_config_of_a_newer_format_says_to_update(model_folder: Path) -> None:
    change(model_folder, format=99)
    with pytest.raises(FolderError, match=r"format 99.*pip install -U"):
        store.read_config(model_folder)


def test_a_folder_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    def fill() -> None:
        with store.written_aside(tmp_path / "model") as aside:
            (aside / "half").touch()
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_a_folders_revision_changes_with_any_of_its_files(model_folder: Path) -> None:
    before = store.revision(model_folder)
    (model_folder / "note.txt").write_text("not part of it")
    assert store.revision(model_folder) == before
    with (model_folder / store.README).open("a") as card:
        card.write("\n")
    assert store.revision(model_folder) != before


def test_figures_of_several_seeds_come_to_their_mean_and_the_deviation_of_a_sample() -> None:
    assert spread([90.0, 92.0]) == "91.00 ± 1.41"
