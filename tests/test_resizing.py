"""The resizing of an image to the input of a net, as the record describes it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo import api
from zoo.errors import FolderError
from zoo.hub.resolve import published
from zoo.record import card, store
from zoo.spec import Resizing

from .folders import config_of

CENTER = Resizing(crop_pct=1.0, interpolation="bicubic", crop_mode="center")


@pytest.fixture
def cut(model_folder: Path) -> Path:
    """A model folder with a center crop."""
    return config_of(model_folder, resizing=msgspec.structs.asdict(CENTER))


def picture() -> Image.Image:
    """Black, with a white square in the middle."""
    image = Image.new("L", (24, 8), 0)
    image.paste(255, (8, 0, 16, 8))
    return image


def test_the_resizing_is_in_the_record_and_on_the_card(cut: Path, trained: Path) -> None:
    assert store.read_record(trained).resizing.is_plain
    config = store.read_record(cut)
    assert config.resizing == CENTER
    assert json.loads(store.encode(config))["resizing"] == msgspec.structs.asdict(CENTER)
    model = published(cut)
    text = card.render(model.config, model.log(), model.declared)
    assert "resized to cover 8×8 (bicubic), then cropped to the middle 8×8" in text
    assert "`crop_pct` 1,\n`crop_mode` center" in text


def test_transforms_and_predictions_resize_as_the_record_says(cut: Path, trained: Path, tmp_path: Path) -> None:
    assert zoo.transforms(cut)(picture()).unique().numel() == 1  # only white
    assert zoo.transforms(trained)(picture()).unique().numel() > 1
    picture().save(tmp_path / "wide.png")
    Image.new("L", (8, 8), 255).save(tmp_path / "white.png")
    wide, white = api.predict(cut, [tmp_path / "wide.png", tmp_path / "white.png"])
    assert wide.guesses == white.guesses


@pytest.mark.parametrize(
    "resizing",
    [
        {"crop_pct": 0.0, "interpolation": "bilinear", "crop_mode": "center"},
        {"crop_pct": 1e-9, "interpolation": "bilinear", "crop_mode": "center"},
        {"crop_pct": 1.0, "interpolation": "guess", "crop_mode": "center"},
        {"crop_pct": 1.0, "interpolation": "bilinear", "crop_mode": "somehow"},
    ],
)
def test_an_invalid_resizing_is_refused_in_one_line(model_folder: Path, resizing: dict[str, object]) -> None:
    with pytest.raises(
        FolderError, match=r"is not a valid record: resizing(\.\w+ can't be|: crop_pct should be)"
    ) as why:
        store.read_record(config_of(model_folder, resizing=resizing))
    assert "\n" not in str(why.value)


def test_an_exported_graph_that_cannot_resize_takes_the_input_size_and_records_it(cut: Path, tmp_path: Path) -> None:
    out, config = api.export(cut, to=["pt2"], out=tmp_path / "exported", data=tmp_path / "none")
    assert not config.exports[0].any_size
    metadata: dict[str, str] = {"size": "", "resizing": ""}
    torch.export.load(out / "pt2" / "model.pt2", extra_files=metadata)
    assert metadata["size"] == "8x8"
    assert json.loads(metadata["resizing"]) == msgspec.structs.asdict(CENTER)
    picture().save(tmp_path / "wide.png")
    (by_net,), (by_file,) = (api.predict(out, [tmp_path / "wide.png"], runtime=runtime) for runtime in (None, "pt2"))
    assert np.allclose([g.probability for g in by_net.guesses], [g.probability for g in by_file.guesses], atol=1e-5)
