"""Reading checkpoints of other projects and renaming their tensors to fit a net of the zoo."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from zoo import registry
from zoo.errors import WeightsError
from zoo.nets.build import build
from zoo.nets.conversion import Fitted, fitted, read
from zoo.spec import InputSize, Model, Renaming

from .test_weights import Tied

DIGITS, CIFAR, PROJECTED = (registry.load(f"resnet{name}") for name in ("8_digits", "20_cifar10", "20b_cifar10"))
IMAGE: InputSize = (1, 8, 8)
State = dict[str, Tensor]


@pytest.fixture
def net() -> nn.Module:
    """A net whose batch norm statistics differ from their initial values."""
    net = build(DIGITS.architecture, DIGITS.dataset)
    net(torch.randn(8, *IMAGE))
    return net


def saved(value: object, *, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def renamed(state: Mapping[str, Tensor], *rules: tuple[str, str]) -> State:
    names = {name: name for name in state}
    for pattern, replacement in rules:
        names = {name: re.sub(pattern, replacement, new) for name, new in names.items()}
    return {names[name]: tensor for name, tensor in state.items()}


def equal(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    return list(state) == list(expected) and all(torch.equal(state[name], expected[name]) for name in state)


def fit(net: nn.Module, state: Mapping[str, Tensor], *renamings: Renaming) -> Fitted:
    return fitted(net, state, renamings)


# -- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False])
def test_zipped_and_old_torch_checkpoints_are_read(net: nn.Module, zipped: bool) -> None:
    assert equal(read(saved(net.state_dict(), zipped=zipped), "net.pth"), net.state_dict())


@pytest.mark.parametrize("key", ["state_dict", "model", "net", "state_dict_ema"])
def test_the_state_dict_of_a_checkpoint_is_preferred_to_its_average(net: nn.Module, key: str) -> None:
    averaged = {name: torch.zeros_like(tensor) for name, tensor in net.state_dict().items()}
    weights = {"state_dict_ema": averaged, key: net.state_dict()}
    for checkpoint in (weights, {"model": weights}):
        content = saved({"epoch": 3, "best_prec1": torch.tensor(91.7), "optimizer": {"lr": 0.1}, **checkpoint})
        assert equal(read(content, "net.pth"), net.state_dict())


@pytest.mark.parametrize("zipped", [True, False])
def test_harmless_values_in_a_checkpoint_are_accepted(net: nn.Module, zipped: bool, tmp_path: Path) -> None:
    checkpoint = {
        "args": argparse.Namespace(lr=0.1, out=tmp_path),
        "best": np.float64(91.7),
        "epochs": np.int64(3),
        "state_dict": net.state_dict(),
    }
    assert equal(read(saved(checkpoint, zipped=zipped), "net.pth"), net.state_dict())


def test_an_averaged_model_is_read_without_its_counter(net: nn.Module) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(net)
    for content in (saved(averaged.state_dict()), saved({"model_ema": averaged.state_dict()})):
        assert equal(read(content, "net.pth"), net.state_dict())


def test_a_checkpoint_with_two_nets_is_refused(net: nn.Module) -> None:
    with pytest.raises(WeightsError, match=r"net.pth holds several nets \(model, net\)"):
        read(saved({"model": net.state_dict(), "net": net.state_dict()}), "net.pth")


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.module."])
def test_a_prefix_of_all_names_is_removed(net: nn.Module, prefix: str) -> None:
    content = saved({prefix + name: tensor for name, tensor in net.state_dict().items()})
    assert equal(read(content, "net.pth"), net.state_dict())


class RunsCode:
    """Unpickling it creates a folder, which stands for malicious code."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize(
    "write",
    [
        saved,
        lambda value: saved(value, zipped=False),
        pickle.dumps,
    ],
    ids=["zipped", "old", "plain"],
)
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(
    tmp_path: object, write: Callable[[object], bytes]
) -> None:
    folder = f"{tmp_path}/made"
    with pytest.raises(WeightsError, match=r"net\.pth is a pickle that is refused: it would run code"):
        read(write({"state_dict": {"weight": RunsCode(folder)}}), "net.pth")
    assert not os.path.exists(folder)  # noqa: PTH110


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html><body>Not found</body></html>", "is an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "is a git-lfs pointer"),
        (b'{"error": "rate limit exceeded"}', "is neither safetensors nor a torch checkpoint"),
        (b"PK\x03\x04 and no more", "is cut off, damaged or no torch checkpoint"),
        (saved({"epoch": 3, "lr": [0.1]}), "holds no state dict"),
        (saved([torch.ones(1)]), "holds no state dict"),
        (saved({"state_dict": {}}), "holds no state dict"),
        (save_safetensors({}), "holds no tensors"),
        (saved({"weight": torch.ones(2, device="meta")}), "holds weight sparse, quantized or without values"),
        (saved({"weight": torch.ones(2, 2).to_sparse()}), "holds weight sparse, quantized or without values"),
    ],
)
def test_a_file_without_a_state_dict_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(WeightsError, match=f"net.pth {reason}"):
        read(content, "net.pth")


@pytest.mark.parametrize(
    ("write", "part"), [(saved, 0.01), (lambda state: saved(state, zipped=False), 0.5), (save_safetensors, 0.999)]
)
def test_a_truncated_file_is_refused(
    net: nn.Module, write: Callable[[Mapping[str, Tensor]], bytes], part: float
) -> None:
    content = write(net.state_dict())
    with pytest.raises(WeightsError, match=r"net\.pth is cut off"):
        read(content[: int(len(content) * part)], "net.pth")


def test_a_compressed_archive_is_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data.pkl", bytes(1_000_000))
    with pytest.raises(WeightsError, match="is a compressed archive"):
        read(file.getvalue(), "net.pth")


# -- by names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "theirs", "how"),
    [
        (DIGITS, (r"^fc\.", "linear."), "akamaster's names: linear. → fc."),
        (CIFAR, (r"^fc\.", "linear."), "akamaster's names: linear. → fc."),
        (PROJECTED, (r"^fc\.", "linear."), "akamaster's names: linear. → fc."),
        (PROJECTED, (r"\bshortcut\.", "downsample."), "chenyaofo's names: downsample. → shortcut."),
    ],
    ids=["akamaster's resnet8", "akamaster's resnet20", "akamaster's resnet20 with B", "chenyaofo's resnet20"],
)
def test_tensor_names_of_well_known_projects_are_converted(model: Model, theirs: tuple[str, str], how: str) -> None:
    net, other = (build(model.architecture, model.dataset) for _ in range(2))
    fitting = fitted(net, renamed(other.state_dict(), theirs), model.architecture.renamings)
    assert fitting.how == how
    net.load_state_dict(fitting.state_dict, strict=True)
    assert equal(net.state_dict(), other.state_dict())


def test_renaming_rules_are_applied_in_order(net: nn.Module) -> None:
    renaming = Renaming("somebody", ((r"^block(\d)\.", r"layer\1."), (r"^head\.", "fc.")))
    fitting = fit(net, renamed(net.state_dict(), (r"^layer(\d)\.", r"block\1."), (r"^fc\.", "head.")), renaming)
    assert fitting.how == "somebody's names: block1. → layer1., head. → fc."
    assert equal(fitting.state_dict, net.state_dict())


def test_missing_batch_counters_are_set_to_zero(net: nn.Module) -> None:
    state = {name: tensor for name, tensor in net.state_dict().items() if "num_batches_tracked" not in name}
    converted = fit(net, state).state_dict
    assert converted["bn1.num_batches_tracked"].item() == 0
    assert converted["bn1.num_batches_tracked"].dtype == torch.int64
    assert equal({name: converted[name] for name in state}, state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_floating_point_values_are_converted_to_the_dtype_of_the_net(net: nn.Module, dtype: torch.dtype) -> None:
    state = {name: t.to(dtype) if t.is_floating_point() else t for name, t in net.state_dict().items()}
    converted = fit(net, state).state_dict
    assert {tensor.dtype for tensor in converted.values()} == {torch.float32, torch.int64}
    assert torch.equal(converted["fc.weight"], net.state_dict()["fc.weight"].to(dtype).float())


def without(*names: str) -> Callable[[State], State]:
    return lambda state: {name: tensor for name, tensor in state.items() if name not in names}


def with_(**tensors: Tensor) -> Callable[[State], State]:
    return lambda state: {**state, **{name.replace("__", "."): tensor for name, tensor in tensors.items()}}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without("fc.weight", "fc.bias"), r"fc\.weight of shape \(10, 64\) is missing"),
        (without("bn1.running_mean"), r"bn1\.running_mean of shape \(16,\) is missing"),
        (lambda state: dict(list(state.items())[: len(state) // 2]), r"layer2\S+ of shape \(32,\) is missing"),
        (with_(more=torch.ones(1)), "more is not in the net"),
        (with_(fc__weight=torch.ones(10, 32)), r"fc\.weight has shape \(10, 32\), expected \(10, 64\)"),
        (
            with_(fc__weight=torch.ones(100, 64), fc__bias=torch.ones(100)),
            r"they are for 100 classes, the net is for 10: fc\.weight has shape \(100, 64\), expected \(10, 64\)",
        ),
        (with_(bn1__num_batches_tracked=torch.tensor(1.0)), r"bn1\.num_batches_tracked has type torch\.float32"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_the_first_mismatch(
    net: nn.Module, change: Callable[[State], State], reason: str
) -> None:
    with pytest.raises(WeightsError, match=f"the weights do not fit the net: {reason}"):
        fit(net, change(dict(net.state_dict())), *DIGITS.architecture.renamings)


def test_the_reported_mismatch_uses_the_best_renaming(net: nn.Module) -> None:
    state = renamed(net.state_dict(), (r"^fc\.", "linear."))
    del state["linear.bias"]
    with pytest.raises(WeightsError, match=r"fc\.bias of shape \(10,\) is missing"):
        fit(net, state, *DIGITS.architecture.renamings)


@pytest.mark.parametrize("value", [float("nan"), 1e300])
def test_values_that_overflow_the_dtype_of_the_net_are_refused(net: nn.Module, value: float) -> None:
    state = {**net.state_dict(), "fc.bias": torch.full((10,), value, dtype=torch.float64)}
    with pytest.raises(WeightsError, match=r"fc\.bias has values that are not finite"):
        fit(net, state)


def test_a_shared_tensor_may_have_one_or_all_of_its_names() -> None:
    net = Tied(IMAGE, 10)
    assert equal(fit(net, net.state_dict()).state_dict, net.state_dict())
    once = {name: tensor for name, tensor in net.state_dict().items() if not re.match(r"blocks\.[12]\.", name)}
    assert equal(fit(net, once).state_dict, net.state_dict())


def test_different_values_of_a_shared_tensor_are_refused() -> None:
    net = Tied(IMAGE, 10)
    state = {**net.state_dict(), "blocks.2.0.bias": net.state_dict()["blocks.0.0.bias"] + 1}
    with pytest.raises(
        WeightsError, match=r"blocks\.0\.0\.bias and .* are the same tensor in the net, but differ here"
    ):
        fit(net, state)
