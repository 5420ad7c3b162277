from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from zoo_resnet_cifar import models
from zoo_resnet_cifar.models import Shortcut
from zoo_resnet_cifar.resnet import BasicBlock, CifarResNet, PaddedIdentity

from zoo.plugin import Model
from zoo.testing import check_model, check_training, learning_rates

MODELS = {name: value for name, value in vars(models).items() if isinstance(value, Model)}

# Published numbers for 10 classes. 100 classes add 90 outputs with 64 weights and a bias each.
PARAMETERS = {
    "resnet20": 269_722, "resnet32": 464_154, "resnet44": 658_586, "resnet56": 853_018,
    "resnet110": 1_727_962, "resnet1202": 19_421_274,
    "resnet20b": 272_474, "resnet32b": 466_906, "resnet44b": 661_338, "resnet56b": 855_770,
    "resnet110b": 1_730_714, "resnet1202b": 19_424_026,
    "plain20": 269_722, "plain32": 464_154, "plain44": 658_586, "plain56": 853_018,
}  # fmt: skip


def test_every_net_of_the_paper_has_the_published_number_of_parameters() -> None:
    expected = {f"{name}_cifar10": count for name, count in PARAMETERS.items()}
    expected |= {f"{name}_cifar100": count + 5_850 for name, count in PARAMETERS.items()}
    assert {name: model.parameters for name, model in MODELS.items()} == expected | {"resnet8_digits": 75_002}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_net_has_the_declared_parameters(name: str) -> None:
    dataset = MODELS[name].dataset
    with torch.device("meta"):
        net = MODELS[name].architecture.build(dataset.input_size, len(dataset.classes))
    assert sum(parameter.numel() for parameter in net.parameters()) == MODELS[name].parameters


@pytest.mark.parametrize("name", ["resnet8_digits", "resnet32b_cifar100", "plain20_cifar10"])
def test_a_model_passes_the_check(name: str) -> None:
    check_model(MODELS[name])


@pytest.mark.parametrize("shortcut", list(Shortcut))
def test_the_stages_have_the_sizes_of_section_4_2(shortcut: Shortcut) -> None:
    net = CifarResNet(20, shortcut, 3, 10)
    x = net.bn1(net.conv1(torch.randn(2, 3, 32, 32)))
    for stage, shape in ((net.layer1, (16, 32, 32)), (net.layer2, (32, 16, 16)), (net.layer3, (64, 8, 8))):
        x = stage(x)
        assert x.shape == (2, *shape)
    assert len(net.layer1) == len(net.layer2) == len(net.layer3) == 3


def test_a_block_without_residual_returns_its_shortcut() -> None:
    x = torch.randn(2, 16, 8, 8).relu()
    for shortcut, expected in ((Shortcut.A, x), (Shortcut.B, x), (Shortcut.NONE, torch.zeros_like(x))):
        block = CifarResNet(8, shortcut, 3, 10).layer1[0]
        assert isinstance(block.bn2, nn.BatchNorm2d)
        nn.init.zeros_(block.bn2.weight)
        assert torch.equal(block(x), expected)


def test_shortcut_b_projects_only_where_the_shape_changes() -> None:
    net = CifarResNet(20, Shortcut.B, 3, 10)
    projected = [
        name for name, module in net.named_modules() if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)
    ]
    assert projected == ["layer2.0.shortcut.0", "layer3.0.shortcut.0"]


def test_initialisation_is_he_normal_and_batch_norm_starts_at_identity() -> None:
    torch.manual_seed(0)
    for name, module in CifarResNet(56, Shortcut.A, 3, 10).named_modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.in_channels * 9
            assert module.bias is None
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=0.12), name
        elif isinstance(module, nn.Linear):
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / 64), rel=0.12)
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()


@pytest.mark.parametrize("depth", [2, 19, 21])
def test_a_depth_that_is_not_6n_plus_2_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match="6n"):
        CifarResNet(depth, Shortcut.A, 3, 10)


def test_the_paper_recipe_has_the_values_of_the_paper() -> None:
    recipe = MODELS["resnet56_cifar10"].recipes["paper"]
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.momentum) == (200, 128, 0.1, 0.9)
    assert (recipe.weight_decay, recipe.decay_milestones, recipe.decay_rate) == (1e-4, (100, 150), 0.1)
    assert (recipe.crop_padding, recipe.hflip, recipe.nesterov, recipe.warmup_epochs) == (4, 0.5, False, 0)


def test_nets_up_to_56_layers_have_a_recipe_with_the_teacher_of_their_dataset() -> None:
    nets = [f"resnet{depth}{b}" for depth in (20, 32, 44) for b in ("", "b")] + ["resnet56"]
    assert {
        name: model.recipes["distilled"].teacher for name, model in MODELS.items() if "distilled" in model.recipes
    } == {f"{net}_{data}": f"resnet56b_{data}.chenyaofo" for net in nets for data in ("cifar10", "cifar100")}
    assert {model.default_recipe for model in MODELS.values()} == {"paper", "cosine", "quick"}
    assert MODELS["resnet20_cifar10"].architecture.recipes["distilled"].teacher == "resnet56b"  # on other datasets


def test_the_distilled_recipe_has_the_values_of_its_paper() -> None:
    recipe = MODELS["resnet20_cifar100"].recipes["distilled"]
    assert (recipe.distill_type, recipe.distill, recipe.dkd_alpha, recipe.dkd_beta) == ("dkd", 1.0, 1.0, 2.0)
    assert recipe.distill_warmup_epochs / recipe.epochs == pytest.approx(20 / 240, abs=0.01)


def test_a_residual_net_can_start_from_shallower_ones_with_its_shortcut() -> None:
    begins = {
        model.architecture.name: model.architecture.deepening.shallower
        for model in MODELS.values()
        if model.architecture.deepening
    }
    assert begins["resnet56"] == ("resnet20", "resnet32", "resnet44")
    assert begins["resnet32b"] == ("resnet20b",)
    assert set(begins) == {f"resnet{n}{b}" for n in (32, 44, 56, 110, 1202) for b in ("", "b")}


def test_the_readme_lists_the_recipes_of_every_net() -> None:
    page = Path(__file__).parent.parent / "README.md"
    rows = re.findall(r"^\| (`(?:resnet|plain)\d.*) \| .* \| (.*) \|$", page.read_text(), re.MULTILINE)
    listed = {net: set(re.findall(r"\w+", recipes)) for nets, recipes in rows for net in re.findall(r"\w+", nets)}
    assert listed == {model.architecture.name: set(model.recipes) for model in MODELS.values()}


def test_the_paper_recipe_has_the_learning_rates_of_the_paper() -> None:
    steps = 10  # per epoch, fewer than on CIFAR
    for name, first in (("resnet56_cifar10", 0.1), ("resnet110_cifar10", 0.01)):
        rates = learning_rates(MODELS[name].recipes["paper"], steps)
        assert rates[0] == rates[steps - 1] == pytest.approx(first)
        # 0.1 after the warm-up; a widely used reproduction stayed at 0.01 and lost 2.6 points.
        assert rates[steps] == rates[100 * steps - 1] == pytest.approx(0.1)
        assert rates[100 * steps] == rates[150 * steps - 1] == pytest.approx(0.01)
        assert rates[150 * steps] == rates[-1] == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("name", "recipe"), [("resnet20b_cifar100", "cosine"), ("resnet8_digits", "finetune"), ("resnet8_digits", "linear")]
)
def test_a_model_learns_and_is_loaded(name: str, recipe: str) -> None:
    check_training(MODELS[name], recipe=recipe)


@pytest.mark.parametrize("name", ["resnet20_cifar10", "resnet110_cifar10", "resnet1202b_cifar100"])
def test_the_stem_is_fine_tuned_at_a_third_of_the_rate_of_the_head(name: str) -> None:
    model = MODELS[name]
    with torch.device("meta"):
        net = model.architecture.build(model.dataset.input_size, len(model.dataset.classes))
    blocks = sum(isinstance(module, BasicBlock) for module in net.modules())
    assert model.recipes["finetune"].layer_decay ** (blocks + 1) == pytest.approx(1 / 3, rel=0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sides", [(8, 8), (9, 7)])
def test_shortcut_a_takes_every_second_pixel_and_keeps_the_memory_format(
    dtype: torch.dtype, sides: tuple[int, int]
) -> None:
    x = torch.randn(2, 16, *sides, dtype=dtype).to(memory_format=torch.channels_last)
    shortcut = PaddedIdentity(16, 32)
    gradients = []
    for function in (shortcut, lambda x: nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 8, 8))):
        # Autograd gives the gradient of a leaf the layout of the leaf, so this is not a leaf.
        seen: list[torch.Tensor] = []
        inner = x.clone().requires_grad_() * 1
        inner.register_hook(seen.append)  # type: ignore[no-untyped-call]
        out = function(inner)
        out.backward(torch.arange(out.numel(), dtype=dtype).view(out.shape).to(memory_format=torch.channels_last))
        gradients.append((out, seen[0]))
    (ours, our_gradient), (theirs, their_gradient) = gradients
    assert torch.equal(ours, theirs)
    assert torch.equal(our_gradient, their_gradient)
    assert our_gradient.is_contiguous(memory_format=torch.channels_last)
    assert not their_gradient.is_contiguous(memory_format=torch.channels_last)
