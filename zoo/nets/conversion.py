"""Other people's weights: read without running their code, and renamed to the names of a net of the zoo."""

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

# Where a training's checkpoint has its net; the averaged one is taken where there is no other.
PLACES = ("state_dict", "model_state_dict", "model", "net")
AVERAGED = ("state_dict_ema", "model_ema")
DEEPEST = 4  # places in places
PREFIXES = ("module.", "model.", "net.", "_orig_mod.")  # what DataParallel, torch.compile and the like put before names
HEADER_BYTES = 100_000_000  # of safetensors, by its own limit
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
LOADING = threading.Lock()
AVERAGES = "n_averaged"  # the counter of torch.optim.swa_utils.AveragedModel, beside the net under `module.`
# Harmless types that checkpoints have beside the weights: options, best accuracies, paths.
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
COUNTER = "num_batches_tracked"  # which files from before 2018 lack; evaluation does not look at it


Rule = tuple[str, str]  # a regular expression and its replacement, as `re.sub` takes them


@dataclass(frozen=True, eq=False)
class Fitted:
    """Weights under a net's own names, in its own types, and in one line how they came there."""

    state_dict: Mapping[str, Tensor]
    how: str


def read(content: bytes, name: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file or a torch checkpoint, on the CPU, without a prefix that all names have.

    No code of the file is run. Raises WeightsError, which calls the file `name`.
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
    net: nn.Module, found: Mapping[str, Tensor], renamings: Iterable[Renaming], rename: Sequence[Rule] = ()
) -> Fitted:
    """Somebody's tensors as a state dict that the net loads strictly; the net is left as it is.

    The names are changed by `rename`, then taken as they are, or as one of `renamings` translates them. Floating point
    values become the net's type. Raises WeightsError with the first difference, in the order of the net.
    """
    own = net.state_dict()
    names, changes = _renamed(list(_without_prefixes(found)), rename)
    if duplicate := next((name for name in names if names.count(name) > 1), None):
        raise WeightsError(f"rename gives two tensors the name {duplicate}; write the patterns for one of them each")
    tensors = dict(zip(names, found.values(), strict=True))
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
    """Refuse a rule that `re.sub` can't apply; raises WeightsError."""
    for pattern, replacement in rename:
        try:
            re.sub(f"{pattern}|", replacement, "")  # matches the empty text, so that the replacement is read too
        except (re.error, IndexError) as error:
            raise WeightsError(
                f"rename: {pattern!r} to {replacement!r} is no regular expression with its replacement ({error})"
            ) from None


# -- reading ---------------------------------------------------------------------------------------


def _no_weights(content: bytes) -> str | None:
    """What a file is that can be no weights; None where it may be a torch checkpoint."""
    beginning = content[:1024].lstrip().lower()
    if not content:
        return "is empty; fetch it again"
    if beginning.startswith((b"<!doctype html", b"<html")):
        return "is a page of HTML and no weights; fetch the file itself, not the page about it"
    if beginning.startswith(b"version https://git-lfs"):
        return "is a git-lfs pointer and not the file itself; fetch that with `git lfs pull`"
    if not content.startswith((b"PK\x03\x04", b"\x80")):
        return "is neither safetensors nor a torch checkpoint; expected one of them"
    return None


def _unpickled(content: bytes, name: str) -> object:
    """What a torch checkpoint holds, of either kind, as far as it is tensors and plain values."""
    try:
        if content.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                if sum(one.file_size for one in archive.infolist()) > len(content):
                    raise WeightsError(f"{name} is a packed archive and no torch checkpoint; those are not packed")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it goes on to refuse
            with torch.serialization.safe_globals(list(HARMLESS)):
                return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except Exception as error:  # a damaged file fails in any way
        if (code := _code(content, error)) is not None:
            raise WeightsError(
                f"{name} is a pickle that is refused: it would run code ({code}); "
                "save the net alone, torch.save(net.state_dict(), PATH), or ask its author to"
            ) from None
        raise WeightsError(f"{name} is cut off, damaged or no torch checkpoint; fetch it again") from None


def _code(content: bytes, error: Exception) -> str | None:
    """What a pickle wanted to call when it was refused; None where it failed otherwise."""
    if match := re.search(r"GLOBAL ([\w.]+)", str(error)):
        return match[1][:100]
    if "TorchScript" in str(error):
        return "TorchScript"
    try:  # newer protocols name what they call in ways that torch does not read
        calls = {"STACK_GLOBAL", "INST", "OBJ"} & {operation.name for operation, _, _ in pickletools.genops(content)}
    except (ValueError, LookupError, EOFError):
        return None
    return "calls of Python's own" if calls else None


def _state_dict(found: object, name: str) -> dict[str, Tensor]:
    """The state dict in a checkpoint; raises WeightsError where there is none, or more than one."""
    for _ in range(DEEPEST):
        if not isinstance(found, Mapping):
            break
        places = [place for place in PLACES if isinstance(found.get(place), Mapping)]
        places = places or [place for place in AVERAGED if isinstance(found.get(place), Mapping)]
        if len(places) > 1:
            raise WeightsError(f"{name} holds several nets ({', '.join(places)}); save the one that is meant alone")
        if not places:
            tensors = {key: value for key, value in found.items() if isinstance(key, str) and isinstance(value, Tensor)}
            if AVERAGES in tensors and all(key.startswith("module.") for key in tensors if key != AVERAGES):
                del tensors[AVERAGES]
            if tensors:
                return tensors
            break
        found = found[places[0]]
    raise WeightsError(f"{name} holds no state dict: there are no tensors in it under names; save net.state_dict()")


def _dense(found: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The same, once it is sure that all of them are values in memory."""
    if not found:
        raise WeightsError(f"{name} holds no tensors; expected a net's")
    for key, tensor in found.items():
        plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided and not tensor.is_quantized
        if not plain or tensor.device.type != "cpu":
            raise WeightsError(f"{name} holds {key} sparse, quantized or without values; save it as a dense tensor")
    return found


def _without_prefixes(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    length = len(_prefix(found))
    return {name[length:]: tensor for name, tensor in found.items()}


def _prefix(names: Iterable[str]) -> str:
    """What stands before all names, of what usually does."""
    names, prefix = list(names), ""
    while more := next((one for one in PREFIXES if names and all(name.startswith(prefix + one) for name in names)), ""):
        prefix += more
    return prefix


# -- by names --------------------------------------------------------------------------------------


def _renamed(names: list[str], rules: Iterable[Rule]) -> tuple[list[str], list[str]]:
    """The names after the rules, one after another, and for each rule that matches an example of what it changes."""
    changes = []
    for pattern, replacement in rules:
        matches = (re.search(pattern, name) for name in names)
        if match := next(filter(None, matches), None):
            changes.append(f"{match.group()} → {match.expand(replacement)}")
        names = [re.sub(pattern, replacement, name) for name in names]
    return names, changes


def _translated(tensors: Mapping[str, Tensor], renaming: Renaming) -> tuple[str, dict[str, Tensor]]:
    """The tensors under their new names, and what was changed; no tensors at all where two would have one name."""
    names, changes = _renamed(list(tensors), renaming.rules)
    translated = dict(zip(names, tensors.values(), strict=True))
    return f"{renaming.by}'s names: {', '.join(changes)}", translated if len(translated) == len(tensors) else {}


def _difference(own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str | None:
    """The first thing, in the order of the net, by which tensors do not fit it; None where they fit."""
    tied = _tied(own)
    last = list(own)[-1].rpartition(".")[0]
    for name, wanted in own.items():
        theirs = [found[one] for one in tied[name] if one in found]
        if not theirs:
            if name.endswith(COUNTER):
                continue
            return f"{name} of shape {tuple(wanted.shape)} is missing"
        tensor = found.get(name, theirs[0])
        if tensor.shape != wanted.shape:
            shapes = f"{name} has shape {tuple(tensor.shape)}, expected {tuple(wanted.shape)}"
            if name.rpartition(".")[0] == last and tensor.dim() and tensor.shape[1:] == wanted.shape[1:]:
                return f"they are for {len(tensor)} classes and the net for {len(wanted)}: {shapes}"
            return shapes
        if not (tensor.dtype in FLOATS if wanted.is_floating_point() else tensor.dtype == wanted.dtype):
            return f"{name} is of {tensor.dtype}, expected {wanted.dtype}"
        if not all(torch.equal(tensor, one) for one in theirs if one is not tensor):
            return f"{' and '.join(tied[name])} are one tensor of the net and differ"
    return next((f"{name} is there, which the net has not" for name in found if name not in own), None)


def _cast(own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that fit, in the net's own types, under each of its names; raises WeightsError for what is not finite."""
    tied = _tied(own)
    cast = {}
    for name, wanted in own.items():
        theirs = next(
            (found[one] for one in (name, *tied[name]) if one in found), torch.zeros_like(wanted, device="cpu")
        )
        cast[name] = theirs.detach().to(wanted.dtype).contiguous()
        if not bool(torch.isfinite(cast[name]).all()):
            raise WeightsError(f"{name} has values that are not finite in {wanted.dtype}; these weights are of no use")
    return cast


def _tied(own: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Every name of a net's state to all names of the same tensor, itself among them."""
    first = first_names(own)
    names: dict[str, list[str]] = {}
    for name in own:
        names.setdefault(first[name], []).append(name)
    return {name: names[first[name]] for name in own}
