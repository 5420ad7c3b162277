"""The datasets of the zoo: what they declare equals their files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from zoo.datasets import CIFAR10, CIFAR100, DIGITS
from zoo.errors import DataError
from zoo.spec import Dataset

CLOSED = "http://127.0.0.1:9"  # the discard port, which refuses connections


def test_digits_have_training_and_test_images() -> None:
    images, labels = DIGITS.read(Path(), train=True)
    test_images, test_labels = DIGITS.read(Path(), train=False)
    assert images.shape == (1437, 8, 8, 1)
    assert test_images.shape == (360, 8, 8, 1)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert (images.min(), images.max()) == (0, 255)
    assert set(labels) == set(test_labels) == set(range(10))


def test_the_statistics_of_digits_are_computed_from_training_images() -> None:
    images, _ = DIGITS.read(Path(), train=True)
    assert DIGITS.mean == pytest.approx([(images / 255).mean()], abs=5e-5)
    assert DIGITS.std == pytest.approx([(images / 255).std()], abs=5e-5)


def test_missing_data_are_reported_with_folder_and_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _no_network(monkeypatch)
    with pytest.raises(DataError, match=r"/cifar-10-batches-py is missing.*data or ZOO_DATA"):
        CIFAR10.read(tmp_path, train=True)


def test_an_incomplete_archive_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _no_network(monkeypatch)
    (tmp_path / "cifar-100-python.tar.gz").write_bytes(b"half of it")
    with pytest.raises(DataError, match="cifar-100-python is missing, incomplete or damaged"):
        CIFAR100.read(tmp_path, train=True)


@pytest.mark.cifar
@pytest.mark.parametrize("dataset", [CIFAR10, CIFAR100], ids=lambda dataset: dataset.name)
def test_the_real_data_have_the_declared_sizes_statistics_and_classes(dataset: Dataset) -> None:
    import pickle

    root = Path(os.environ["ZOO_DATA"]).expanduser()
    images, labels = dataset.read(root, train=True)
    assert images.shape == (dataset.train_images, 32, 32, 3)
    assert dataset.mean == pytest.approx((images / 255).mean((0, 1, 2)), abs=1e-4)
    assert dataset.std == pytest.approx((images / 255).std((0, 1, 2)), abs=1e-4)
    assert len(dataset.read(root, train=False)[1]) == dataset.test_images
    assert set(labels) == set(range(len(dataset.classes)))
    path = {"cifar10": "cifar-10-batches-py/batches.meta", "cifar100": "cifar-100-python/meta"}[dataset.name]
    names = pickle.loads((root / path).read_bytes(), encoding="latin1")
    assert dataset.classes == tuple(names.get("label_names") or names["fine_label_names"])


@pytest.mark.cifar
def test_a_changed_byte_in_the_real_data_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _no_network(monkeypatch)
    root = Path(os.environ["ZOO_DATA"]).expanduser()
    shutil.copytree(root / "cifar-10-batches-py", tmp_path / "cifar-10-batches-py")
    batch = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    content = bytearray(batch.read_bytes())
    content[1_000_000] ^= 1
    batch.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        CIFAR10.read(tmp_path, train=True)


def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import urllib.request

    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, CLOSED)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)  # which has kept the earlier proxies
