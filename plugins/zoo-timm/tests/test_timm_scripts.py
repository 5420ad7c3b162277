"""What timm's train.py, validate.py and inference.py call, of a model of the zoo and pictures in class folders."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from PIL import Image
from sklearn.datasets import load_digits
from timm.data import CustomDatasetInfo, DatasetInfoLabelMapper, create_dataset, create_loader, resolve_data_config
from timm.models import load_checkpoint
from timm.optim import create_optimizer_v2
from timm.utils import CheckpointSaver, ModelEmaV3, accuracy
from torch import nn
from torch.nn import functional as F
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


def test_a_net_is_trained_saved_averaged_and_loaded_by_timms_own(pictures: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = timm.create_model(NAME, in_chans=1, num_classes=10, **UNASKED)
    net.set_grad_checkpointing(enable=True)
    average = ModelEmaV3(net, decay=0.9)
    optimizer = create_optimizer_v2(net, opt="adamw", lr=0.01, weight_decay=0.05, layer_decay=0.7)
    assert len({group["lr_scale"] for group in optimizer.param_groups}) > 2
    saver = CheckpointSaver(
        net, optimizer, args=Namespace(model=NAME), model_ema=average, checkpoint_dir=str(tmp_path), max_history=1
    )
    losses: list[float] = []
    for epoch in range(2):
        net.train()
        for images, labels in loader(net, pictures, is_training=True):
            loss = F.cross_entropy(net(images), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            average.update(net)
            losses.append(loss.item())
        saver.save_checkpoint(epoch, metric=float(epoch))
    assert losses[-1] < losses[0]
    net.eval()
    for use_ema, its in ((False, net), (True, average.module)):
        other = timm.create_model(NAME, in_chans=1)
        load_checkpoint(other, str(tmp_path / "last.pth.tar"), use_ema=use_ema)
        assert all(torch.equal(tensor, its.state_dict()[name]) for name, tensor in other.state_dict().items())
    started = timm.create_model(NAME, in_chans=1, **{**UNASKED, "checkpoint_path": str(tmp_path / "last.pth.tar")})
    assert all(torch.equal(tensor, average.module.state_dict()[name]) for name, tensor in started.state_dict().items())


def test_what_a_net_sees_has_its_classes_names() -> None:
    cfg = timm.create_model(NAME).pretrained_cfg
    label = DatasetInfoLabelMapper(CustomDatasetInfo(label_names=cfg["label_names"]), label_type="name")
    assert [label(index) for index in range(10)] == list(cfg["label_names"])
