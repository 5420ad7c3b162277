"""Training on your own images: from a folder to a published model."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import sys
import tomllib
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo import api
from zoo.data import batches, prepared, sources
from zoo.data.collection import KINDS, DatasetRequest, open_collection
from zoo.data.prepared import open_dataset
from zoo.data.survey import Survey
from zoo.data.torchvision_datasets import DATASETS
from zoo.errors import DataError, DataWarning, HubError, PluginError, TrainingError, ZooError
from zoo.record.types import Trained
from zoo.spec import Dataset, Recipe

from .conftest import CHECKOUT, Run
from .folders import flip, trained_record
from .images import COLOURS, draw, flowers

pytestmark = pytest.mark.filterwarnings("ignore::zoo.errors.DataWarning")

QUICK = Recipe(epochs=1, batch_size=12)
CPU = torch.device("cpu")
BLOCKS = re.findall(r"```\w+\n(.*?)```", (CHECKOUT / "docs" / "images.md").read_text(), re.DOTALL)
PAGE = {code.splitlines()[0].removeprefix("# "): code for code in BLOCKS}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def dataset_at(address: str, recipe: Recipe = QUICK, *, test_part: float | None = None, root: Path = Path()) -> Dataset:
    return open_dataset(DatasetRequest(address, test_part), recipe, root, lambda task, done, total: None)


def dataset_of(folder: Path, recipe: Recipe = QUICK) -> Dataset:
    return dataset_at(f"folder:{folder}", recipe)


def survey_of(folder: Path, test_part: float | None = None) -> Survey:
    return api.survey(f"folder:{folder}", test_part=test_part)


def train(address: str, out: Path, **options: Any) -> Trained:
    """Train a resnet8 on images; returns its record."""
    arguments: dict[str, Any] = {"epochs": 1, "settings": {"batch_size": "12"}, "compile": "none"} | options
    return api.train("resnet8", dataset=address, out=out, **arguments).config


# -- the survey of a folder ------------------------------------------------------------------------


def test_a_folder_of_images_is_a_dataset_with_measured_statistics(folder: Path) -> None:
    dataset = dataset_of(folder)
    assert (dataset.name, dataset.title, dataset.classes) == ("flowers-1", "Flowers 1", tuple(COLOURS))
    assert (dataset.input_size, dataset.train_images, dataset.test_images) == ((3, 16, 16), 36, 12)
    images, labels = dataset.read(Path(), train=True)
    assert sorted(labels.tolist()) == [0] * 12 + [1] * 12 + [2] * 12
    rose = np.asarray(Image.open(folder / "train" / "rose" / "1-000.png"))
    assert [int(label) for image, label in zip(images, labels, strict=True) if np.array_equal(image, rose)] == [1]
    pixels = images.reshape(-1, 3) / 255
    assert np.allclose(dataset.mean, pixels.mean(0), atol=1e-4)
    assert np.allclose(dataset.std, pixels.std(0), atol=1e-4)


@pytest.mark.parametrize(("train", "test"), [("train", "val"), ("training", "Testing"), ("TRAIN", "Validation")])
def test_the_folders_of_the_splits_may_have_other_names(tmp_path: Path, train: str, test: str) -> None:
    draw(tmp_path / train, 2)
    draw(tmp_path / test, 1)
    assert survey_of(tmp_path).counts() == [(name, 2, 1) for name in COLOURS]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    draw(tmp_path / "traffic", 20)
    (tmp_path / "traffic" / "violet").rename(tmp_path / "traffic" / "train")
    assert dataset_at(f"folder:{tmp_path / 'traffic'}", test_part=0.3).classes == ("daisy", "rose", "train")


def test_a_class_name_is_the_same_in_both_unicode_forms(folder: Path) -> None:
    (folder / "train" / "rose").rename(folder / "train" / unicodedata.normalize("NFC", "rosé"))
    (folder / "test" / "rose").rename(folder / "test" / unicodedata.normalize("NFD", "rosé"))
    dataset = dataset_of(folder)
    assert dataset.classes == ("daisy", unicodedata.normalize("NFC", "rosé"), "violet")
    assert (dataset.train_images, dataset.test_images) == (36, 12)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_class_name_that_is_not_utf_8_is_refused(folder: Path) -> None:
    for half in ("train", "test"):
        (folder / half / "rose").rename(folder / half / os.fsdecode(b"ros\xe9"))
    with pytest.raises(DataError, match="is not UTF-8; rename its folder"):
        dataset_of(folder)


def test_links_are_followed_and_no_folder_is_entered_twice(folder: Path, tmp_path: Path) -> None:
    daisies = (folder / "train" / "daisy").rename(tmp_path / "daisies")
    (folder / "train" / "daisy").symlink_to(daisies)
    (daisies / "again").symlink_to(daisies)
    (daisies / "above").symlink_to(folder)
    (daisies / "beside").symlink_to(folder / "train" / "rose")
    assert survey_of(folder).counts()[0] == ("daisy", 12, 4)


def test_hidden_files_and_folders_are_left_out(folder: Path) -> None:
    for name in ("._1-000.png", ".ipynb_checkpoints/1-000.png"):
        (folder / "train" / "rose" / name).parent.mkdir(exist_ok=True)
        shutil.copy(folder / "train" / "rose" / "1-000.png", folder / "train" / "rose" / name)
    (folder / "train" / ".ipynb_checkpoints").mkdir()
    (folder / "train" / "__MACOSX").mkdir()
    assert [row[:2] for row in survey_of(folder).counts()] == [(name, 12) for name in COLOURS]


def test_the_first_and_the_last_images_are_of_every_class(folder: Path) -> None:
    recipe = Recipe(epochs=1, val_images=12, img_size=14, scale=(0.5, 1.0))
    dataset = dataset_of(folder, recipe)
    splits = sources.read_splits(dataset, recipe, Path(), device=CPU, train_images=12)
    assert splits.val is not None
    assert set(splits.train.labels.tolist()) == set(splits.val.labels.tolist()) == {0, 1, 2}
    assert splits.train.images.shape == (12, 16, 16, 3)
    assert torch.equal(splits.val.images, torch.from_numpy(dataset.read(Path(), train=True)[0][24:, 1:15, 1:15].copy()))


def test_the_test_part_is_chosen_by_the_bytes_of_the_images(tmp_path: Path) -> None:
    folder = tmp_path / "all"
    draw(folder, 40)
    before = survey_of(folder, test_part=0.25)
    assert 0.1 < len(before.test) / 120 < 0.4
    shutil.copy(folder / before.test[0].name, folder / "daisy" / "a-copy.png")
    draw(folder, 30, seed=9)
    after = survey_of(folder, test_part=0.25)
    assert {image.sha256 for image in before.test} <= {image.sha256 for image in after.test}
    assert {image.sha256 for image in before.train} <= {image.sha256 for image in after.train}
    assert not after.copies


def test_the_hash_depends_on_the_images_and_not_on_their_folder(folder: Path, tmp_path: Path) -> None:
    before, moved = survey_of(folder).summary.sha256, Path(shutil.copytree(folder, tmp_path / "elsewhere" / "x"))
    assert survey_of(moved).summary.sha256 == before
    Image.new("RGB", (16, 16)).save(moved / "train" / "rose" / "1-000.png")
    assert survey_of(moved).summary.sha256 != before


def test_a_second_survey_reads_no_image(folder: Path) -> None:
    read: list[str] = []
    for _ in range(2):
        api.survey(f"folder:{folder}", tell=lambda task, done, total: read.append(task))
    assert len(read) == 48


@pytest.mark.parametrize("damage", ["cut off", "without a field", "of other images"])
def test_a_damaged_survey_in_the_cache_is_repeated(folder: Path, cache: Path, damage: str) -> None:
    before = survey_of(folder)
    (kept,) = (cache / "images" / "surveys").iterdir()
    rows = json.loads(kept.read_text())
    if damage == "without a field":
        del rows[3]["sha256"]
    elif damage == "of other images":
        rows[3]["name"] = "train/daisy/other.png"
    kept.write_text(json.dumps(rows)[: 500 if damage == "cut off" else None])
    after = survey_of(folder)
    assert (after.train, after.test) == (before.train, before.test)


# -- preprocessing ---------------------------------------------------------------------------------


def test_images_of_several_sizes_are_cropped_in_the_middle(tmp_path: Path) -> None:
    flowers(tmp_path / "x", size=(40, 20))
    wide = Image.new("RGB", (40, 20), (0, 0, 0))
    wide.paste((255, 255, 255), (10, 0, 30, 20))  # the middle square
    wide.save(tmp_path / "x" / "train" / "daisy" / "0.png")
    dataset = dataset_of(tmp_path / "x", Recipe(epochs=1, img_size=20))
    images, _ = dataset.read(Path(), train=True)
    assert 255 in [image.min() for image in images]
    assert dataset_of(tmp_path / "x").input_size == (3, 64, 64)


def test_the_recipe_sets_the_size_and_a_random_crop_has_a_margin(folder: Path) -> None:
    dataset = dataset_of(folder, Recipe(epochs=1, img_size=14, scale=(0.5, 1.0)))
    assert (dataset.input_size, dataset.margin) == ((3, 14, 14), 2)
    assert dataset.read(Path(), train=True)[0].shape == (36, 16, 16, 3)
    assert dataset.read(Path(), train=False)[0].shape == (12, 14, 14, 3)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("train-3x16x16.npy", flip),
        ("test-3x16x16.npy", Path.unlink),
        ("test-labels.npy", lambda path: path.write_bytes(path.read_bytes()[:-50])),
        ("train-3x16x16.json", lambda path: path.write_bytes(b"")),
    ],
)
def test_a_damaged_prepared_file_is_prepared_again(
    folder: Path, cache: Path, name: str, damage: Callable[[Path], object]
) -> None:
    before = dataset_of(folder)
    (path,) = (cache / "images").rglob(name)
    contents = path.read_bytes()
    damage(path)
    after = dataset_of(folder)
    assert path.read_bytes() == contents
    assert (after.mean, after.std) == (before.mean, before.std)


def test_files_of_other_formats_are_counted_by_suffix(folder: Path, run_here: Run) -> None:
    for name in ("a.heic", "b.HEIC", "notes.txt"):
        (folder / "train" / "rose" / name).touch()
    left_out = "left out 3 files without the suffix of an image (.heic 2, .txt 1)"
    assert left_out in run_here("data", f"folder:{folder}").stdout
    assert json.loads(run_here("data", f"folder:{folder}", "--json").stdout)["other_files"] == {".heic": 2, ".txt": 1}
    with pytest.warns(DataWarning) as warned:
        dataset_of(folder)
    assert [left_out in str(warning.message) for warning in warned].count(True) == 1


def test_images_that_look_the_same_give_a_warning(folder: Path, run_here: Run) -> None:
    for number, path in enumerate(sorted(folder.rglob("*.png"))):
        Image.new("L", (16, 16), number % 2).save(path)
    remark = "all images look nearly the same: the standard deviation of their brightness is 0.00"
    assert remark in run_here("data", f"folder:{folder}").stdout
    with pytest.warns(DataWarning, match=remark):
        dataset_of(folder)


# -- training and publishing -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the images `Flowers 1`, a cache, and the trained model `m`. Not to be written to."""
    work = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(work / "cache"))
        train(f"folder:{flowers(work / 'Flowers 1')}", work / "m", epochs=2, amp=False)
    return work


@pytest.fixture
def folder(shared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shared / "Flowers 1", tmp_path / "Flowers 1"))


@pytest.fixture
def trained(shared: Path, folder: Path, cache: Path) -> Path:
    """A copy of the trained model, with its prepared images in this test's cache."""
    shutil.copytree(shared / "cache", cache)
    return Path(shutil.copytree(shared / "m", folder.parent / "runs" / "m"))


def test_a_model_of_images_is_verified_evaluated_reproduced_and_predicts(
    trained: Path, folder: Path, tmp_path: Path
) -> None:
    config = trained_record(trained)
    assert (config.name, config.dataset, config.resizing) == ("resnet8_flowers-1", "flowers-1", prepared.CENTER)
    assert config.pictures is not None
    assert (config.pictures.address, config.pictures.test_images) == ("folder:Flowers 1", 12)
    assert str(tmp_path) not in (trained / "config.json").read_text() + (trained / "README.md").read_text()
    assert api.verify(trained).outcome == "as published"
    assert api.evaluate(trained).results == config.results
    again, published = api.reproduce(trained, out=tmp_path / "again")
    assert again.config.weights.sha256 == published.weights.sha256
    photo = folder / "test" / "rose" / "2-001.png"
    (seen,) = api.predict(trained, [photo])
    test = sources.read_split(dataset_of(folder), Path(), train=False, device=CPU)
    pixels = zoo.transforms(trained)(Image.open(photo))
    tested = batches.pixels(config.mean, config.std, CPU).normalise(test.images)
    assert any(torch.allclose(pixels, image) for image in tested)
    net = zoo.load(trained, pretrained=True)
    assert seen.guesses[0].label == config.classes[int(net(pixels[None]).argmax())]


def test_verify_skips_missing_images_and_refuses_changed_images(trained: Path, folder: Path, cache: Path) -> None:
    shutil.rmtree(cache)
    assert api.verify(trained).not_measured == ("test set",)
    assert api.verify(trained, dataset=f"folder:{folder}").outcome == "as published"
    (folder / "test" / "rose" / "2-000.png").unlink()
    with pytest.raises(DataError, match="other images than resnet8_flowers-1 was trained on"):
        api.verify(trained, dataset=f"folder:{folder}")


def test_evaluating_damaged_images_is_refused_until_their_address_is_given(
    trained: Path, folder: Path, cache: Path
) -> None:
    (path,) = (cache / "images").rglob("test-3x16x16.npy")
    flip(path)
    with pytest.raises(DataError, match=r"test-3x16x16\.npy is missing or damaged; set dataset to the address"):
        api.evaluate(trained)
    assert api.evaluate(trained, dataset=f"folder:{folder}").results == trained_record(trained).results


def test_a_run_is_not_resumed_with_other_images(folder: Path, tmp_path: Path) -> None:
    out, address = tmp_path / "m", f"folder:{folder}"
    train(address, out)
    Image.new("RGB", (16, 16)).save(folder / "train" / "rose" / "more.png")
    with pytest.raises(TrainingError, match="pictures"):
        train(address, out, resume=True)


def test_publishing_a_model_of_images_needs_a_license(trained: Path, tmp_path: Path) -> None:
    hub = f"file:{tmp_path / 'hub'}"
    with pytest.raises(HubError, match="give a license"):
        api.push(trained, hub=hub)
    api.push(trained, hub=hub, license="cc-by-4.0")
    assert api.find("resnet8_flowers-1", hub=hub)
    assert "license: cc-by-4.0" in (tmp_path / "hub" / "resnet8_flowers-1" / "README.md").read_text()
    (row,) = api.overview(pretrained=True, hub=hub)
    assert (row.name, row.license) == ("resnet8_flowers-1", "cc-by-4.0")


def test_the_card_has_the_number_hash_and_confidence_interval_of_the_images(trained: Path) -> None:
    card = (trained / "README.md").read_text()
    config = trained_record(trained)
    assert config.pictures is not None
    assert (
        f"36 for training,\n12 for testing (a separate test set). SHA-256 of all images:\n`{config.pictures.sha256}`"
        in card
    )
    low, high = config.results.interval
    assert f"(Wilson, 12 images): {low:.1f}% to {high:.1f}%. The smallest class has only 4 test" in card
    assert "zoo train resnet8 --dataset 'folder:Flowers 1' --recipe" in card


def test_skip_bad_leaves_unreadable_images_out_and_counts_them(folder: Path, tmp_path: Path) -> None:
    (folder / "train" / "rose" / "bad.png").write_text("no image")
    with pytest.raises(DataError, match=r"train/rose/bad.png can't be read as an image"):
        dataset_of(folder)
    pictures = train(f"folder:{folder}", tmp_path / "m", skip_bad=True).pictures
    assert pictures is not None
    assert pictures.skipped == 1
    assert "Left out because they can't be read: 1 image." in (tmp_path / "m" / "README.md").read_text()


def test_a_small_test_set_gives_a_warning(folder: Path) -> None:
    with pytest.warns(DataWarning, match="fewer than 10 test images of class daisy and 2 more"):
        dataset_of(folder)


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ("*/*/*.png", "there is no image in .*train; expected files such as .*1.jpg, of the formats"),
        ("*/[rv]*", "has only the class daisy; expected at least two classes"),
        ("test/rose/*", "there is no test image of the class rose"),
        ("train/rose/*", "there is no training image of the class rose"),
        ("train/rose", "has the class rose, and .*train does not"),
        ("test", "has train/ but no test/, val/ or valid/.* or rename train/ if it is a class"),
        ("train", "has test/ but no train/; add one, or rename test/ if it is a class"),
        ("*", "has no folders of images"),
    ],
)
def test_a_folder_that_cannot_be_trained_on_is_refused(folder: Path, removed: str, message: str) -> None:
    for path in folder.glob(removed):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DataError, match=message):
        dataset_of(folder)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("folder:README.md", "README.md is a file; expected a folder"),
        ("folder:", "has no folders of images"),
        ("torchvision:Flowers103", "torchvision has no image .* dataset 'Flowers103'; did you mean Flowers102"),
        ("torchvision:Sintel", "torchvision has no image .* dataset 'Sintel'; there are CIFAR10, .*, USPS"),
        ("torchvision:Flowers102", "torchvision's Flowers102 is not in .* and can't be downloaded"),
    ],
)
def test_a_wrong_address_is_refused(
    address: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").touch()
    with pytest.raises(ZooError, match=message):
        dataset_at(address, root=tmp_path)


# -- torchvision and plugins -----------------------------------------------------------------------


def write_mnist(root: Path, *, train: int, test: int) -> None:
    """Write files in the format of MNIST; the label of an image is its brightness divided by 20."""
    (root / "MNIST" / "raw").mkdir(parents=True)
    for half, count in (("train", train), ("t10k", test)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = np.broadcast_to(20 * labels[:, None, None], (count, 28, 28)).astype(np.uint8)
        for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
            sides = b"".join(side.to_bytes(4, "big") for side in values.shape)
            header = bytes([0, 0, 8, values.ndim]) + sides
            (root / "MNIST" / "raw" / f"{half}-{kind}-ubyte").write_bytes(header + values.tobytes())


def test_a_downloaded_torchvision_dataset_is_opened_by_name(tmp_path: Path) -> None:
    write_mnist(tmp_path, train=40, test=20)
    dataset = dataset_at("torchvision:MNIST", root=tmp_path)
    assert (dataset.name, dataset.title, dataset.input_size) == ("torchvision-mnist", "MNIST", (1, 28, 28))
    assert dataset.classes[3] == "3 - three"
    images, labels = dataset.read(tmp_path, train=False)
    assert sorted(labels.tolist()) == sorted(2 * list(range(10)))
    assert all(image.max() == 20 * label for image, label in zip(images, labels, strict=True))


def write_svhn(root: Path) -> None:
    """Write files in the format of SVHN, in which the digit 0 has the label 10."""
    from scipy.io import savemat  # type: ignore[import-untyped]

    for half in ("train", "test"):
        labels = np.array([[10], [1], [2], [2]])
        images = np.broadcast_to(labels.reshape(1, 1, 1, 4), (32, 32, 3, 4)).astype(np.uint8)
        savemat(root / f"{half}_32x32.mat", {"X": images, "y": labels})


def test_a_torchvision_dataset_without_class_names_uses_its_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets

    monkeypatch.setattr("torchvision.datasets.svhn.check_integrity", lambda *_: True)
    monkeypatch.setattr(datasets.SVHN, "download", lambda _: None)
    write_svhn(tmp_path)
    survey = api.survey("torchvision:SVHN", data=tmp_path)
    assert survey.counts() == [("0", 1, 1), ("1", 1, 1), ("2", 2, 2)]


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_every_torchvision_dataset_exists_and_has_the_named_splits(name: str) -> None:
    from torchvision import datasets

    for half in DATASETS[name]:
        inspect.signature(getattr(datasets, name)).bind("root", **half)


def test_the_plugin_in_the_documentation_is_trained_on(tmp_path: Path, fake_plugin: Callable[..., Path]) -> None:
    declared = tomllib.loads(PAGE["zoo-table/pyproject.toml"])["project"]["entry-points"]["zoo.datasets"]
    fake_plugin("zoo-table", declared, "zoo_table", PAGE["zoo-table/zoo_table.py"], group=KINDS.name)
    draw(tmp_path / "photos", 20)
    files = sorted((tmp_path / "photos").rglob("*.png"))
    rows = [f"{file.relative_to(tmp_path)},{file.parent.name}\n" for file in files]
    (tmp_path / "Flowers.csv").write_text("file,label\n" + "".join(rows))
    address = f"table:{tmp_path / 'Flowers.csv'}"
    record = train(address, tmp_path / "m", test_part=0.3)
    assert (record.name, record.classes) == ("resnet8_flowers", tuple(COLOURS))
    assert record.pictures is not None
    assert record.pictures.train_images + record.pictures.test_images == 60
    (tmp_path / "Flowers.csv").write_text("photo,class\n1.png,rose\n")
    with pytest.raises(DataError, match="expected the columns file and label"):
        open_collection(address, tmp_path)


BROKEN = """
from zoo.spec import Collection, Split

def no_classes(rest, root):
    split = Split(("a", "b"), (0, 1), bytes)
    return Collection("broken", "Broken", (), split, split, stamp=rest)

def nothing(rest, root):
    return None
"""


def test_a_broken_plugin_is_named(fake_plugin: Callable[..., Path], tmp_path: Path) -> None:
    entry_points = {"broken": "zoo_broken:no_classes", "nothing": "zoo_broken:nothing"}
    fake_plugin("zoo-broken", entry_points, "zoo_broken", BROKEN, group=KINDS.name)
    with pytest.raises(DataError, match="broken: has no classes; expected at least two"):
        api.survey("broken:")
    with pytest.raises(PluginError, match="kind of dataset nothing: it returns a NoneType, expected a function"):
        open_collection("nothing:x", tmp_path)


def test_an_image_that_could_not_be_read_is_read_again_next_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refused)
        assert len(survey_of(folder).unreadable) == 48
    assert not survey_of(folder).unreadable


def test_datasets_are_read_from_the_cache_by_default(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZOO_DATA", raising=False)
    write_mnist(cache / "data", train=40, test=20)
    assert api.survey("torchvision:MNIST").summary.train_images == 40
    monkeypatch.setenv("ZOO_DATA", str(cache / "elsewhere"))
    with pytest.raises(DataError, match="elsewhere"):
        api.survey("torchvision:Flowers102")


# -- the command line ------------------------------------------------------------------------------


def test_zoo_data_shows_counts_copies_and_unreadable_images(folder: Path, run_here: Run) -> None:
    (folder / "train" / "rose" / "bad.png").write_text("no image")
    shutil.copy(folder / "train" / "rose" / "1-003.png", folder / "test" / "rose" / "again.png")
    shown = run_here("data", f"folder:{folder}")
    assert shown.returncode == 0, shown.stderr
    assert "flowers-1: 36 training images, 13 test images" in shown.stdout
    assert "rose\t12\t5" in shown.stdout
    assert "the same image in both splits: train/rose/1-003.png and test/rose/again.png" in shown.stdout
    assert "train/rose/bad.png can't be read as an image" in shown.stdout
    survey = json.loads(run_here("data", f"folder:{folder}", "--json").stdout)
    assert survey["sizes"] == [{"width": 16, "height": 16, "images": 49}]
    assert [image["name"] for image in survey["unreadable"]] == ["train/rose/bad.png"]
