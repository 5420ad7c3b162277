"""Architectures, recipes and models: `resnetN` with shortcut A, `resnetNb` with B, `plainN` with none.

Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from zoo.plugin import (
    CIFAR10,
    CIFAR100,
    DIGITS,
    Architecture,
    Dataset,
    Deepening,
    InputSize,
    Model,
    Recipe,
    Renaming,
    Reported,
)

if TYPE_CHECKING:
    from torch import nn

PAPER_URL = "https://arxiv.org/abs/1512.03385"
CITATION = """
@inproceedings{he2016deep,
  title = {Deep Residual Learning for Image Recognition},
  author = {He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages = {770--778},
  year = {2016}
}
"""


class Shortcut(Enum):
    """The shortcut of a block (section 4.1)."""

    NONE = "none"  # no shortcut: a plain net
    A = "A"  # identity, subsampled and zero-padded if the shape changes; no parameters
    B = "B"  # identity, or a 1×1 convolution if the shape changes


# Section 4.2. Instead of the paper's 64k iterations: 200 epochs as in common reproductions, with the learning rate
# divided by 10 after 100 and 150.
PAPER = Recipe(
    epochs=200,
    batch_size=128,
    opt="sgd",
    lr=0.1,
    momentum=0.9,
    weight_decay=1e-4,
    sched="multistep",
    decay_milestones=(100, 150),
    crop_padding=4,
    hflip=0.5,
)

# "We use 0.01 to warm up the training until the training error is below 80% (about 400 iterations),
# and then go back to 0.1" (section 4.2). An epoch has 391 iterations.
PAPER_WARMUP = PAPER.replace(warmup_epochs=1, warmup_lr=0.01, warmup_mode="constant")

# Published with shortcut B: cosine decay to 0 over 200 epochs, and on CIFAR the mean of per-image deviations as std.
COSINE = PAPER.replace(sched="cosine", decay_milestones=())
COSINE_CIFAR = COSINE.replace(std=(0.2023, 0.1994, 0.2010))

# A short training. The learning rate was chosen for resnet20 on 5,000 held-out training images of CIFAR-10.
QUICK = COSINE.replace(epochs=12, lr=0.2, nesterov=True, weight_decay=5e-4, sched="onecycle", sched_on_updates=True)

# An afternoon on a CPU: cosine decay to 0 after a warm-up, with the paper's learning rate.
LONG = QUICK.replace(epochs=100, lr=0.1, sched="cosine", warmup_epochs=5, warmup_lr=0.01)

# LONG with decoupled distillation (arXiv:2203.08679) from a deeper net: on CIFAR from chenyaofo's weights. After 15
# epochs resnet20 had 90.8% on held-out images of CIFAR-10, 89.8% with Hinton's distillation (arXiv:1503.02531), and
# 88.6% without a teacher.
TEACHER, TEACHER_DEPTH = "resnet56b", 56
DISTILLED = LONG.replace(teacher=TEACHER, distill_type="dkd", distill=1.0, dkd_beta=2.0, distill_warmup_epochs=8)

# For weights of another dataset: trains the head first, then all layers, the stem at a third of the rate of the head.
# The rates were chosen with resnet20's weights of CIFAR-100, on 2,000 training and 2,000 held-out images of CIFAR-10.
STEM = 1 / 3


def _finetune(depth: int) -> Recipe:
    blocks = (depth - 2) // 2
    decay = round(STEM ** (1 / (blocks + 1)), 4)  # per step from the head through the blocks to the stem
    return LONG.replace(epochs=20, lr=0.03, warmup_epochs=0, warmup_lr=0.0, freeze_epochs=2, layer_decay=decay)


# Only the head, without augmentation: features are computed once, which makes epochs very short.
LINEAR = LONG.replace(epochs=50, lr=0.01, warmup_epochs=0, warmup_lr=0.0, freeze_epochs=50, crop_padding=0, hflip=0.0)

# Digits have 8×8 pixels and are not symmetric: one pixel of padding and no flips.
QUICK_DIGITS = QUICK.replace(epochs=40, lr=0.1, batch_size=64, crop_padding=1, hflip=0.0)


def _paper(test_top1: float, remark: str = "") -> Reported:
    return Reported(test_top1, "He et al. 2015, table 6", "paper", remark)


def _notebook(test_top1: float, remark: str = "best over test epochs") -> Reported:
    return Reported(test_top1, "2019 notebook", "reproduction", remark)


def _akamaster(test_top1: float) -> Reported:
    return Reported(test_top1, "akamaster/pytorch_resnet_cifar10", "reproduction", "best over test epochs")


def _chenyaofo(test_top1: float, remark: str = "last epoch of its logs") -> Reported:
    return Reported(test_top1, "chenyaofo/pytorch-cifar-models", "reproduction", remark)


def _rep_distiller(test_top1: float) -> Reported:
    return Reported(test_top1, "HobbitLong/RepDistiller", "reproduction", "not distilled, last epoch")


def _pytorchcv(test_top1: float) -> Reported:
    return Reported(test_top1, "osmr/pytorchcv", "reproduction", "test set used for validation")


REPORTED = {
    "resnet20_cifar10": (_paper(91.25), _notebook(92.08), _akamaster(91.73)),
    "resnet32_cifar10": (_paper(92.49), _notebook(92.73), _akamaster(92.63)),
    "resnet44_cifar10": (_paper(92.83), _notebook(93.12), _akamaster(93.10)),
    "resnet56_cifar10": (_paper(93.03), _notebook(92.42), _akamaster(93.39)),
    "resnet110_cifar10": (
        _paper(93.39, "mean of 5 runs"),
        _notebook(90.96, "its warm-up never ended"),
        _akamaster(93.68),
    ),
    "resnet1202_cifar10": (_paper(92.07), _akamaster(93.82)),
    "resnet20b_cifar10": (
        Reported(92.07, "2024 course report", "reproduction", "best over test epochs"),
        _chenyaofo(92.56),
        _pytorchcv(94.03),
    ),
    "resnet32b_cifar10": (_chenyaofo(93.41),),
    "resnet44b_cifar10": (_chenyaofo(93.85),),
    "resnet56b_cifar10": (_chenyaofo(94.21), _pytorchcv(95.48)),
    "resnet110b_cifar10": (_pytorchcv(96.31),),
    "resnet1202b_cifar10": (_pytorchcv(96.47),),
    "resnet20b_cifar100": (_chenyaofo(68.48), _rep_distiller(69.06), _pytorchcv(70.36)),
    "resnet32b_cifar100": (_chenyaofo(70.00), _rep_distiller(71.14)),
    "resnet44b_cifar100": (_chenyaofo(71.63, "best over test epochs"),),
    "resnet56b_cifar100": (_chenyaofo(72.37), _rep_distiller(72.34), _pytorchcv(75.12)),
    "resnet110b_cifar100": (_rep_distiller(74.31), _pytorchcv(77.20)),
    "resnet1202b_cifar100": (_pytorchcv(78.44),),
}


@dataclass(frozen=True)
class Build:
    """Builds a net. Imports torch when it is called.

    Attributes:
        depth: The number of layers, 6n + 2.
        shortcut: The kind of shortcut.
    """

    depth: int
    shortcut: Shortcut

    def __call__(self, input_size: InputSize, num_classes: int) -> nn.Module:
        """Build an untrained net, images [N, channels, H, W] to logits [N, num_classes]."""
        from zoo_resnet_cifar.resnet import CifarResNet

        return CifarResNet(self.depth, self.shortcut, input_size[0], num_classes)


NAMES = {Shortcut.NONE: "plain{}", Shortcut.A: "resnet{}", Shortcut.B: "resnet{}b"}
WORDS = {
    Shortcut.NONE: "without shortcuts",
    Shortcut.A: "with parameter-free shortcuts (A)",
    Shortcut.B: "with projection shortcuts where the shape changes (B)",
}


# Projects that published weights of these nets: akamaster with shortcuts A and B, chenyaofo with B.
# akamaster's names come from kuangliu/pytorch-cifar. The nets there are wider and have four stages.
AKAMASTER = Renaming("akamaster", ((r"^linear\.", "fc."),))
CHENYAOFO = Renaming("chenyaofo", ((r"(?<=\.)downsample\.", "shortcut."),))
RENAMINGS = {Shortcut.NONE: (), Shortcut.A: (AKAMASTER,), Shortcut.B: (AKAMASTER, CHENYAOFO)}


# With this weight at 0 a block is an identity, as its input is not negative.
LAST_NORM = r"\.bn2\.weight$"
DEPTHS = (20, 32, 44, 56, 110)


def _deepening(depth: int, shortcut: Shortcut) -> Deepening | None:
    shallower = tuple(NAMES[shortcut].format(other) for other in DEPTHS if other < depth)
    return Deepening(shallower, LAST_NORM) if shallower and shortcut is not Shortcut.NONE else None


def _architecture(depth: int, shortcut: Shortcut) -> Architecture:
    own = {"cosine": COSINE} if shortcut is Shortcut.B else {"paper": PAPER_WARMUP if depth >= 110 else PAPER}
    name = NAMES[shortcut].format(depth)
    is_taught = depth <= TEACHER_DEPTH and shortcut is not Shortcut.NONE and name != TEACHER
    taught = {"distilled": DISTILLED} if is_taught else {}
    return Architecture(
        name=name,
        build=Build(depth, shortcut),
        recipes={**own, "quick": QUICK, "long": LONG, **taught, "finetune": _finetune(depth), "linear": LINEAR},
        paper=PAPER_URL,
        citation=CITATION,
        description=f"The {depth}-layer CIFAR net of He et al. (2015) {WORDS[shortcut]}.",
        renamings=RENAMINGS[shortcut],
        deepening=_deepening(depth, shortcut),
        tags=("resnet",),
    )


def _models(depth: int, shortcut: Shortcut, parameters10: int, parameters100: int) -> tuple[Model, Model]:
    """Declare a net on CIFAR-10, its default dataset, and on CIFAR-100, with its numbers of parameters."""
    net = _architecture(depth, shortcut)

    def on(dataset: Dataset, parameters: int) -> Model:
        recipes = dict(net.recipes)
        if shortcut is Shortcut.B:
            recipes["cosine"] = COSINE_CIFAR
        if "distilled" in recipes:
            recipes["distilled"] = DISTILLED.replace(teacher=f"{TEACHER}_{dataset.name}.chenyaofo")
        reported = REPORTED.get(f"{net.name}_{dataset.name}", ())
        return Model(net, dataset, parameters, recipes, reported, default=dataset is CIFAR10)

    return on(CIFAR10, parameters10), on(CIFAR100, parameters100)


A, B, PLAIN = Shortcut.A, Shortcut.B, Shortcut.NONE

resnet20_cifar10, resnet20_cifar100 = _models(20, A, 269_722, 275_572)
resnet32_cifar10, resnet32_cifar100 = _models(32, A, 464_154, 470_004)
resnet44_cifar10, resnet44_cifar100 = _models(44, A, 658_586, 664_436)
resnet56_cifar10, resnet56_cifar100 = _models(56, A, 853_018, 858_868)
resnet110_cifar10, resnet110_cifar100 = _models(110, A, 1_727_962, 1_733_812)
resnet1202_cifar10, resnet1202_cifar100 = _models(1202, A, 19_421_274, 19_427_124)

resnet20b_cifar10, resnet20b_cifar100 = _models(20, B, 272_474, 278_324)
resnet32b_cifar10, resnet32b_cifar100 = _models(32, B, 466_906, 472_756)
resnet44b_cifar10, resnet44b_cifar100 = _models(44, B, 661_338, 667_188)
resnet56b_cifar10, resnet56b_cifar100 = _models(56, B, 855_770, 861_620)
resnet110b_cifar10, resnet110b_cifar100 = _models(110, B, 1_730_714, 1_736_564)
resnet1202b_cifar10, resnet1202b_cifar100 = _models(1202, B, 19_424_026, 19_429_876)

plain20_cifar10, plain20_cifar100 = _models(20, PLAIN, 269_722, 275_572)
plain32_cifar10, plain32_cifar100 = _models(32, PLAIN, 464_154, 470_004)
plain44_cifar10, plain44_cifar100 = _models(44, PLAIN, 658_586, 664_436)
plain56_cifar10, plain56_cifar100 = _models(56, PLAIN, 853_018, 858_868)

# The smallest net on a dataset that needs no download; trains in seconds on a CPU.
RESNET8 = replace(
    _architecture(8, A),
    recipes={"quick": QUICK, "finetune": _finetune(8), "linear": LINEAR},
    description="The smallest CIFAR net of He et al. (2015), 8 layers.",
)
FINETUNE_DIGITS = _finetune(8).replace(crop_padding=1, hflip=0.0)
resnet8_digits = Model(RESNET8, DIGITS, 75_002, {"quick": QUICK_DIGITS, "finetune": FINETUNE_DIGITS})
