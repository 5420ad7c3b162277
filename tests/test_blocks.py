"""`zoo.blocks`, tested on the net that docs/plugins.md builds from it."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from zoo.blocks import StagedNet

from .conftest import CHECKOUT


@pytest.fixture
def net(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[StagedNet]:
    """The net of the page, in training mode."""
    page = (CHECKOUT / "docs" / "plugins.md").read_text()
    (code,) = (text for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "zoo.blocks" in text)
    (tmp_path / "shown_net.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    import shown_net  # type: ignore[import-not-found]

    assert isinstance(shown_net, types.ModuleType)
    torch.manual_seed(0)
    yield shown_net.Net((3, 8, 8), 10)
    del sys.modules["shown_net"]


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("synchronised", [False, True])  # as several processes on GPUs convert batch norm
def test_gradient_checkpointing_changes_neither_gradients_nor_statistics(
    net: StagedNet, images: torch.Tensor, synchronised: bool
) -> None:
    if synchronised:
        nn.SyncBatchNorm.convert_sync_batchnorm(net)  # type: ignore[no-untyped-call]
    results = {}
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    for enable in (False, True):
        net.load_state_dict(before)
        net.set_grad_checkpointing(enable)
        net.zero_grad()
        net(images).sum().backward()
        gradients = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
        results[enable] = [tensor.clone() for tensor in (*gradients, *net.buffers())]
    assert all(map(torch.equal, results[False], results[True]))


def test_the_head_computes_the_logits_from_the_features(net: StagedNet, images: torch.Tensor) -> None:
    net.eval()
    maps = net.forward_intermediates(images, indices=[0, 1], intermediates_only=True)
    assert isinstance(maps, list)
    assert [tuple(features.shape[1:]) for features in maps] == [(16, 8, 8), (32, 4, 4)]
    assert torch.equal(maps[-1], net.forward_features(images))
    assert torch.equal(net.forward_head(maps[-1]), net(images))
    assert net.forward_head(maps[-1], pre_logits=True).shape == (4, net.num_features)


def test_the_classifier_is_replaced_or_removed(net: StagedNet, images: torch.Tensor) -> None:
    net.reset_classifier(3)
    assert net(images).shape == (4, 3)
    net.reset_classifier(0)
    assert isinstance(net.get_classifier(), nn.Identity)
    assert net(images).shape == (4, 32)
    net.reset_classifier(0, "")
    assert net(images).shape == (4, 32, 4, 4)
    with pytest.raises(ValueError, match="global_pool should be 'avg', or '' for no pooling, not 'max'"):
        net.reset_classifier(3, "max")


@pytest.mark.filterwarnings("ignore:`torch.jit.script:FutureWarning", "ignore:`torch.jit.script:DeprecationWarning")
def test_a_net_can_be_scripted(net: StagedNet, images: torch.Tensor) -> None:
    net.eval()
    assert torch.equal(torch.jit.script(net)(images), net(images))


def test_a_state_dict_has_only_names_of_the_subclass(net: StagedNet) -> None:
    tops = {name.partition(".")[0] for name in net.state_dict()}
    assert tops == {"conv1", "layer1", "layer2", "fc"}
