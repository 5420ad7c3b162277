"""The weights of nets: written to safetensors, loaded strictly."""

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
from zoo.record import store
from zoo.record.types import Record
from zoo.spec import Architecture, Dataset, Model


def dump(net: nn.Module, metadata: Mapping[str, str], *, half: bool = False) -> bytes:
    """The net's state dict as a safetensors file; the same tensors and metadata give the same bytes.

    A tensor that is tied under several names is written once, under the first. With `half`, floating
    point values are stored in fp16.
    """
    state = net.state_dict()
    first = first_names(state)
    state = {name: state[name].detach().cpu().contiguous() for name in dict.fromkeys(first.values())}
    if half:
        state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    content = save_safetensors(state, dict(metadata))
    # The library writes metadata in an order that changes from process to process; its header (8 bytes of
    # length, JSON, spaces up to a multiple of 8) is written again with the keys in order.
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[end:]


def not_finite(net: nn.Module) -> str | None:
    """The first tensor of a net's state that has a value that is not finite; None where there is none."""
    state = net.state_dict()
    return next((name for name, tensor in state.items() if not bool(torch.isfinite(tensor).all())), None)


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names, types, shapes and values of tensors, in the order of their names, whatever file has them.

    The values are hashed as they lie in memory, row by row, little-endian.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().cpu().contiguous()
        kind = str(values.dtype).removeprefix("torch.")
        digest.update(f"{json.dumps(name)} {kind} {list(values.shape)}\n".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def rounded_to_half(net: nn.Module) -> dict[str, Tensor]:
    """The net's state as fp16 would store it, in its own types; infinite where that can't hold a value."""
    state = net.state_dict()
    return {name: tensor.half().to(tensor) if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def load(
    architecture: Architecture,
    path: Path,
    config: Record,
    num_classes: int | None = None,
    in_channels: int | None = None,
) -> nn.Module:
    """The net that `config` speaks of with the weights of its folder `path`, in evaluation mode.

    The hash is checked, then every tensor must be there, and no other, and fit. With another number
    of classes, the tensors whose shapes the architecture makes depend on it keep their initialisation;
    with another number of channels, the convolution that sees them has the weights of its channels
    summed or repeated. Raises FolderError or HashMismatch.
    """
    content = store.read_weights(path, config)
    return filled(architecture, content, path / store.WEIGHTS, config, num_classes, in_channels)


@as_by_default()
def filled(
    architecture: Architecture,
    content: bytes,
    file: Path,
    config: Record,
    num_classes: int | None = None,
    in_channels: int | None = None,
) -> nn.Module:
    """The same from the content of the file `file`, whose hash was checked already; raises FolderError."""
    try:
        tensors = load_safetensors(content)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise FolderError(f"{file} is not a safetensors file ({error}); fetch it again") from None
    net = to_be_filled(architecture, config)
    _require_fit(file, net.state_dict(), tensors)
    require_counted(net, config, file)
    if num_classes is not None or in_channels is not None:
        net = build(architecture, config, num_classes, in_channels)
    if in_channels is not None:
        own = net.state_dict()
        tensors = {name: for_channels(tensor, own[name]) if name in own else tensor for name, tensor in tensors.items()}
    return _filled(net, tensors)


@as_by_default()
def load_file(architecture: Architecture, dataset: Dataset, path: Path) -> tuple[nn.Module, Mapping[str, str]]:
    """A net for a data set with the weights of any safetensors file, in evaluation mode, and the file's metadata.

    Every tensor must be there, and no other, and fit; there is no hash to check. Raises FolderError.
    """
    try:
        content = path.read_bytes()
        tensors = load_safetensors(content)
    except OSError as error:
        raise FolderError(f"{path} can't be read: {error.strerror}") from None
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise FolderError(
            f"{path} is not a safetensors file ({error}); a pickle can run code when it is opened: "
            "write its state dict with safetensors.torch.save_file where you trust it"
        ) from None
    net = to_be_filled(architecture, dataset)
    _require_fit(path, net.state_dict(), tensors)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return _filled(net, tensors), header.get("__metadata__") or {}


def normalisation_of(
    metadata: Mapping[str, str], model: Model, path: Path
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and std that a weights file was trained with, from its metadata; raises FolderError.

    A file that names neither numbers nor a recipe was trained with the data set's own.
    """
    if "mean" in metadata and "std" in metadata:
        try:
            mean, std = (tuple(map(float, json.loads(metadata[name]))) for name in ("mean", "std"))
        except (ValueError, TypeError):
            raise FolderError(f"{path} names a mean or std that is none; evaluate its model folder instead") from None
        return mean, std
    recipe, sha256 = model.recipes.get(metadata.get("recipe", "")), metadata.get("recipe_sha256")
    if sha256 is None or (recipe and sha256 == recipe.sha256()):
        return model.normalisation(recipe)
    raise FolderError(
        f"{path} was trained by another recipe {metadata.get('recipe')!r} than the plugin's, and does not say how its "
        "images were normalised; name its model folder"
    )


def _filled(net: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    """The net with these tensors, where they have the shapes of its own, in evaluation mode."""
    own = net.state_dict()
    first = first_names(own)
    tensors = {name: tensors[first[name]] for name in own}
    fitting = {name: tensor if own[name].shape == tensor.shape else own[name] for name, tensor in tensors.items()}
    net.load_state_dict(fitting, strict=True)
    return net.eval()


def for_channels(kernel: Tensor, own: Tensor) -> Tensor:
    """A convolution's weights [O, I, H, W] for another number of channels, as timm's adapt_input_conv makes them.

    Those of one channel are the sum of all; of more they are repeated in turn, and scaled so that the sum stays about
    what it was. All else is as it was.
    """
    others = (0, *range(2, kernel.ndim))
    if kernel.ndim != 4 or own.ndim != 4 or any(kernel.shape[i] != own.shape[i] for i in others):
        return kernel
    had, wanted = kernel.shape[1], own.shape[1]
    if had == wanted:
        return kernel
    if wanted == 1:
        return kernel.float().sum(dim=1, keepdim=True)
    return kernel.float().repeat(1, -(-wanted // had), 1, 1)[:, :wanted] * (had / wanted)


def first_names(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Every name of a state dict to the first name of the same tensor: a tied tensor has several.

    Its transpose lies in the same memory, and is another: it has other strides.
    """
    seen: dict[object, str] = {}
    return {
        name: seen.setdefault((tensor.data_ptr(), tensor.shape, tensor.stride()) if tensor.numel() else name, name)
        for name, tensor in state.items()
    }


def _stands_for(stored: torch.dtype, own: torch.dtype) -> bool:
    """Whether values of a type may be loaded as those of another: the same, or fp16 for what is computed in fp32."""
    return stored == own or (stored == torch.float16 and own.is_floating_point)


def _require_fit(path: Path, state: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    wanted = {name: state[name] for name in dict.fromkeys(first_names(state).values())}
    problems = [f"lacks {name}" for name in wanted.keys() - found.keys()]
    problems += [f"has {name}, which the net has not" for name in found.keys() - wanted.keys()]
    problems += [
        f"has {name} of shape {tuple(found[name].shape)}, expected {tuple(wanted[name].shape)}"
        for name in wanted.keys() & found.keys()
        if wanted[name].shape != found[name].shape
    ]
    problems += [
        f"has {name} as {found[name].dtype}, expected {wanted[name].dtype}"
        for name in wanted.keys() & found.keys()
        if not _stands_for(found[name].dtype, wanted[name].dtype)
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise FolderError(
            f"{path} does not fit the architecture: it "
            f"{'; '.join(sorted(problems)[:3])}{more}; is the plugin the version that it was trained with?"
        )
