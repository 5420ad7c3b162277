"""Nets and their weights: built, written to safetensors, loaded strictly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from zoo import folder
from zoo.errors import FolderError
from zoo.folder import Config
from zoo.spec import Model


def build(model: Model, num_classes: int | None = None, in_channels: int | None = None) -> nn.Module:
    """The untrained net of a model, in training mode; for other classes or channels where they are given."""
    return model.build(
        in_channels=in_channels or model.dataset.input_size[0],
        num_classes=num_classes or len(model.dataset.classes),
    )


def dump(net: nn.Module, metadata: Mapping[str, str]) -> bytes:
    """The net's state dict as a safetensors file; the same tensors and metadata give the same bytes."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    content = save_safetensors(state, dict(metadata))
    # The library writes metadata in an order that changes from process to process; its header (8 bytes of
    # length, JSON, spaces up to a multiple of 8) is written again with the keys in order.
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[end:]


def load(
    model: Model,
    path: Path,
    config: Config,
    num_classes: int | None = None,
    in_channels: int | None = None,
) -> nn.Module:
    """The net of a model with the weights of the folder `path`, in evaluation mode.

    The hash is checked, then every tensor must be there, and no other, and fit. With another number
    of classes or channels, the tensors whose shapes the architecture makes depend on it keep their
    initialisation. Raises FolderError or HashMismatch.
    """
    content = folder.read_weights(path, config)
    try:
        tensors = load_safetensors(content)
    except SafetensorError as error:
        raise FolderError(f"{path / folder.WEIGHTS} is not a safetensors file ({error}); fetch it again") from None
    net = build(model)
    wanted = net.state_dict()
    _require_fit(path, wanted, tensors)
    if num_classes or in_channels:
        net = build(model, num_classes, in_channels)
        own = net.state_dict()
        tensors = {name: tensor if own[name].shape == tensor.shape else own[name] for name, tensor in tensors.items()}
    net.load_state_dict(tensors, strict=True)
    return net.eval()


def _require_fit(path: Path, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    problems = [f"lacks {name}" for name in wanted.keys() - found.keys()]
    problems += [f"has {name}, which the net has not" for name in found.keys() - wanted.keys()]
    problems += [
        f"has {name} of shape {tuple(found[name].shape)}, expected {tuple(wanted[name].shape)}"
        for name in wanted.keys() & found.keys()
        if wanted[name].shape != found[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise FolderError(
            f"{path / folder.WEIGHTS} does not fit the architecture: it "
            f"{'; '.join(sorted(problems)[:3])}{more}; is the plugin the version that it was trained with?"
        )
