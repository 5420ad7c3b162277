"""The zoo's models in timm's registry."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import FeatureInfo, adapt_input_conv
from zoo_timm.registry import register

import zoo
from zoo import api

NAMES = ["resnet20_cifar10", "resnet8_digits", "resnet26_wide_cifar100", "resnet_tied_cifar100", "resnet18_cifar10"]


@pytest.fixture(autouse=True, scope="module")
def registered() -> None:
    for name in NAMES:
        register(name)


def images(name: str) -> torch.Tensor:
    return torch.randn(2, *timm.get_pretrained_cfg(name).input_size)


def test_a_tag_loads_imported_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = zoo.pull("resnet8_digits", out=tmp_path / "pulled"), tmp_path / "hub" / "resnet8_digits.somebody"
    api.import_model("resnet8_digits", path / "model.safetensors", by="Somebody", license="mit", out=out)
    monkeypatch.setenv("ZOO_HUB", f"file:{out.parent}")
    net = timm.create_model("resnet8_digits.somebody", pretrained=True)
    theirs = zoo.load("resnet8_digits.somebody", pretrained=True).state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in net.state_dict().items())
    assert (net.pretrained_cfg["tag"], net.pretrained_cfg["license"]) == ("somebody", "mit")


def test_an_unknown_tag_is_refused() -> None:
    with pytest.raises(zoo.ZooError, match=r"no weights of resnet8_digits\.nobody"):
        timm.create_model("resnet8_digits.nobody", pretrained=True)


def test_timm_lists_models_with_weights_as_pretrained() -> None:
    assert timm.list_models("resnet*_digits", pretrained=True) == ["resnet8_digits"]
    assert timm.is_model_pretrained("resnet20_cifar10")
    assert not timm.is_model_pretrained("resnet18_cifar10")
    cfg = timm.get_pretrained_cfg("resnet26_wide_cifar100")
    assert cfg is not None
    assert (cfg.num_classes, cfg.input_size) == (100, (3, 32, 32))


@pytest.mark.parametrize("name", NAMES)
def test_a_net_has_features_and_layers_as_its_pretrained_cfg_declares(name: str) -> None:
    net, x = timm.create_model(name, num_classes=0).eval(), images(name)
    cfg, maps, features = net.pretrained_cfg, net.forward_features(x), net(x)
    assert (cfg["first_conv"], cfg["classifier"]) == ("conv1", "fc")
    assert maps.shape[2:] == cfg["pool_size"]
    assert features.shape == (2, net.num_features)
    assert torch.equal(features, net.forward_head(maps, pre_logits=True))
    assert net.num_classes == 0
    assert timm.create_model(name, num_classes=0, global_pool="")(x).ndim == 4
    net.double().reset_classifier(7)
    assert net(x.double()).shape == (2, 7)
    assert net.get_classifier().weight.dtype == torch.float64
    assert not any(module.training for module in net.modules())


def test_without_a_classifier_the_other_weights_are_kept() -> None:
    net = timm.create_model("resnet20_cifar10", pretrained=True, num_classes=0)
    ours = zoo.load("resnet20_cifar10", pretrained=True).state_dict()
    assert ours.keys() - net.state_dict().keys() == {"fc.weight", "fc.bias"}
    assert all(torch.equal(tensor, ours[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("channels", [1, 2, 7])
def test_the_stem_is_adapted_to_other_channels_as_in_timm(channels: int) -> None:
    net = timm.create_model("resnet20_cifar10", pretrained=True, in_chans=channels)
    ours = zoo.load("resnet20_cifar10", pretrained=True).state_dict()["conv1.weight"]
    assert torch.equal(net.state_dict()["conv1.weight"], adapt_input_conv(channels, ours))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "resnet18_cifar10"])
def test_an_unsupported_pooling_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="global_pool should be"):
        timm.create_model(name, global_pool="catavgmax")


def test_dropout_and_unknown_arguments_are_refused() -> None:
    assert timm.create_model("resnet20_cifar10", drop_rate=0.0).num_classes == 10
    with pytest.raises(ValueError, match="has no dropout"):
        timm.create_model("resnet20_cifar10", drop_rate=0.1)
    with pytest.raises(TypeError):
        timm.create_model("resnet20_cifar10", not_an_argument=1)


@pytest.mark.parametrize("name", NAMES)
def test_feature_maps_of_stages_are_returned(name: str) -> None:
    x = images(name)
    net = timm.create_model(name, features_only=True).eval()
    assert isinstance(net.feature_info, FeatureInfo)
    for stage, channels, reduction in zip(
        net(x), net.feature_info.channels(), net.feature_info.reduction(), strict=True
    ):
        assert stage.shape[1] == channels
        assert x.shape[2] // reduction - 1 <= stage.shape[2] <= -(-x.shape[2] // reduction)
    whole = timm.create_model(name).eval()
    last, maps = whole.forward_intermediates(x, indices=2)
    assert torch.equal(last, whole.forward_features(x))
    assert torch.equal(maps[-1], last)
    assert len(maps) == 2
    (first,) = whole.forward_intermediates(x, indices=[0], stop_early=True, intermediates_only=True)
    assert first.shape[1] == whole.feature_info[0]["num_chs"]


@pytest.mark.parametrize("name", ["resnet20_cifar10", "resnet18_cifar10"])
@pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The TorchScript type system doesn't support:UserWarning")  # about torch's layers
def test_torchscript_and_fx_compute_the_same(name: str) -> None:
    net = timm.create_model(name).eval()
    x = images(name)
    assert torch.equal(torch.jit.script(net)(x), net(x))
    assert torch.equal(torch.jit.script(torch.fx.symbolic_trace(net))(x), net(x))


def test_a_net_can_be_pickled() -> None:
    net = timm.create_model("resnet8_digits", pretrained=True)
    assert pickle.loads(pickle.dumps(net))(torch.zeros(1, 1, 8, 8)).shape == (1, 10)


def test_a_weights_file_in_the_pretrained_cfg_is_loaded_by_timm(tmp_path: Path) -> None:
    ours, path = zoo.load("resnet8_digits").state_dict(), tmp_path / "model.safetensors"
    save_file(ours, path)
    net = timm.create_model("resnet8_digits", pretrained=True, pretrained_cfg_overlay={"file": str(path)})
    assert all(torch.equal(tensor, ours[name]) for name, tensor in net.state_dict().items())
