from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import zoo
from zoo import registry
from zoo.errors import FolderError
from zoo.nets import weights
from zoo.nets.build import build
from zoo.record import store
from zoo.spec import Architecture, InputSize

MODEL = registry.load("resnet8_digits")


class Tied(nn.Module):
    """The same block under three names, as `nn.Sequential` of one module gives it."""

    def __init__(self, input_size: InputSize, num_classes: int) -> None:
        super().__init__()
        in_channels = input_size[0]
        block = nn.Sequential(nn.Conv2d(in_channels, in_channels, 3, padding=1), nn.BatchNorm2d(in_channels))
        self.blocks = nn.Sequential(block, block, block)
        self.fc = nn.Linear(in_channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.blocks(x).mean(dim=(2, 3)))
        return logits


TIED = Architecture("tied", Tied, MODEL.recipes)


def test_the_same_tensors_and_metadata_give_the_same_bytes() -> None:
    net = build(MODEL.architecture, MODEL.dataset)
    assert weights.dump(net, {"b": "1", "a": "2"}) == weights.dump(net, {"a": "2", "b": "1"})


def test_a_tied_tensor_is_written_once_and_every_name_of_it_is_filled(tmp_path: Path) -> None:
    net = build(TIED, MODEL.dataset)
    net(torch.randn(8, 1, 8, 8))  # the running statistics are no longer at their start
    path = tmp_path / "model.safetensors"
    path.write_bytes(weights.dump(net, {}))
    assert {name.split(".")[1] for name in load_file(path) if name.startswith("blocks")} == {"0"}

    loaded, _ = weights.load_file(TIED, MODEL.dataset, path)
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in net.state_dict().items())
    blocks = loaded.get_submodule("blocks")
    assert isinstance(blocks, nn.Sequential)
    assert blocks[0] is blocks[2]
    images = torch.randn(4, 1, 8, 8)
    assert torch.equal(loaded(images), net.eval()(images))


class Transposed(nn.Module):
    """Two square layers over one tensor, which the second reads across."""

    def __init__(self, input_size: InputSize, num_classes: int) -> None:
        super().__init__()
        size = math.prod(input_size)
        self.there, self.back = nn.Linear(size, size, bias=False), nn.Linear(size, size, bias=False)
        self.back.weight = nn.Parameter(self.there.weight.t())
        self.fc = nn.Linear(size, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.back(self.there(x.flatten(1))))
        return logits


def test_a_tensor_that_is_tied_to_its_transpose_comes_back_as_it_was(tmp_path: Path) -> None:
    architecture = Architecture("transposed", Transposed, MODEL.recipes)
    net, path = build(architecture, MODEL.dataset), tmp_path / "model.safetensors"
    path.write_bytes(weights.dump(net, {}))
    loaded, _ = weights.load_file(architecture, MODEL.dataset, path)
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in net.state_dict().items())
    images = torch.randn(4, 1, 8, 8)
    assert torch.equal(loaded(images), net.eval()(images))


def test_a_file_gives_the_net_and_what_it_says_of_itself(trained: Path) -> None:
    net, metadata = weights.load_file(MODEL.architecture, MODEL.dataset, trained / store.WEIGHTS)
    assert not net.training
    assert (metadata["name"], metadata["recipe"]) == ("resnet8_digits", "quick")


def test_a_file_of_another_net_is_refused_by_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(weights.dump(build(TIED, MODEL.dataset), {}))
    with pytest.raises(FolderError, match="does not fit the architecture"):
        weights.load_file(MODEL.architecture, MODEL.dataset, path)


@pytest.mark.parametrize("write", [torch.save, lambda state, path: Path(path).write_text(json.dumps(list(state)))])
def test_a_pickle_or_anything_else_is_refused_with_the_way_out(tmp_path: Path, write: object) -> None:
    path = tmp_path / "model.pth"
    write(build(MODEL.architecture, MODEL.dataset).state_dict(), path)  # type: ignore[operator]
    with pytest.raises(FolderError, match=r"is not a safetensors file.*safetensors\.torch\.save_file"):
        weights.load_file(MODEL.architecture, MODEL.dataset, path)


def test_a_single_channel_gets_the_sum_of_a_pretrained_stem() -> None:
    wanted = zoo.load("resnet20_cifar10", pretrained=True).state_dict()["conv1.weight"]
    found = zoo.load("resnet20_cifar10", pretrained=True, in_channels=1).state_dict()["conv1.weight"]
    assert torch.equal(found, wanted.sum(dim=1, keepdim=True))


def test_more_channels_get_those_of_a_pretrained_stem_in_turn_scaled_to_their_number() -> None:
    wanted = zoo.load("resnet20_cifar10", pretrained=True).state_dict()["conv1.weight"]
    found = zoo.load("resnet20_cifar10", pretrained=True, in_channels=7).state_dict()["conv1.weight"]
    assert torch.equal(found, wanted[:, [0, 1, 2, 0, 1, 2, 0]] * (3 / 7))


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="can't be read: No such file"):
        weights.load_file(MODEL.architecture, MODEL.dataset, tmp_path / "none.safetensors")
