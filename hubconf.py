"""torch.hub's door: every model of the zoo under its name, from a plain checkout, nothing installed.

torch.hub.load("PATH/TO/CHECKOUT", "resnet20_cifar10", source="local", pretrained=True)
torch.hub.load("PATH/TO/CHECKOUT", "load", "PATH/TO/FOLDER", source="local", pretrained=True)  # as zoo.load
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

# torch.hub takes this folder off the path again when it is done; plugins are imported later too.
sys.path.append(str(Path(__file__).resolve().parent))

import zoo

dependencies = ["torch", "safetensors"]


def _entry(name: str) -> Callable[..., nn.Module]:
    def entry(
        pretrained: bool = False,
        *,
        hub: str | None = None,
        revision: str | None = None,
        num_classes: int | None = None,
        in_channels: int | None = None,
        device: str = "cpu",
    ) -> nn.Module:
        return zoo.load(
            name,
            pretrained,
            hub=hub,
            revision=revision,
            num_classes=num_classes,
            in_channels=in_channels,
            device=device,
        )

    entry.__name__ = name
    entry.__doc__ = f"The model {name}; the arguments are those of zoo.load."
    return entry


load = zoo.load  # of any model folder, also on a data set of your own
globals().update({_name: _entry(_name) for _name in (*zoo.list_models(), *zoo.list_models(pretrained=True))})
