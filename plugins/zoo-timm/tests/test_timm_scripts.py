"""What timm's train.py, validate.py and inference.py call, of a model of the zoo and pictures in class folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from PIL import Image
from sklearn.datasets import load_digits
from timm.data import create_dataset, create_loader, resolve_data_config
from timm.utils import accuracy
from torch import nn
from zoo_timm.registry import register

# timm leaves closing the pictures' files to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

NAME = "resnet8_digits"
# What the script gives to the factory where nothing is asked for.
UNASKED: dict[str, Any] = {
    "drop_rate": 0.0, "drop_path_rate": None, "drop_block_rate": None, "global_pool": None, "bn_momentum": None,
    "bn_eps": None, "scriptable": False, "checkpoint_path": "",
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def registered() -> None:
    register(NAME)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hundred digits as PNG, in a folder a class."""
    root = tmp_path_factory.mktemp("pictures")
    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images[-200:], digits.target[-200:], strict=True)):
        folder = root / "validation" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15.9375).astype("uint8")).save(folder / f"{number}.png")
    return root


def loader(net: nn.Module, pictures: Path, *, is_training: bool = False) -> Any:
    config = resolve_data_config({}, model=net)
    dataset = create_dataset("", root=str(pictures), split="validation", input_img_mode="L")
    return create_loader(
        dataset,
        input_size=config["input_size"],
        batch_size=50,
        is_training=is_training,
        no_aug=True,
        interpolation=config["interpolation"],
        mean=config["mean"],
        std=config["std"],
        crop_pct=config["crop_pct"],
        num_workers=0,
        device=torch.device("cpu"),
    )


def top1(net: nn.Module, pictures: Path) -> float:
    net.eval()
    with torch.inference_mode():
        found: list[float] = [accuracy(net(images), labels)[0].item() for images, labels in loader(net, pictures)]
    return sum(found) / len(found)


def test_what_timm_makes_of_pictures_is_what_the_net_was_trained_on(pictures: Path) -> None:
    net = timm.create_model(NAME, pretrained=True, in_chans=1, num_classes=None, **UNASKED)
    assert net.num_classes == 10
    assert top1(net, pictures) > 90
