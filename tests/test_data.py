from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from zoo.data import batches, sources
from zoo.data.collection import root_of
from zoo.data.sources import Split
from zoo.datasets import DIGITS
from zoo.errors import DataError
from zoo.spec import Recipe

CPU = torch.device("cpu")
RECIPE = Recipe(epochs=1, crop_padding=4, hflip=0.5)


@pytest.fixture
def split() -> Split:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (50, 32, 32, 3), dtype=torch.uint8, generator=generator)
    return Split(images, torch.randint(10, (50,), generator=generator))


def bordered(split: Split, border: int) -> Split:
    images = nn.functional.pad(split.images, (0, 0, border, border, border, border))
    return dataclasses.replace(split, images=images, margin=2 * border)


def test_a_batch_equals_torchvisions_crops_and_flips(split: Split) -> None:
    drawn = batches.draw(len(split), RECIPE, seed=0, epoch=1)
    images, labels = batches.batch(bordered(split, 4), drawn, torch.arange(10, 40), 4)
    for i in range(30):
        index = int(drawn.order[10 + i])
        image = tv.pad(split.images[index].permute(2, 0, 1), [4])
        image = tv.crop(image, int(drawn.top[10 + i]), int(drawn.left[10 + i]), 32, 32)
        image = tv.horizontal_flip(image) if drawn.flip[10 + i] else image
        assert torch.equal(images[i].permute(2, 0, 1), image)
        assert labels[i] == split.labels[index]
    assert drawn.flip.any()
    assert not drawn.flip.all()


def test_an_epoch_has_every_image_once(split: Split) -> None:
    drawn = batches.draw(len(split), RECIPE, seed=3, epoch=7)
    assert sorted(drawn.order.tolist()) == list(range(50))


def test_draws_depend_on_seed_and_epoch_only() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return batches.draw(1000, RECIPE, seed=seed, epoch=epoch).order.tolist()

    first = order(0, 1)
    torch.rand(1)
    assert order(0, 1) == first
    assert order(0, 2) != first
    assert order(1, 1) != first


def test_offsets_and_flips_are_drawn_uniformly() -> None:
    drawn = batches.draw(90_000, RECIPE, seed=0, epoch=1)
    for offsets in (drawn.top, drawn.left):
        counts = torch.bincount(offsets, minlength=9)
        assert len(counts) == 9
        assert counts.min() > 9_500
        assert counts.max() < 10_500
    assert 0.49 < drawn.flip.float().mean() < 0.51


def test_normalization_equals_torchvision_bit_for_bit(split: Split) -> None:
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    ours = batches.pixels(mean, std, CPU).normalise(split.images)
    theirs = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(list(mean), list(std))])
    assert torch.equal(ours, theirs(split.images.permute(0, 3, 1, 2)))
    assert ours.is_contiguous(memory_format=torch.channels_last)


def test_images_of_a_wrong_shape_are_refused() -> None:
    def wrong(root: Path, *, train: bool) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((3, 8, 8, 1), np.uint8), np.zeros(3, np.int64)

    with pytest.raises(DataError, match=r"expected \(1437, 8, 8, 1\)"):
        sources.read_split(dataclasses.replace(DIGITS, read=wrong), Path(), train=True, device=CPU)


def test_the_data_folder_is_zoo_data_or_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_DATA", "~/here")
    assert root_of() == Path.home() / "here"
    monkeypatch.delenv("ZOO_DATA")
    monkeypatch.delenv("ZOO_CACHE", raising=False)
    assert root_of() == Path.home() / ".cache" / "zoo" / "data"
