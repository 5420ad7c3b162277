"""Save and load the weights of nets as safetensors files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from zoo.errors import FolderError
from zoo.nets.build import build, require_counted, to_be_filled
from zoo.nets.device import as_by_default
from zoo.record.types import Record, Trained
from zoo.spec import Architecture, Dataset, Model


def dump(net: nn.Module, metadata: Mapping[str, str], *, half: bool = False) -> bytes:
    """Serialize a net's state dict as a safetensors file.

    Args:
        net: The net. A tied tensor, which has several names, is written once, under the first.
        metadata: The metadata of the file.
        half: Whether to write floating point tensors in fp16.

    Returns:
        The bytes of the file; the same for the same weights and metadata.
    """
    state = net.state_dict()
    first = first_names(state)
    state = {name: state[name].detach().cpu().contiguous() for name in dict.fromkeys(first.values())}
    if half:
        state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    content = save_safetensors(state, dict(metadata))
    # The library writes metadata in an order that varies between processes. So the header (8 bytes of length, JSON,
    # spaces up to a multiple of 8) is rewritten with sorted keys.
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[end:]


def not_finite(net: nn.Module) -> str | None:
    """The name of the first tensor with a value that is not finite; None if all values are finite."""
    state = net.state_dict()
    return next((name for name, tensor in state.items() if not bool(torch.isfinite(tensor).all())), None)


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names, types, shapes and values (row by row, little-endian) of tensors, sorted by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().cpu().contiguous()
        kind = str(values.dtype).removeprefix("torch.")
        digest.update(f"{json.dumps(name)} {kind} {list(values.shape)}\n".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def rounded_to_half(net: nn.Module) -> dict[str, Tensor]:
    """The net's state dict rounded to fp16 but in the net's types; values beyond fp16's range become infinite."""
    state = net.state_dict()
    return {name: tensor.half().to(tensor) if tensor.is_floating_point() else tensor for name, tensor in state.items()}


@as_by_default()
def filled(
    architecture: Architecture,
    content: bytes,
    file: Path,
    config: Record,
    num_classes: int | None = None,
    in_channels: int | None = None,
) -> nn.Module:
    """Build the net of a record, and load the weights of its file.

    Args:
        architecture: The architecture of the net.
        content: The bytes of the safetensors file; names, shapes and types of its tensors must match the net.
        file: The path of the file in error messages.
        config: The record.
        num_classes: Another number of classes; tensors with other shapes then keep their initialization.
        in_channels: Another number of channels; the first convolution's weights are then summed or repeated.

    Returns:
        The net in evaluation mode.

    Raises:
        FolderError: The file is no safetensors file, or does not fit the net.
        BuildError: The number of classes or channels is impossible.
    """
    tensors = _tensors(content, file, "fetch it again")
    net = to_be_filled(architecture, config)
    _require_fit(file, net.state_dict(), tensors, halves=not isinstance(config, Trained) or config.job.dtype == "fp16")
    require_counted(net, config, file)
    if num_classes is not None or in_channels is not None:
        net = build(architecture, config, num_classes, in_channels)
    if in_channels is not None:
        own = net.state_dict()
        tensors = {name: for_channels(tensor, own[name]) if name in own else tensor for name, tensor in tensors.items()}
    return _filled(net, tensors)


@as_by_default()
def load_file(architecture: Architecture, dataset: Dataset, path: Path) -> tuple[nn.Module, Mapping[str, str]]:
    """Build a net for a dataset, and load the weights of a safetensors file.

    Args:
        architecture: The architecture of the net.
        dataset: The dataset that gives the size of the images and the classes.
        path: The file; names and shapes of its tensors must match the net.

    Returns:
        The net in evaluation mode, and the metadata of the file.

    Raises:
        FolderError: The file can't be read, or does not fit the net.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FolderError(f"{path} can't be read: {error.strerror}") from None
    remedy = (
        "a pickle can run code when it is opened; if you trust it, load it and save its state dict with "
        "safetensors.torch.save_file"
    )
    tensors = _tensors(content, path, remedy)
    net = to_be_filled(architecture, dataset)
    _require_fit(path, net.state_dict(), tensors, halves=True)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return _filled(net, tensors), header.get("__metadata__") or {}


def normalisation_of(
    metadata: Mapping[str, str], model: Model, path: Path
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and std that weights were trained with, from the metadata of their file or else the dataset.

    Raises FolderError if the metadata are invalid, or name a recipe that the model's plugin does not have.
    """
    if "mean" in metadata and "std" in metadata:
        try:
            mean, std = (tuple(map(float, json.loads(metadata[name]))) for name in ("mean", "std"))
        except (ValueError, TypeError):
            raise FolderError(f"{path} has an invalid mean or std in its metadata; name its model folder") from None
        return mean, std
    recipe, sha256 = model.recipes.get(metadata.get("recipe", "")), metadata.get("recipe_sha256")
    if sha256 is None or (recipe and sha256 == recipe.sha256()):
        return model.normalisation(recipe)
    raise FolderError(
        f"{path} was trained by a recipe {metadata.get('recipe')!r} that differs from the plugin's, and has no mean "
        "and std in its metadata; name its model folder"
    )


def _tensors(content: bytes, path: Path, remedy: str) -> dict[str, Tensor]:
    try:
        return load_safetensors(content)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise FolderError(f"{path} is not a safetensors file ({error}); {remedy}") from None


def _filled(net: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Load the tensors with matching shapes into a net; returns it in evaluation mode."""
    own = net.state_dict()
    first = first_names(own)
    tensors = {name: tensors[first[name]] for name in own}
    fitting = {name: tensor if own[name].shape == tensor.shape else own[name] for name, tensor in tensors.items()}
    net.load_state_dict(fitting, strict=True)
    return net.eval()


def for_channels(kernel: Tensor, own: Tensor) -> Tensor:
    """Adapt the weights of a convolution [O, I, H, W] to another number of channels, as timm's adapt_input_conv does.

    For a single channel they are summed. For more channels they are repeated, and scaled to keep the sum. A tensor
    that is no such kernel is returned unchanged.
    """
    if kernel.ndim != 4 or own.ndim != 4 or kernel[:, :0].shape != own[:, :0].shape or kernel.shape == own.shape:
        return kernel
    had, wanted = kernel.shape[1], own.shape[1]
    if wanted == 1:
        return kernel.float().sum(dim=1, keepdim=True)
    return kernel.float().repeat(1, -(-wanted // had), 1, 1)[:, :wanted] * (had / wanted)


def first_names(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Map each name of a state dict to the first name of the same tensor; a tied tensor has several names.

    A transposed view shares memory but has other strides, and counts as another tensor.
    """
    seen: dict[object, str] = {}
    return {
        name: seen.setdefault((tensor.data_ptr(), tensor.shape, tensor.stride()) if tensor.numel() else name, name)
        for name, tensor in state.items()
    }


def _require_fit(path: Path, state: Mapping[str, Tensor], stored: Mapping[str, Tensor], *, halves: bool) -> None:
    """Raise FolderError if stored tensors do not match a state dict; with `halves`, floats may be stored in fp16."""
    wanted = {name: state[name] for name in dict.fromkeys(first_names(state).values())}
    problems = [f"lacks {name}" for name in wanted.keys() - stored.keys()]
    problems += [f"has {name}, which is not in the net" for name in stored.keys() - wanted.keys()]
    for name in wanted.keys() & stored.keys():
        own, given = wanted[name], stored[name]
        if own.shape != given.shape:
            problems.append(f"has {name} of shape {tuple(given.shape)}, expected {tuple(own.shape)}")
        stands_for = halves and given.dtype == torch.float16 and own.is_floating_point()
        if own.dtype != given.dtype and not stands_for:
            problems.append(f"has {name} as {given.dtype}, expected {own.dtype}")
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise FolderError(
            f"{path} does not fit the architecture: it "
            f"{'; '.join(sorted(problems)[:3])}{more}; install the version of the plugin that it was trained with"
        )
