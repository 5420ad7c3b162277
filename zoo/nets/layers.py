"""The layers of a net: output shapes, parameters, and multiply-adds as torch counts them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Layer:
    """A module of a net, including its submodules."""

    name: str  # prefix in the state dict; empty for the whole net
    type: str
    output_shape: tuple[int, ...] | None  # without the batch dimension; None if the module is not called
    parameters: int
    multiply_adds: int  # of convolutions and matrix products, over all calls for an image


def layers(net: nn.Module, input_size: tuple[int, int, int], *, depth: int) -> list[Layer]:
    """List the net and its modules in order, with output shapes and multiply-adds.

    Args:
        net: The net; it is run once on an image of zeros, and keeps its mode.
        input_size: Channels, height and width of an image.
        depth: How many levels of modules to list.

    Returns:
        The net itself, then its modules.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    names = {module: name for name, module in net.named_modules()}

    def note(module: nn.Module, _: object, output: object) -> None:
        if isinstance(output, Tensor):
            shapes[names[module]] = tuple(output.shape[1:])

    hooks = [module.register_forward_hook(note) for module in names]
    was_training = net.training
    counter = FlopCounterMode(display=False)
    try:
        device = next(net.parameters()).device
        with torch.no_grad(), counter:
            net.eval()(torch.zeros(1, *input_size, device=device))
    finally:
        net.train(was_training)
        for hook in hooks:
            hook.remove()
    whole = type(net).__name__
    operations = counter.get_flop_counts()
    return [
        Layer(
            name=name,
            type=type(module).__name__,
            output_shape=shapes.get(name),
            parameters=sum(parameter.numel() for parameter in module.parameters()),
            # A multiply-add is two operations.
            multiply_adds=sum(operations.get(f"{whole}.{name}" if name else whole, {}).values()) // 2,
        )
        for module, name in names.items()
        if not name or name.count(".") < depth
    ]
