"""What a plugin's tests call: a model held against what its facts say.

from zoo.testing import check_model

def test_my_model() -> None:
    check_model(resnet20_cifar10)
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from zoo import optim, weights
from zoo.spec import Model


def check_model(model: Model) -> None:
    """Build the model and make sure that it is what its facts say and can be trained and shipped.

    Parameter count, shapes (for other classes and channels too), the same initialisation from the
    same seed, a strict state dict, a first optimizer step of every recipe. Raises AssertionError.
    """
    channels, height, width = model.dataset.input_size
    classes = len(model.dataset.classes)
    torch.manual_seed(0)
    net = weights.build(model)
    count = sum(parameter.numel() for parameter in net.parameters())
    assert count == model.parameters, f"{model.name} has {count:,} parameters, its facts say {model.parameters:,}"

    images = torch.randn(4, channels, height, width)
    assert net(images).shape == (4, classes), f"{model.name}: logits should be [N, {classes}]"
    other = weights.build(model, num_classes=classes + 3, in_channels=channels + 1)
    shape = other(torch.randn(2, channels + 1, height, width)).shape
    assert shape == (2, classes + 3), f"{model.name}: build() should respect in_channels and num_classes"

    torch.manual_seed(0)
    again = weights.build(model)
    for name, tensor in again.state_dict().items():
        if "num_batches" not in name and "running" not in name:
            assert torch.equal(tensor, net.state_dict()[name]), f"{model.name}: {name} is not fixed by the seed"
    again.load_state_dict(net.state_dict(), strict=True)
    assert torch.equal(net.eval()(images), again.eval()(images)), f"{model.name}: the state dict is not the whole net"

    for recipe in model.recipes.values():
        trained = weights.build(model).train()
        optimizer = optim.optimizer(recipe, trained.parameters())
        F.cross_entropy(trained(images), torch.arange(4) % classes).backward()  # type: ignore[no-untyped-call]
        for name, parameter in trained.named_parameters():
            assert parameter.grad is not None, f"{model.name}: {name} gets no gradient"
        optimizer.step()
