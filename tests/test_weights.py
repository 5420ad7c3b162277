from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from zoo import registry
from zoo.nets import weights
from zoo.nets.build import build
from zoo.spec import Architecture, InputSize

MODEL = registry.load("resnet8_digits")


class Tied(nn.Module):
    """One block under three names."""

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


def test_a_tied_tensor_is_stored_once_and_loaded_under_every_name(tmp_path: Path) -> None:
    net = build(TIED, MODEL.dataset)
    net(torch.randn(8, 1, 8, 8))  # changes the running statistics
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
    """Two square layers that share a tensor; the second uses its transpose."""

    def __init__(self, input_size: InputSize, num_classes: int) -> None:
        super().__init__()
        size = math.prod(input_size)
        self.there, self.back = nn.Linear(size, size, bias=False), nn.Linear(size, size, bias=False)
        self.back.weight = nn.Parameter(self.there.weight.t())
        self.fc = nn.Linear(size, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.back(self.there(x.flatten(1))))
        return logits


def test_a_tensor_tied_to_its_transpose_survives_a_round_trip(tmp_path: Path) -> None:
    architecture = Architecture("transposed", Transposed, MODEL.recipes)
    net, path = build(architecture, MODEL.dataset), tmp_path / "model.safetensors"
    path.write_bytes(weights.dump(net, {}))
    loaded, _ = weights.load_file(architecture, MODEL.dataset, path)
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in net.state_dict().items())
    images = torch.randn(4, 1, 8, 8)
    assert torch.equal(loaded(images), net.eval()(images))
