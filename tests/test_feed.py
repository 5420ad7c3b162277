"""Batches are the same from images in memory, on disk and on the device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from zoo import api
from zoo.data import batches, sources
from zoo.data.collection import DatasetRequest
from zoo.data.prepared import open_dataset
from zoo.data.sources import Split
from zoo.errors import DataError, Interrupted
from zoo.spec import Recipe
from zoo.training.reporting import Report

from .images import flowers
from .test_train import StopAfter

pytestmark = pytest.mark.filterwarnings("ignore::zoo.errors.DataWarning")

CPU = torch.device("cpu")
PIXELS = batches.pixels((0.5, 0.4, 0.3), (0.2, 0.3, 0.4), CPU)
RECIPE = Recipe(epochs=2, batch_size=16, crop_padding=2, hflip=0.5)
AUGMENTED = {"scale": "[0.5, 1.0]", "rand_augment": "1"}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def mapped(tmp_path: Path) -> Split:
    numbers = np.random.default_rng(0)
    np.save(tmp_path / "images.npy", numbers.integers(0, 256, (50, 12, 10, 3), dtype=np.uint8))
    images = sources.as_mapped_tensor(np.load(tmp_path / "images.npy", mmap_mode="r"))
    return Split(images, torch.arange(50) % 7, is_mapped=True)


@pytest.fixture
def resident(mapped: Split) -> Split:
    """The same images in memory, with a border of two pixels."""
    return Split(nn.functional.pad(mapped.images, (0, 0, 2, 2, 2, 2)), mapped.labels, margin=4)


def two_epochs(split: Split, world: int, kind: type[batches.Feed]) -> list[torch.Tensor]:
    """The images and labels of all batches, split among `world` processes, from a feed of that kind."""
    fresh = [batches.draw(len(split), RECIPE, seed=0, epoch=epoch) for epoch in (1, 2)]
    drawn = [fresh[0].to(CPU) for _ in range(world)]
    feeds = [batches.feed(split, drawn[rank], PIXELS, RECIPE, rank=rank, world=world) for rank in range(world)]
    assert all(isinstance(feed, kind) for feed in feeds)
    tensors: list[torch.Tensor] = []
    for epoch in fresh:
        for rank in range(world):
            batches.redraw(drawn[rank], epoch)
            feeds[rank].begin(epoch)
        for start in range(0, len(split), RECIPE.batch_size):
            end = min(start + RECIPE.batch_size, len(split))
            for rank in range(world):
                feeds[rank].load(start, end)
                tensors += feeds[rank].at(torch.arange(start + rank, end, world))
    return tensors


@pytest.mark.parametrize("world", [1, 2])
def test_batches_from_disk_equal_batches_from_memory(mapped: Split, resident: Split, world: int) -> None:
    expected = two_epochs(resident, world, batches.Batches)
    actual = two_epochs(mapped, world, batches.BufferedBatches)
    assert len(actual) == len(expected) == 2 * 2 * 4 * world
    assert all(map(torch.equal, expected, actual))


@pytest.mark.parametrize("world", [1, 2])
def test_cropping_a_whole_epoch_at_once_gives_the_same_batches(
    resident: Split, world: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_runs_eagerly_on_cpu", lambda images: False)  # as on a GPU
    cropped = two_epochs(resident, world, batches.CroppedEpoch)
    monkeypatch.setattr(batches, "CROPPED_AT_ONCE", resident.images.nbytes - 1)
    assert all(map(torch.equal, cropped, two_epochs(resident, world, batches.Batches)))


def train(
    folder: Path, out: Path, settings: dict[str, str], *, resume: bool = False, report: Report | None = None
) -> str:
    """Train two epochs on a folder of images; returns the hash of the weights."""
    settings = {"batch_size": "10"} | settings
    done = api.train(
        "resnet8", dataset=f"folder:{folder}", epochs=2, settings=settings, out=out, compile="none", resume=resume,
        report=report,
    )  # fmt: skip
    return done.config.weights.sha256


@pytest.mark.parametrize("settings", [{}, AUGMENTED | {"crop_padding": "1"}], ids=["plain", "augmented"])
def test_a_training_from_disk_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    folder = flowers(tmp_path / "flowers")
    resident = train(folder, tmp_path / "resident", settings)
    monkeypatch.setenv("ZOO_DATA_MEMORY", "0")
    assert train(folder, tmp_path / "mapped", settings) == resident


@pytest.mark.usefixtures("report_every_step")
def test_a_training_from_disk_is_resumed_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_DATA_MEMORY", "0")
    folder = flowers(tmp_path / "flowers")
    with pytest.raises(Interrupted):
        train(folder, tmp_path / "stopped", AUGMENTED, report=StopAfter(6))  # in the second epoch
    resumed = train(folder, tmp_path / "stopped", AUGMENTED, resume=True)
    assert resumed == train(folder, tmp_path / "whole", AUGMENTED)


def test_images_above_the_memory_limit_stay_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = flowers(tmp_path / "flowers")
    dataset = open_dataset(DatasetRequest(f"folder:{folder}"), Recipe(epochs=1), Path(), lambda *_: None)
    size = 36 * 16 * 16 * 3
    for limit in (size, size - 1):
        monkeypatch.setenv("ZOO_DATA_MEMORY", str(limit))
        assert sources.read_split(dataset, Path(), train=True, device=CPU).is_mapped == (limit < size)
    monkeypatch.setenv("ZOO_DATA_MEMORY", "much")
    with pytest.raises(DataError, match="ZOO_DATA_MEMORY should be a number of bytes, not 'much'"):
        sources.read_split(dataset, Path(), train=True, device=CPU)
