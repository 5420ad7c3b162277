"""Datasets of the Hugging Face Hub: saved to disk, as parquet files, and from a Hub on loopback."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from zoo_hf_datasets import open_dataset

import zoo
from tests.conftest import CHECKOUT
from tests.loopback_hub import File, Hub, Repository
from zoo.plugin import Collection, DataError

datasets: Any = pytest.importorskip("datasets", reason="needs datasets: pip install datasets")

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries that datasets imports

CLASSES = ["daisy", "rose"]


def split(count: int, *, image: str = "img", label: str = "label", names: list[str] | None = CLASSES) -> Any:
    """A split of images of two colours, with the label column as class labels or, without names, as integers."""
    features = datasets.Features(
        {image: datasets.Image(), label: datasets.ClassLabel(names=names) if names else datasets.Value("int64")}
    )
    generator = np.random.default_rng(count)
    pixels = generator.integers(0, 90, (count, 12, 12, 3)) + 120 * (np.arange(count) % 2)[:, None, None, None]
    images = [Image.fromarray(array.astype(np.uint8)) for array in pixels]
    return datasets.Dataset.from_dict({image: images, label: [i % 2 for i in range(count)]}, features=features)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    folder = tmp_path / "flowers"
    datasets.DatasetDict({"train": split(64), "test": split(20)}).save_to_disk(folder)
    return folder


def opened(path: object) -> Collection:
    return open_dataset(str(path), Path())


def test_a_saved_dataset_has_splits_classes_and_images(flowers: Path) -> None:
    collection = opened(flowers)
    assert (collection.name, collection.classes) == ("flowers", ("daisy", "rose"))
    assert collection.test is not None
    assert (len(collection.train), len(collection.test)) == (64, 20)
    assert collection.train.labels[:3] == (0, 1, 0)
    image = Image.open(io.BytesIO(collection.train.read(1)))
    assert np.array_equal(np.array(image), np.array(split(64)[1]["img"]))
    assert (collection.hub_id, collection.homepage) == ("", "")


def test_a_model_trained_on_a_saved_dataset_records_the_hash_of_the_images(flowers: Path, tmp_path: Path) -> None:
    trained = zoo.train("resnet8", dataset=f"hf-datasets:{flowers}", epochs=1, out=tmp_path / "out")
    assert trained.config.classes == ("daisy", "rose")
    pictures = trained.config.pictures
    assert pictures is not None
    assert pictures.address == "hf-datasets:flowers"
    assert pictures.sha256[:12] in (trained.folder / "README.md").read_text()


def test_a_folder_of_parquet_files_is_a_dataset(tmp_path: Path) -> None:
    folder = tmp_path / "flowers" / "data"
    folder.mkdir(parents=True)
    for name, count in (("train", 8), ("validation", 4)):
        split(count).to_parquet(folder / f"{name}-00000-of-00001.parquet")
    collection = opened(folder.parent)
    assert collection.test is not None
    assert (len(collection.train), len(collection.test)) == (8, 4)


def test_labels_without_names_are_named_by_their_values(tmp_path: Path) -> None:
    datasets.DatasetDict({"train": split(8, names=None)}).save_to_disk(tmp_path / "numbers")
    assert opened(tmp_path / "numbers").classes == ("0", "1")


def test_a_dataset_without_splits_is_a_training_split(tmp_path: Path) -> None:
    split(8).save_to_disk(tmp_path / "whole")
    collection = opened(tmp_path / "whole")
    assert (len(collection.train), collection.test) == (8, None)


def test_the_address_selects_one_of_several_label_columns(tmp_path: Path) -> None:
    coarse = split(8, label="coarse_label", names=["flower", "tree"])
    both = coarse.add_column("fine_label", coarse["coarse_label"]).cast_column(
        "fine_label", datasets.ClassLabel(names=CLASSES)
    )
    datasets.DatasetDict({"train": both}).save_to_disk(tmp_path / "two")
    assert opened(tmp_path / "two").classes == ("daisy", "rose")
    assert opened(f"{tmp_path / 'two'}?label=coarse_label").classes == ("flower", "tree")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?lable=x", "has no option 'lable'; did you mean label?"),
        ("?train=all", "has no split 'all'; there are train, test"),
        ("?image=label", "has no image column 'label'; its columns are img, label"),
        ("?label=kind", "has no label column 'kind'; its columns are img, label"),
    ],
)
def test_an_invalid_option_is_refused(flowers: Path, query: str, message: str) -> None:
    with pytest.raises(DataError) as refused:
        opened(f"{flowers}{query}")
    assert message in str(refused.value)


def test_a_split_with_hidden_labels_is_refused(tmp_path: Path) -> None:
    hidden = split(4, names=None).map(lambda row: {"label": -1})
    datasets.DatasetDict({"train": split(8, names=None), "test": hidden}).save_to_disk(tmp_path / "hidden")
    with pytest.raises(DataError, match="the test split has the label -1, which is no class of the training split"):
        opened(tmp_path / "hidden")


def test_a_missing_dataset_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't be loaded"):
        opened(tmp_path / "nothing")


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    hub.start()
    yield hub
    hub.stop()


def test_a_dataset_of_the_hub_is_named_on_the_card_of_a_model(hub: Hub, tmp_path: Path) -> None:
    files = {}
    for name, count in (("train", 64), ("test", 20)):
        content = io.BytesIO()
        split(count).to_parquet(content)
        files[f"data/{name}-00000-of-00001.parquet"] = File(content.getvalue(), lfs=True)
    repository = Repository("datasets/somebody/flowers")
    repository.commit("add the data", files)
    hub.repositories[repository.id] = repository
    # A new process, as the client reads the address of the Hub when it is imported.
    words = ["train", "resnet8", "--dataset", "hf-datasets:somebody/flowers", "--epochs", "1", "--out", "out"]
    done = subprocess.run(
        [sys.executable, "-m", "zoo", *words],
        cwd=tmp_path,
        env={**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    metadata = (tmp_path / "out" / "README.md").read_text().split("---")[1]
    assert "datasets:\n- somebody/flowers\n" in metadata
    pictures = json.loads((tmp_path / "out" / "config.json").read_text())["pictures"]
    assert pictures["address"] == "hf-datasets:somebody/flowers"
    assert pictures["homepage"] == "https://huggingface.co/datasets/somebody/flowers"
