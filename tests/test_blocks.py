"""The parts of a net that plugins may import, by the net that docs/plugins.md makes of them."""

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
    """The page's net, in training mode."""
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


@pytest.mark.parametrize("synchronised", [False, True])  # batch norm as several processes on GPUs have it
def test_recomputing_changes_neither_gradients_nor_statistics(
    net: StagedNet, images: torch.Tensor, synchronised: bool
) -> None:
    if synchronised:
        nn.SyncBatchNorm.convert_sync_batchnorm(net)  # type: ignore[no-untyped-call]
    kept = {}
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    for enable in (False, True):
        net.load_state_dict(before)
        net.set_grad_checkpointing(enable)
        net.zero_grad()
        net(images).sum().backward()
        kept[enable] = [*(one.grad.clone() for one in net.parameters() if one.grad is not None), *net.buffers()]
        kept[enable] = [tensor.clone() for tensor in kept[enable]]
    assert all(torch.equal(one, other) for one, other in zip(kept[False], kept[True], strict=True))


def test_features_and_head_make_the_logits(net: StagedNet, images: torch.Tensor) -> None:
    net.eval()
    maps = net.forward_intermediates(images, indices=[0, 1], intermediates_only=True)
    assert isinstance(maps, list)
    assert [tuple(one.shape[1:]) for one in maps] == [(16, 8, 8), (32, 4, 4)]
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
def test_it_is_scripted(net: StagedNet, images: torch.Tensor) -> None:
    net.eval()
    assert torch.equal(torch.jit.script(net)(images), net(images))


def test_state_dict_names_are_the_subclasss_own(net: StagedNet) -> None:
    tops = {name.partition(".")[0] for name in net.state_dict()}
    assert tops == {"conv1", "layer1", "layer2", "fc"}
