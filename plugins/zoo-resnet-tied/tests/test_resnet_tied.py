from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from zoo_resnet_tied.models import resnet_tied_cifar100
from zoo_resnet_tied.tied_resnet import Stage, TiedResNet

from zoo.testing import check_model, check_training


def test_the_model_passes_the_check() -> None:
    check_model(resnet_tied_cifar100)
    assert resnet_tied_cifar100.parameters == 7_500_132  # as published


def test_the_model_learns_and_is_loaded_with_shared_weights() -> None:
    check_training(resnet_tied_cifar100, images=24)  # also counts the parameters after loading


def test_the_stages_have_the_published_sizes() -> None:
    net = TiedResNet(3, 100)
    x = F.max_pool2d(net.conv1(torch.randn(2, 3, 32, 32)), 3, stride=2)
    assert x.shape == (2, 64, 15, 15)
    for stage, shape in ((net.layer1, (256, 15, 15)), (net.layer2, (512, 8, 8)), (net.layer3, (1024, 4, 4))):
        x = stage(x)
        assert x.shape == (2, *shape)


def test_a_stage_applies_one_identity_block_3_4_and_2_times() -> None:
    net = TiedResNet(3, 100)
    calls: list[str] = []
    for name, module in net.named_modules():
        if name.endswith("repeated"):
            module.register_forward_hook(lambda *_, name=name: calls.append(name))
    net(torch.randn(2, 3, 32, 32))
    assert calls == ["layer1.repeated"] * 3 + ["layer2.repeated"] * 4 + ["layer3.repeated"] * 2


def test_a_shared_weight_is_stored_once_and_used_in_every_call() -> None:
    net = TiedResNet(3, 100)
    state = net.state_dict()
    storages = [tensor.data_ptr() for tensor in state.values()]
    assert len(set(storages)) == len(storages)

    stage = Stage(8, 16, 1, repeats=3).eval()
    nn.init.zeros_(stage.repeated.bn2.weight)
    nn.init.constant_(stage.repeated.bn2.bias, 0.5)
    x = torch.randn(2, 8, 4, 4)
    assert torch.allclose(stage(x), stage.first(x) + 3 * 0.5)


def test_convolutions_have_a_bias_and_torchs_initialization() -> None:
    torch.manual_seed(0)
    convolutions = [module for module in TiedResNet(3, 100).modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == 1 + 3 * (3 + 2)
    for module in convolutions:
        assert module.bias is not None
        fan_in = module.in_channels * module.kernel_size[0] * module.kernel_size[1]
        # torch's default is uniform in ±1/√fan_in, with standard deviation 1/√(3·fan_in).
        assert module.weight.std().item() == pytest.approx(1 / math.sqrt(3 * fan_in), rel=0.1)


def test_the_paper_recipe_is_adam_in_one_cycle_with_gradients_clipped_by_value() -> None:
    recipe = resnet_tied_cifar100.recipes["paper"]
    assert (recipe.opt, recipe.epochs, recipe.weight_decay) == ("adam", 100, 1e-5)
    assert (recipe.clip_grad, recipe.clip_mode, recipe.cycle_momentum) == (0.1, "value", True)


def test_gradient_checkpointing_changes_neither_gradients_nor_statistics() -> None:
    torch.manual_seed(0)
    net, images = TiedResNet(3, 10), torch.randn(4, 3, 32, 32)
    again = copy.deepcopy(net)
    again.set_grad_checkpointing()
    for each in (net, again):
        each(images).square().mean().backward()
    for expected, actual in zip(net.parameters(), again.parameters(), strict=True):
        assert expected.grad is not None
        assert actual.grad is not None
        assert torch.equal(expected.grad, actual.grad)
    assert all(map(torch.equal, net.buffers(), again.buffers()))
