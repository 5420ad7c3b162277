"""Other people's weights: read without running their code, and brought under the names of a net of the zoo.

Names say what a tensor is, so they come first: the net's own, then those that its architecture's renamings lead
from. Only where no names fit does the order decide in which a checkpoint has its tensors, and only without doubt.
"""

from __future__ import annotations

import io
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from zoo.errors import WeightsError
from zoo.nets.weights import first_names
from zoo.spec import InputSize, Renaming

# Where a training's checkpoint has its net; the averaged one is taken where there is no other.
PLACES = ("state_dict", "model_state_dict", "model", "net")
AVERAGED = ("state_dict_ema", "model_ema")
DEEPEST = 4  # places in places
PREFIXES = ("module.", "model.", "net.", "_orig_mod.")  # what DataParallel, torch.compile and the like put before names
HEADER_BYTES = 100_000_000  # of safetensors, by its own limit
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
COUNTER = "num_batches_tracked"  # which files from before 2018 lack; evaluation does not look at it


@dataclass(frozen=True, eq=False)
class Fitted:
    """Weights under a net's own names, in its own types, and in one line how they came there."""

    state_dict: Mapping[str, Tensor]
    how: str


def read(content: bytes, name: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file or a torch checkpoint, on the CPU, in its order; `name` is for messages.

    The state dict is taken out of a checkpoint, and what is before all its names is taken off. No code of the file
    is run. Raises WeightsError.
    """
    if is_safetensors(content):
        return _without_prefixes(_dense(_from_safetensors(content, name), name))
    if reason := _no_weights(content):
        raise WeightsError(f"{name} {reason}")
    return _without_prefixes(_dense(_state_dict(_unpickled(content, name), name), name))


def is_safetensors(content: bytes) -> bool:
    """Whether a file is of safetensors, which has lost the order in which its tensors were in the net."""
    return content[8:9] == b"{" and int.from_bytes(content[:8], "little") <= HEADER_BYTES


def fitted(
    net: nn.Module, found: Mapping[str, Tensor], renamings: Iterable[Renaming], *, ordered_on: InputSize | None = None
) -> Fitted:
    """Somebody's tensors as a state dict that the net loads strictly; the net is left as it is.

    With `ordered_on`, the size of the net's images, `found` has the order of the net that it comes from, and that
    may decide where no names fit; to be left out for safetensors. Floating point values become the net's type.
    Raises WeightsError with the first difference, in the order of the net.
    """
    own = net.state_dict()
    found = {_prefix(own) + name: tensor for name, tensor in _without_prefixes(found).items()}
    attempts = [("the net's own names", found), *(_renamed(found, renaming) for renaming in renamings)]
    for how, tensors in attempts:
        if _difference(own, tensors) is None:
            return Fitted(_cast(own, tensors), how)
    closest = max((tensors for _, tensors in attempts), key=lambda tensors: len(tensors.keys() & own.keys()))
    difference = _difference(own, closest)
    if ordered_on is None:
        raise WeightsError(f"the weights do not fit the net: {difference}")
    try:
        return Fitted(_cast(own, _by_order(net, found, ordered_on)), "by the order of the computation")
    except WeightsError as error:
        by_order = "" if str(error) == difference else f"; and by their order: {error}"
        raise WeightsError(f"the weights do not fit the net: {difference}{by_order}") from None


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


def _from_safetensors(content: bytes, name: str) -> dict[str, Tensor]:
    try:
        return load_safetensors(content)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        reason = (str(error).splitlines() or [""])[0][:120]
        raise WeightsError(f"{name} is cut off or damaged ({reason}); fetch it again") from None


def _unpickled(content: bytes, name: str) -> object:
    """What a torch checkpoint holds, of either kind, as far as it is tensors and plain values."""
    try:
        if content.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                if sum(one.file_size for one in archive.infolist()) > len(content):
                    raise WeightsError(f"{name} is a packed archive and no torch checkpoint; those are not packed")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it goes on to refuse
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except Exception as error:  # a damaged file fails in any way
        if (code := _code(content, error)) is not None:
            raise WeightsError(
                f"{name} is a pickle that is refused: it would run code ({code}); "
                "ask its author for a state dict, or for safetensors"
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
    """The state dict in what a checkpoint holds; raises WeightsError where there is none, or more than one."""
    for _ in range(DEEPEST):
        if not isinstance(found, Mapping):
            break
        places = [place for place in PLACES if isinstance(found.get(place), Mapping)]
        places = places or [place for place in AVERAGED if isinstance(found.get(place), Mapping)]
        if len(places) > 1:
            raise WeightsError(f"{name} holds several nets ({', '.join(places)}); save the one that is meant alone")
        if not places:
            tensors = {key: value for key, value in found.items() if isinstance(key, str) and isinstance(value, Tensor)}
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


def _renamed(found: Mapping[str, Tensor], renaming: Renaming) -> tuple[str, dict[str, Tensor]]:
    """The tensors under their new names, and what was changed; nothing at all where two would have one name."""
    names, changes = {name: name for name in found}, []
    for pattern, replacement in renaming.rules:
        matches = (re.search(pattern, name) for name in names.values())
        if match := next(filter(None, matches), None):
            changes.append(f"{match.group()} → {match.expand(replacement)}")
        names = {theirs: re.sub(pattern, replacement, name) for theirs, name in names.items()}
    tensors = {name: found[theirs] for theirs, name in names.items()}
    return f"{renaming.by}'s names: {', '.join(changes)}", tensors if len(tensors) == len(found) else {}


def _difference(own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str | None:
    """The first thing, in the order of the net, by which tensors do not fit it; None where they fit."""
    tied = _tied(own)
    last = _module(list(own)[-1])
    for name, wanted in own.items():
        theirs = [found[one] for one in tied[name] if one in found]
        if not theirs:
            if _is_counter(name):
                continue
            return f"{name} of shape {tuple(wanted.shape)} is missing"
        tensor = found.get(name, theirs[0])
        if tensor.shape != wanted.shape:
            shapes = f"{name} has shape {tuple(tensor.shape)}, expected {tuple(wanted.shape)}"
            if _module(name) == last and tensor.dim() and tensor.shape[1:] == wanted.shape[1:]:
                return f"they are for {len(tensor)} classes and the net for {len(wanted)}: {shapes}"
            return shapes
        if not _stands_for(tensor.dtype, wanted.dtype):
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


def _stands_for(found: torch.dtype, own: torch.dtype) -> bool:
    return found in FLOATS if own.is_floating_point else found == own


def _is_counter(name: str) -> bool:
    return name.rpartition(".")[2] == COUNTER


def _module(name: str) -> str:
    return name.rpartition(".")[0]


# -- by order --------------------------------------------------------------------------------------


def _by_order(net: nn.Module, found: Mapping[str, Tensor], input_size: InputSize) -> dict[str, Tensor]:
    """Tensors under the names of the net, module by module as a forward pass calls them; raises WeightsError."""
    own = net.state_dict()
    if len(set(first_names(own).values())) < len(own):
        raise WeightsError("there is no telling: tensors of the net are tied")
    modules, called = _modules(own), _called(net, input_size)
    if apart := [name for name in modules if name not in called]:
        raise WeightsError(f"there is no telling: {apart[0]} of the net is not called by itself")
    computed = _laid_on({name: modules[name] for name in called}, found)
    if (difference := _difference(own, computed)) is not None:
        raise WeightsError(difference)
    try:
        registered = _laid_on(modules, found)
    except WeightsError:
        return computed
    if _difference(own, registered) is None and any(
        registered.get(name) is not tensor for name, tensor in computed.items()
    ):
        raise WeightsError(
            "there is doubt: those of the computation and of the net's registration both fit, and differ"
        )
    return computed


def _modules(state: Mapping[str, Tensor]) -> dict[str, dict[str, str]]:
    """A state dict's modules, in its order: the last part of each of a module's names to the name."""
    modules: dict[str, dict[str, str]] = {}
    for name in state:
        modules.setdefault(_module(name), {})[name.rpartition(".")[2]] = name
    return modules


def _called(net: nn.Module, input_size: InputSize) -> list[str]:
    """The names of the modules with tensors of their own, in the order in which a forward pass first calls them."""
    names = {module: name for name, module in net.named_modules()}
    modules = _modules(net.state_dict())
    called: dict[str, None] = {}  # a set with an order

    def note(module: nn.Module, _: object) -> None:
        if names[module] in modules:
            called[names[module]] = None

    hooks = [module.register_forward_pre_hook(note) for module in names]
    modes = {module: module.training for module in names}
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            net.eval()(torch.zeros(1, *input_size, device=next(net.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training
    return list(called)


def _laid_on(modules: Mapping[str, Mapping[str, str]], found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the names of these modules, the first module's under the first's; raises WeightsError."""
    theirs = _modules(found)
    laid: dict[str, Tensor] = {}
    for (module, names), (their_module, their_names) in zip(modules.items(), theirs.items(), strict=False):
        if names.keys() - {COUNTER} != their_names.keys() - {COUNTER}:
            raise WeightsError(
                f"{module} should have {', '.join(names)}, and what stands there is {their_module} with "
                f"{', '.join(their_names)}"
            )
        laid |= {name: found[their_names[part]] for part, name in names.items() if part in their_names}
    if len(modules) != len(theirs):
        raise WeightsError(f"the net has {len(modules)} modules with tensors, and they have {len(theirs)}")
    return laid
