"""Read weights of other libraries without running their code, and rename their tensors to the names of a net."""

from __future__ import annotations

import argparse
import io
import pathlib
import pickletools
import re
import threading
import warnings
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from zoo.errors import WeightsError
from zoo.nets.weights import first_names
from zoo.spec import Renaming

# Keys of the state dict in a training checkpoint. The averaged net is used only if there is no other.
KEYS = ("state_dict", "model_state_dict", "model", "net")
AVERAGED = ("state_dict_ema", "model_ema")
DEEPEST = 4  # levels of nested dictionaries
PREFIXES = ("module.", "model.", "net.", "_orig_mod.")  # of DataParallel, Lightning, torch.compile and others
HEADER_BYTES = 100_000_000  # the limit of the safetensors format
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
LOADING = threading.Lock()
AVERAGES = "n_averaged"  # the counter of torch.optim.swa_utils.AveragedModel; its net has the prefix `module.`
# Harmless types that checkpoints contain besides tensors: options, best accuracies, paths.
HARMLESS = (
    argparse.Namespace,
    np.dtype,
    np._core.multiarray.scalar,  # type: ignore[attr-defined]  # numpy 2's name
    (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),  # type: ignore[attr-defined]  # numpy 1's name
    np.dtypes.Float64DType,
    np.dtypes.Float32DType,
    np.dtypes.Int64DType,
    np.dtypes.Int32DType,
    np.dtypes.BoolDType,
    pathlib.Path,
    pathlib.PosixPath,
    pathlib.PurePosixPath,
)
COUNTER = "num_batches_tracked"  # missing in files from before 2018; evaluation does not use it


Rule = tuple[str, str]  # a regular expression and its replacement, as `re.sub` takes them


@dataclass(frozen=True, eq=False)
class Fitted:
    """A state dict for a net, and a line that says how the names were changed."""

    state_dict: Mapping[str, Tensor]
    how: str


def read(content: bytes, name: str) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file or a torch checkpoint, without running code of the file.

    Args:
        content: The bytes of the file.
        name: The name of the file in error messages.

    Returns:
        The tensors by name, on the CPU. Prefixes that all names share, such as `module.`, are removed.

    Raises:
        WeightsError: The file is damaged, has no state dict or several, or is a pickle that would run code.
    """
    if content[8:9] == b"{" and int.from_bytes(content[:8], "little") <= HEADER_BYTES:
        try:
            tensors = load_safetensors(content)
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            reason = (str(error).splitlines() or [""])[0][:120]
            raise WeightsError(f"{name} is cut off or damaged ({reason}); fetch it again") from None
    elif no_weights := _no_weights(content):
        raise WeightsError(f"{name} {no_weights}")
    else:
        tensors = _state_dict(_unpickled(content, name), name)
    return _without_prefixes(_dense(tensors, name))


def fitted(
    net: nn.Module, tensors: Mapping[str, Tensor], renamings: Iterable[Renaming], rename: Sequence[Rule] = ()
) -> Fitted:
    """Convert tensors to a state dict that the net can load strictly. The net itself is not changed.

    Args:
        net: The net that the tensors are for.
        tensors: Tensors by name, as `read` returns them.
        renamings: Name translations to try, after the names as they are.
        rename: Rules that change the names first, in order.

    Returns:
        The state dict, with floating point values in the net's types.

    Raises:
        WeightsError: The tensors do not fit the net; the message has the first difference in the order of the net.
    """
    own = net.state_dict()
    names, changes = _renamed(list(_without_prefixes(tensors)), rename)
    if duplicate := next((name for name in names if names.count(name) > 1), None):
        raise WeightsError(f"rename gives the name {duplicate} to several tensors; make its patterns more specific")
    tensors = dict(zip(names, tensors.values(), strict=True))
    tensors = {_prefix(own) + name: tensor for name, tensor in _without_prefixes(tensors).items()}
    given = f"renamed: {', '.join(changes)}" if changes else ""
    attempts = [(given or "the net's own names", tensors)]
    for renaming in renamings:
        how, translated = _translated(tensors, renaming)
        attempts.append((f"{given}; {how}" if given else how, translated))
    for how, candidate in attempts:
        if _difference(own, candidate) is None:
            return Fitted(_cast(own, candidate), how)
    closest = max((candidate for _, candidate in attempts), key=lambda candidate: len(candidate.keys() & own.keys()))
    raise WeightsError(f"the weights do not fit the net: {_difference(own, closest)}")


def require_rules(rename: Iterable[Rule]) -> None:
    """Raise WeightsError if `re.sub` can't apply a rule."""
    for pattern, replacement in rename:
        try:
            re.sub(f"{pattern}|", replacement, "")  # matches the empty string, so that the replacement is parsed too
        except (re.error, IndexError) as error:
            raise WeightsError(
                f"rename: {pattern!r} to {replacement!r} is not a valid regular expression and replacement ({error})"
            ) from None


# -- reading ---------------------------------------------------------------------------------------


def _no_weights(content: bytes) -> str | None:
    """Why a file can't be a torch checkpoint; None if it may be."""
    beginning = content[:1024].lstrip().lower()
    if not content:
        return "is empty; fetch it again"
    if beginning.startswith((b"<!doctype html", b"<html")):
        return "is an HTML page, not weights; download the file itself"
    if beginning.startswith(b"version https://git-lfs"):
        return "is a git-lfs pointer, not the file itself; fetch the file with `git lfs pull`"
    if not content.startswith((b"PK\x03\x04", b"\x80")):
        return "is neither safetensors nor a torch checkpoint; expected a .safetensors, .pt or .pth file"
    return None


def _unpickled(content: bytes, name: str) -> object:
    """Load a torch checkpoint, zip archive or plain pickle, if it contains only tensors and plain values."""
    try:
        if content.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                if sum(member.file_size for member in archive.infolist()) > len(content):
                    raise WeightsError(
                        f"{name} is a compressed archive; expected a torch checkpoint, which is not compressed"
                    )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about content that is refused below
            with torch.serialization.safe_globals(list(HARMLESS)):
                return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except Exception as error:  # torch may raise anything for a damaged file
        if (code := _code(content, error)) is not None:
            raise WeightsError(
                f"{name} is a pickle that is refused: it would run code ({code}); "
                "save only the state dict, torch.save(net.state_dict(), PATH), or ask its author to"
            ) from None
        raise WeightsError(f"{name} is cut off, damaged or no torch checkpoint; fetch it again") from None


def _code(content: bytes, error: Exception) -> str | None:
    """The name of the code that a refused pickle would run; None if it failed for another reason."""
    if match := re.search(r"GLOBAL ([\w.]+)", str(error)):
        return match[1][:100]
    if "TorchScript" in str(error):
        return "TorchScript"
    try:  # newer pickle protocols refer to functions by operations that torch does not support
        calls = {"STACK_GLOBAL", "INST", "OBJ"} & {operation.name for operation, _, _ in pickletools.genops(content)}
    except (ValueError, LookupError, EOFError):
        return None
    return "calls of Python objects" if calls else None


def _state_dict(checkpoint: object, name: str) -> dict[str, Tensor]:
    """The state dict in a checkpoint; raises WeightsError if there is none or several."""
    for _ in range(DEEPEST):
        if not isinstance(checkpoint, Mapping):
            break
        keys = [key for key in KEYS if isinstance(checkpoint.get(key), Mapping)]
        keys = keys or [key for key in AVERAGED if isinstance(checkpoint.get(key), Mapping)]
        if len(keys) > 1:
            raise WeightsError(f"{name} holds several nets ({', '.join(keys)}); save only the state dict to import")
        if not keys:
            tensors = {
                key: value for key, value in checkpoint.items() if isinstance(key, str) and isinstance(value, Tensor)
            }
            if AVERAGES in tensors and all(key.startswith("module.") for key in tensors if key != AVERAGES):
                del tensors[AVERAGES]
            if tensors:
                return tensors
            break
        checkpoint = checkpoint[keys[0]]
    raise WeightsError(f"{name} holds no state dict, a dictionary of tensors by name; save net.state_dict()")


def _dense(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return the tensors unchanged; raises WeightsError if there are none, or any has no dense values on the CPU."""
    if not tensors:
        raise WeightsError(f"{name} holds no tensors; expected the state dict of a net")
    for key, tensor in tensors.items():
        plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided and not tensor.is_quantized
        if not plain or tensor.device.type != "cpu":
            raise WeightsError(f"{name} holds {key} sparse, quantized or without values; save it as a dense tensor")
    return tensors


def _without_prefixes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    length = len(_prefix(tensors))
    return {name[length:]: tensor for name, tensor in tensors.items()}


def _prefix(names: Iterable[str]) -> str:
    """The longest prefix, made of PREFIXES, that all names share."""
    names, prefix = list(names), ""
    while names:
        longer = (prefix + part for part in PREFIXES if all(name.startswith(prefix + part) for name in names))
        if (candidate := next(longer, None)) is None:
            break
        prefix = candidate
    return prefix


# -- names -----------------------------------------------------------------------------------------


def _renamed(names: list[str], rules: Iterable[Rule]) -> tuple[list[str], list[str]]:
    """Apply the rules to the names in order; returns the new names, and an example for each rule that matches."""
    changes = []
    for pattern, replacement in rules:
        matches = (re.search(pattern, name) for name in names)
        if match := next(filter(None, matches), None):
            changes.append(f"{match.group()} → {match.expand(replacement)}")
        names = [re.sub(pattern, replacement, name) for name in names]
    return names, changes


def _translated(tensors: Mapping[str, Tensor], renaming: Renaming) -> tuple[str, dict[str, Tensor]]:
    """Rename tensors; returns a description, and the tensors, none if two would get the same name."""
    names, changes = _renamed(list(tensors), renaming.rules)
    translated = dict(zip(names, tensors.values(), strict=True))
    return f"{renaming.by}'s names: {', '.join(changes)}", translated if len(translated) == len(tensors) else {}


def _difference(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str | None:
    """The first difference between tensors and the state of a net, in its order; None if they fit."""
    tied = _tied(own)
    last = list(own)[-1].rpartition(".")[0]
    for name, wanted in own.items():
        theirs = [tensors[alias] for alias in tied[name] if alias in tensors]
        if not theirs:
            if name.endswith(COUNTER):
                continue
            return f"{name} of shape {tuple(wanted.shape)} is missing"
        tensor = tensors.get(name, theirs[0])
        if tensor.shape != wanted.shape:
            shapes = f"{name} has shape {tuple(tensor.shape)}, expected {tuple(wanted.shape)}"
            if name.rpartition(".")[0] == last and tensor.dim() and tensor.shape[1:] == wanted.shape[1:]:
                return f"they are for {len(tensor)} classes, the net is for {len(wanted)}: {shapes}"
            return shapes
        if not (tensor.dtype in FLOATS if wanted.is_floating_point() else tensor.dtype == wanted.dtype):
            return f"{name} has type {tensor.dtype}, expected {wanted.dtype}"
        if not all(torch.equal(tensor, other) for other in theirs if other is not tensor):
            return f"{' and '.join(tied[name])} are the same tensor in the net, but differ here"
    return next((f"{name} is not in the net" for name in tensors if name not in own), None)


def _cast(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Cast fitting tensors to the types of a net, under each name; raises WeightsError if any is not finite."""
    tied = _tied(own)
    cast = {}
    for name, wanted in own.items():
        theirs = next(
            (tensors[alias] for alias in (name, *tied[name]) if alias in tensors),
            torch.zeros_like(wanted, device="cpu"),
        )
        cast[name] = theirs.detach().to(wanted.dtype).contiguous()
        if not bool(torch.isfinite(cast[name]).all()):
            raise WeightsError(f"{name} has values that are not finite in {wanted.dtype}; use other weights")
    return cast


def _tied(own: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Map each name of a state dict to all names of the same tensor, including itself."""
    first = first_names(own)
    names: dict[str, list[str]] = {}
    for name in own:
        names.setdefault(first[name], []).append(name)
    return {name: names[first[name]] for name in own}
