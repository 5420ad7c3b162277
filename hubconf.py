"""Entry points of torch.hub: every model of the zoo under its name, from a plain checkout, nothing installed.

torch.hub.load("PATH/TO/CHECKOUT", "resnet20_cifar10", source="local", pretrained=True)
torch.hub.load("PATH/TO/CHECKOUT", "load", "PATH/TO/FOLDER", source="local", pretrained=True)  # as zoo.load

Whatever stands here by a name without an underscore and can be called is a model to torch.hub.list.
"""

from __future__ import annotations

import sys as _sys
from collections.abc import Callable as _Callable
from pathlib import Path as _Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

_checkout = _Path(__file__).resolve().parent
# torch.hub puts this folder before the path and takes it off again when it is done; plugins are imported later too.
if str(_checkout) not in _sys.path[1:]:
    _sys.path.append(str(_checkout))

import zoo  # noqa: E402 - from this folder

_own = _Path(zoo.__file__).resolve().parent.parent
if _own != _checkout:
    raise ImportError(
        f"this process runs the zoo of {_own} already, and can't run that of {_checkout} too; "
        "load that in another process"
    )

dependencies = ["torch", "safetensors", "msgspec"]


def _entry(name: str) -> _Callable[..., nn.Module]:
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


load = zoo.load  # of any model folder, also on a dataset of your own
globals().update({_name: _entry(_name) for _name in (*zoo.list_models(), *zoo.list_models(pretrained=True))})
