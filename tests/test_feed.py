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
SMALL = {"batch_size": "10"}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def mapped(tmp_path: Path) -> Split:
    numbers = np.random.default_rng(0)
    np.save(tmp_path / "images.npy", numbers.integers(0, 256, (50, 12, 10, 3), dtype=np.uint8))
    images = sources._mapped(np.load(tmp_path / "images.npy", mmap_mode="r"))
    return Split(images, torch.arange(50) % 7, is_mapped=True)


def epoch(split: Split, recipe: Recipe, *, world: int = 1, seeds: tuple[int, ...] = (1,)) -> list[torch.Tensor]:
    """The images and labels of all batches of some epochs, split among `world` processes."""
    first = batches.draw(len(split), recipe, seed=0, epoch=seeds[0], sides=(12, 10))
    drawn = [first.to(CPU) for _ in range(world)]
    feeds = [batches.feed(split, drawn[rank], PIXELS, recipe, rank=rank, world=world) for rank in range(world)]
    tensors: list[torch.Tensor] = []
    for seed in seeds:
        fresh = batches.draw(len(split), recipe, seed=0, epoch=seed, sides=(12, 10))
        for rank in range(world):
            batches.redraw(drawn[rank], fresh)
            feeds[rank].begin(fresh)
        for start in range(0, len(split), recipe.batch_size):
            end = min(start + recipe.batch_size, len(split))
            for rank in range(world):
                feeds[rank].load(start, end)
                tensors += feeds[rank].at(torch.arange(start + rank, end, world))
    return tensors


def feed_of(split: Split, recipe: Recipe) -> batches.Feed:
    """The feed of one process in the first epoch."""
    return batches.feed(split, batches.draw(len(split), recipe, seed=0, epoch=1), PIXELS, recipe, rank=0, world=1)


@pytest.mark.parametrize("world", [1, 2])
def test_batches_from_disk_equal_batches_from_memory(mapped: Split, world: int) -> None:
    recipe = Recipe(epochs=2, batch_size=16, crop_padding=2, hflip=0.5)
    resident = Split(nn.functional.pad(mapped.images, (0, 0, 2, 2, 2, 2)), mapped.labels, margin=4)
    assert isinstance(feed_of(resident, recipe), batches.Batches)
    expected, actual = (epoch(split, recipe, world=world, seeds=(1, 2)) for split in (resident, mapped))
    assert len(actual) == len(expected) == 2 * 2 * 4 * world
    assert all(map(torch.equal, expected, actual))


@pytest.mark.parametrize("world", [1, 2])
def test_cropping_a_whole_epoch_at_once_gives_the_same_batches(
    mapped: Split, world: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(epochs=2, batch_size=16, crop_padding=2, hflip=0.5)
    resident = Split(nn.functional.pad(mapped.images, (0, 0, 2, 2, 2, 2)), mapped.labels, margin=4)
    monkeypatch.setattr(batches, "_runs_eagerly_on_cpu", lambda images: False)  # as on a GPU
    assert isinstance(feed_of(resident, recipe), batches.CroppedEpoch)
    cropped = epoch(resident, recipe, world=world, seeds=(1, 2))
    monkeypatch.setattr(batches, "CROPPED_AT_ONCE", resident.images.nbytes - 1)
    assert isinstance(feed_of(resident, recipe), batches.Batches)
    assert all(map(torch.equal, cropped, epoch(resident, recipe, world=world, seeds=(1, 2))))


def train(
    folder: Path, out: Path, settings: dict[str, str], *, resume: bool = False, report: Report | None = None
) -> str:
    """Train two epochs on a folder of images; returns the hash of the weights."""
    dataset, settings = f"folder:{folder}", SMALL | settings
    done = api.train(
        "resnet8", dataset=dataset, epochs=2, settings=settings, out=out, compile="none", resume=resume, report=report
    )
    return done.config.weights.sha256


@pytest.mark.parametrize(
    "settings", [{}, {"scale": "[0.5, 1.0]", "rand_augment": "1", "crop_padding": "1"}], ids=["plain", "augmented"]
)
def test_a_training_from_disk_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    folder = flowers(tmp_path / "flowers")
    resident = train(folder, tmp_path / "resident", settings)
    monkeypatch.setenv("ZOO_DATA_MEMORY", "0")
    assert train(folder, tmp_path / "mapped", settings) == resident


def test_a_training_from_disk_is_resumed_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.training.loop.REPORT_SECONDS", 0.0)
    monkeypatch.setenv("ZOO_DATA_MEMORY", "0")
    folder, settings = flowers(tmp_path / "flowers"), {"scale": "[0.5, 1.0]", "rand_augment": "1"}
    with pytest.raises(Interrupted):
        train(folder, tmp_path / "stopped", settings, report=StopAfter(6))  # in the second epoch
    resumed = train(folder, tmp_path / "stopped", settings, resume=True)
    assert resumed == train(folder, tmp_path / "whole", settings)


def test_images_above_the_memory_limit_stay_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = flowers(tmp_path / "flowers")
    dataset = open_dataset(DatasetRequest(f"folder:{folder}"), Recipe(epochs=1), Path(), lambda *_: None)
    monkeypatch.setenv("ZOO_DATA_MEMORY", str(36 * 16 * 16 * 3))
    assert not sources.read_split(dataset, Path(), train=True, device=CPU).is_mapped
    monkeypatch.setenv("ZOO_DATA_MEMORY", str(36 * 16 * 16 * 3 - 1))
    assert sources.read_split(dataset, Path(), train=True, device=CPU).is_mapped
    monkeypatch.setenv("ZOO_DATA_MEMORY", "much")
    with pytest.raises(DataError, match="ZOO_DATA_MEMORY should be a number of bytes, not 'much'"):
        sources.read_split(dataset, Path(), train=True, device=CPU)
