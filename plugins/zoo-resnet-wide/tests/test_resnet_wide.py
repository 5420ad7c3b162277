from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from zoo_resnet_wide.models import resnet26_wide_cifar100
from zoo_resnet_wide.wide_resnet import BasicBlock, WideResNet

from zoo.testing import check_model, check_training, learning_rates

STEPS = 10  # per epoch, fewer than on CIFAR


def test_the_model_passes_the_check() -> None:
    check_model(resnet26_wide_cifar100)
    assert resnet26_wide_cifar100.parameters == 3_903_620  # as published


def test_the_model_learns_and_is_loaded() -> None:
    check_training(resnet26_wide_cifar100, recipe="paper")


def test_the_stages_halve_the_map_and_double_the_channels() -> None:
    net = WideResNet(3, 100)
    x = net.bn1(net.conv1(torch.randn(2, 3, 32, 32)))
    stages = (net.layer1, net.layer2, net.layer3, net.layer4)
    for stage, shape in zip(stages, ((32, 32, 32), (64, 16, 16), (128, 8, 8), (256, 4, 4)), strict=True):
        x = stage(x)
        assert x.shape == (2, *shape)
    assert [len(stage) for stage in stages] == [2, 4, 4, 2]


def test_there_is_no_relu_after_the_addition() -> None:
    block = BasicBlock(32, 32, 1)
    nn.init.zeros_(block.bn2.weight)
    x = torch.randn(2, 32, 8, 8)
    assert torch.equal(block(x), x)
    assert (block(x) < 0).any()


def test_shortcuts_that_change_the_shape_are_3x3_convolutions() -> None:
    net = WideResNet(3, 100)
    projections = {
        name: module.kernel_size
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d) and "shortcut" in name
    }
    assert projections == {f"layer{stage}.0.shortcut.0": (3, 3) for stage in (2, 3, 4)}


def test_the_head_equals_the_published_4x4_max_pool() -> None:
    net = WideResNet(3, 100).eval()
    x = torch.randn(2, 3, 32, 32)
    features = net.layer4(net.layer3(net.layer2(net.layer1(net.bn1(net.conv1(x)).relu()))))
    published = net.fc(nn.MaxPool2d(4, stride=1)(features).flatten(1))
    assert torch.equal(net(x), published)


def test_convolutions_have_kaiming_fan_out_initialization() -> None:
    torch.manual_seed(0)
    net = WideResNet(3, 100)
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * 9
            assert module.bias is None
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.1), name
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
    assert isinstance(net.fc, nn.Linear)
    assert not net.fc.bias.any()


def test_the_paper_recipe_has_a_constant_learning_rate() -> None:
    recipe = resnet26_wide_cifar100.recipes["paper"]
    assert (recipe.epochs, recipe.batch_size, recipe.momentum, recipe.weight_decay) == (500, 256, 0.9, 1e-5)
    rates = learning_rates(recipe, STEPS)
    assert len(rates) == 500 * STEPS
    assert set(rates) == {0.01}
    assert (recipe.mean, recipe.std) == ((0.507, 0.487, 0.441), (0.267, 0.256, 0.276))


def test_the_plateau_recipe_starts_at_0_1_and_holds_images_out() -> None:
    recipe = resnet26_wide_cifar100.recipes["plateau"]
    assert (recipe.lr, recipe.sched, recipe.decay_rate, recipe.val_images) == (0.1, "plateau", 0.1, 5_000)
    assert set(learning_rates(recipe, 2)) == {0.1}  # as long as the error falls
