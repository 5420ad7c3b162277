"""The calls that timm's validate.py makes, for a model of the zoo and images in class folders."""

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
from zoo_timm.registry import register

NAME = "resnet8_digits"
# The arguments that the script passes to create_model by default.
DEFAULTS: dict[str, Any] = {
    "drop_rate": 0.0, "drop_path_rate": None, "drop_block_rate": None, "global_pool": None, "bn_momentum": None,
    "bn_eps": None, "scriptable": False, "checkpoint_path": "",
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # timm does not close the files of images
def test_timm_evaluates_a_model_on_images(tmp_path: Path) -> None:
    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images[-200:], digits.target[-200:], strict=True)):
        folder = tmp_path / "validation" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15.9375).astype("uint8")).save(folder / f"{number}.png")
    register(NAME)
    net = timm.create_model(NAME, pretrained=True, in_chans=1, num_classes=None, **DEFAULTS).eval()
    assert net.num_classes == 10
    config = resolve_data_config({}, model=net)
    dataset = create_dataset("", root=str(tmp_path), split="validation", input_img_mode="L")
    loader = create_loader(
        dataset,
        batch_size=50,
        num_workers=0,
        device=torch.device("cpu"),
        no_aug=True,
        **{name: config[name] for name in ("input_size", "interpolation", "mean", "std", "crop_pct")},
    )
    with torch.inference_mode():
        top1 = [accuracy(net(images), labels)[0].item() for images, labels in loader]
    assert sum(top1) / len(top1) > 90
