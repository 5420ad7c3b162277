"""Build untrained nets of an architecture, for the images and classes of a dataset or a record."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zoo import plugins, registry
from zoo.errors import BuildError, FolderError, PluginError
from zoo.nets.device import as_by_default
from zoo.record.types import MOST_CLASSES, Record
from zoo.spec import Architecture, Dataset, InputSize, Model

T = TypeVar("T")

MOST_CHANNELS: Final = 4096

# Functions that draw from torch's global generator unless another one is passed.
RANDOM: Final = frozenset[Callable[..., object]](
    {
        nn.init.normal_, nn.init.uniform_, nn.init.trunc_normal_, nn.init.kaiming_normal_, nn.init.kaiming_uniform_,
        nn.init.xavier_normal_, nn.init.xavier_uniform_, nn.init.orthogonal_, nn.init.sparse_,
        Tensor.normal_, Tensor.uniform_, Tensor.random_, Tensor.bernoulli_, Tensor.exponential_, Tensor.geometric_,
        Tensor.log_normal_, Tensor.cauchy_,
        torch.normal, torch.rand, torch.randn, torch.randint, torch.randperm, torch.bernoulli, torch.multinomial,
    }
)  # fmt: skip


class OwnRandomness(TorchFunctionMode):
    """A context in which initialization draws from a separate generator instead of torch's global generator.

    It affects only this thread; `torch.random.fork_rng` would change the state of other threads.
    """

    def __init__(self) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(0)

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        """Call the function, with this context's generator if it draws random numbers."""
        more = dict(kwargs or {})
        if func in RANDOM and more.get("generator") is None:
            more["generator"] = self._generator
        return func(*args, **more)


def build(
    architecture: Architecture,
    on: Dataset | Record,
    num_classes: int | None = None,
    in_channels: int | None = None,
    *,
    device: str = "cpu",
) -> nn.Module:
    """Build an untrained net, in training mode and float32.

    Args:
        architecture: The architecture to build.
        on: The dataset or record that gives the size of the images and the classes.
        num_classes: The number of classes [default: those of `on`]; 0 for a net that returns features, if it has
            timm's `reset_classifier`.
        in_channels: The number of input channels [default: those of `on`].
        device: The device of its tensors.

    Returns:
        The net. It maps images [N, C, H, W] to logits [N, num_classes].

    Raises:
        BuildError: The number of classes or channels is impossible, or a library that the net needs is missing.
        PluginError: The plugin's build function has other parameters, or does not return a module.
    """
    if num_classes == 0:
        net = build(architecture, on, None, in_channels, device=device)
        if not hasattr(net, "reset_classifier"):
            _checked("num_classes", 0, MOST_CLASSES)
        net.reset_classifier(0)  # type: ignore[operator]
        return net
    channels, height, width = on.input_size
    classes = len(on.classes) if num_classes is None else _checked("num_classes", num_classes, MOST_CLASSES)
    channels = channels if in_channels is None else _checked("in_channels", in_channels, MOST_CHANNELS)
    size = (channels, height, width)
    by = f"architecture {architecture.name}: its build, of {registry.origin(architecture.build)},"
    try:
        inspect.signature(architecture.build).bind(input_size=size, num_classes=classes)
    except (TypeError, ValueError) as error:
        raise PluginError(f"{by} should take (input_size, num_classes), by these names ({error})") from None
    try:
        with as_by_default(device):
            built: object = architecture.build(input_size=size, num_classes=classes)
    except ModuleNotFoundError as error:  # a checkout that is not installed lacks the plugins' dependencies
        needed = (error.name or "").partition(".")[0]
        raise BuildError(
            f"{architecture.name} of {registry.provider(architecture)} needs {needed}, which is not installed; "
            f"install it with: pip install {needed}"
        ) from error
    if not isinstance(built, nn.Module):
        raise PluginError(f"{by} returns a {type(built).__name__}, expected a torch.nn.Module")
    return built


def outline(architecture: Architecture, input_size: InputSize, num_classes: int) -> tuple[int, int]:
    """Count the values and the trainable parameters of a net without allocating them.

    Args:
        architecture: The architecture of the net.
        input_size: Channels, height and width of an image.
        num_classes: The number of classes.

    Returns:
        The number of values in its state dict, and the number of trainable parameters.

    Raises:
        BuildError: The architecture can't be built for these images or classes.
    """
    try:
        with torch.device("meta"):
            net = architecture.build(input_size=input_size, num_classes=num_classes)
    except Exception as error:  # a net may raise anything for unsupported sizes
        reason = (f"{type(error).__name__}: {error}".splitlines() or [""])[0][:300]
        raise BuildError(
            f"{architecture.name} can't be built for images of {input_size} and {num_classes} classes ({reason})"
        ) from None
    return sum(tensor.numel() for tensor in net.state_dict().values()), count(net)


def shapes(architecture: Architecture, input_size: InputSize, num_classes: int) -> dict[str, torch.Size]:
    """The shapes of the tensors in a net's state dict, by name."""

    def built(device: str) -> nn.Module:
        with torch.device(device), OwnRandomness():
            return architecture.build(input_size=input_size, num_classes=num_classes)

    return {name: tensor.shape for name, tensor in _on_meta_or_cpu(built).state_dict().items()}


def _on_meta_or_cpu(call: Callable[[str], T]) -> T:
    """Call a function with the device "meta", which needs no memory, or with "cpu" if the net's code needs values."""
    try:
        return call("meta")
    except Exception:  # may raise anything on the meta device
        return call("cpu")


def to_be_filled(architecture: Architecture, on: Dataset | Record, device: str = "cpu") -> nn.Module:
    """Build a net for weights that are loaded later, without a change to torch's global generator."""
    with OwnRandomness():
        return build(architecture, on, device=device)


def _checked(name: str, value: int, most: int) -> int:
    if not (isinstance(value, int) and 1 <= value <= most):
        raise BuildError(
            f"{name} should be at least 1 and up to {most:,}, not {value!r}; omit it for the model's default"
        )
    return value


def count(net: nn.Module) -> int:
    """The number of trainable parameters; a tied tensor, which has several names, counts once."""
    return sum(parameter.numel() for parameter in net.parameters())


def require_counted(net: nn.Module, config: Record, what: object) -> None:
    """Raise FolderError if the net has another number of parameters than its record; `what` begins the message."""
    if count(net) != config.parameters:
        raise FolderError(f"{what} has {count(net):,} parameters, its config.json says {config.parameters:,}")


def require_as_declared(model: Model) -> None:
    """Raise PluginError if a model's net has not the declared number of parameters, or not a logit per class."""
    by = f"model {model.name}, of {registry.origin(model.architecture.build)}:"

    def measured(device: str) -> tuple[int, tuple[int, ...] | None]:
        net = to_be_filled(model.architecture, model.dataset, device).eval()
        with torch.device(device), torch.no_grad():
            answer = net(torch.zeros(1, *model.dataset.input_size))
        return count(net), tuple(answer.shape) if isinstance(answer, torch.Tensor) else None

    try:
        counted, shape = _on_meta_or_cpu(measured)
    except PluginError:
        raise
    except Exception as error:
        reason = f"({f'{type(error).__name__}: {error}'.splitlines()[0]}){plugins.location(error)}"
        raise PluginError(f"{by} its net fails on an image of {model.dataset.input_size} {reason}") from error
    classes = len(model.dataset.classes)
    if shape != (1, classes):
        raise PluginError(
            f"{by} its net returns shape {shape} for an image, expected {(1, classes)}, a logit for each of {classes} "
            "classes; use the num_classes that its build gets"
        )
    if model.parameters not in (None, counted):
        raise PluginError(
            f"{by} its net has {counted:,} parameters, it declares {model.parameters:,}; write parameters={counted}"
        )


def parameters(model: Model) -> int:
    """The number of trainable parameters of a model, as declared or else counted."""
    if model.parameters is not None:
        return model.parameters
    return count(to_be_filled(model.architecture, model.dataset))
