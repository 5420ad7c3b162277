"""The models: facts only, neither torch nor timm. `timm_model` makes one of any ResNet that timm has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoo.plugin import CIFAR10, CIFAR100, Architecture, Dataset, InputSize, Model, Recipe

if TYPE_CHECKING:
    from torch import nn

PAGE = "https://github.com/huggingface/pytorch-image-models"
CITATION = """
@misc{rw2019timm,
  title = {PyTorch Image Models},
  author = {Wightman, Ross},
  year = {2019},
  publisher = {GitHub},
  doi = {10.5281/zenodo.4414861},
  howpublished = {\\url{https://github.com/huggingface/pytorch-image-models}}
}
"""

# What such nets are usually trained with on CIFAR: Nesterov momentum, a weight decay of 5e-4, a cosine to 0.
COSINE = Recipe(
    epochs=200,
    batch_size=128,
    opt="sgd",
    lr=0.1,
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-4,
    sched="cosine",
    sched_on_updates=True,
    warmup_epochs=5,
    warmup_lr=0.01,
    crop_padding=4,
    hflip=0.5,
)

QUICK = COSINE.replace(epochs=12, sched="onecycle", warmup_epochs=0, warmup_lr=0.0)

# From weights of another data set: the head first, then all of it; and the head alone. As is usual, and not tuned.
FINETUNE = COSINE.replace(epochs=20, lr=0.01, warmup_epochs=0, warmup_lr=0.0, freeze_epochs=2, layer_decay=0.9)
LINEAR = FINETUNE.replace(epochs=50, freeze_epochs=50, layer_decay=1.0, crop_padding=0, hflip=0.0)

RECIPES = {"cosine": COSINE, "quick": QUICK, "finetune": FINETUNE, "linear": LINEAR}


@dataclass(frozen=True)
class Build:
    """Builds timm's net; imports timm and torch when it is called."""

    name: str
    has_own_stem: bool = False  # timm's, instead of one for the size of the images

    def __call__(self, input_size: InputSize, num_classes: int) -> nn.Module:
        """Build it untrained."""
        from zoo_timm.resnet import own_net, timm_resnet

        return (own_net if self.has_own_stem else timm_resnet)(self.name, input_size, num_classes)


def timm_model(name: str, dataset: Dataset, parameters: int) -> Model:
    """One of timm's ResNets on a data set; `parameters` with the stem for its images."""
    architecture = Architecture(
        name=name,
        build=Build(name),
        recipes=RECIPES,
        paper=PAGE,
        citation=CITATION,
        description=f"timm's {name}, for small images with a stem that keeps their size.",
        tags=("resnet", "timm"),
    )
    return Model(architecture, dataset, parameters, default=dataset is CIFAR10)


resnet18_cifar10 = timm_model("resnet18", CIFAR10, 11_173_962)
resnet18_cifar100 = timm_model("resnet18", CIFAR100, 11_220_132)
resnet26_cifar10 = timm_model("resnet26", CIFAR10, 13_958_986)
resnet26_cifar100 = timm_model("resnet26", CIFAR100, 14_143_396)
resnet34_cifar10 = timm_model("resnet34", CIFAR10, 21_282_122)
resnet34_cifar100 = timm_model("resnet34", CIFAR100, 21_328_292)
resnet50_cifar10 = timm_model("resnet50", CIFAR10, 23_520_842)
resnet50_cifar100 = timm_model("resnet50", CIFAR100, 23_705_252)
resnet101_cifar10 = timm_model("resnet101", CIFAR10, 42_512_970)
resnet101_cifar100 = timm_model("resnet101", CIFAR100, 42_697_380)
resnet152_cifar10 = timm_model("resnet152", CIFAR10, 58_156_618)
resnet152_cifar100 = timm_model("resnet152", CIFAR100, 58_341_028)
resnext50_32x4d_cifar10 = timm_model("resnext50_32x4d", CIFAR10, 22_992_714)
resnext50_32x4d_cifar100 = timm_model("resnext50_32x4d", CIFAR100, 23_177_124)
wide_resnet50_2_cifar10 = timm_model("wide_resnet50_2", CIFAR10, 66_847_050)
wide_resnet50_2_cifar100 = timm_model("wide_resnet50_2", CIFAR100, 67_031_460)
seresnet50_cifar10 = timm_model("seresnet50", CIFAR10, 26_051_834)
seresnet50_cifar100 = timm_model("seresnet50", CIFAR100, 26_236_244)
