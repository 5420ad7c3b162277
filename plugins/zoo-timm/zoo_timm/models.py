"""Recipes and models of timm's ResNets. Imports neither torch nor timm."""

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

# Common hyper-parameters for these nets on CIFAR: Nesterov momentum, weight decay 5e-4, cosine decay to 0.
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

# For weights of another dataset: first the head and then all layers, and only the head. Common values, not tuned.
FINETUNE = COSINE.replace(epochs=20, lr=0.01, warmup_epochs=0, warmup_lr=0.0, freeze_epochs=2, layer_decay=0.9)
LINEAR = FINETUNE.replace(epochs=50, freeze_epochs=50, layer_decay=1.0, crop_padding=0, hflip=0.0)

RECIPES = {"cosine": COSINE, "quick": QUICK, "finetune": FINETUNE, "linear": LINEAR}


@dataclass(frozen=True)
class Build:
    """Builds a net of timm. Imports timm and torch when it is called.

    Attributes:
        name: The name in timm's registry.
        keeps_stem: Whether to keep timm's stem for small images too.
    """

    name: str
    keeps_stem: bool = False

    def __call__(self, input_size: InputSize, num_classes: int) -> nn.Module:
        """Build the net untrained, images [N, *input_size] to logits [N, num_classes]."""
        from zoo_timm.resnet import small_image_resnet, timm_net

        return (timm_net if self.keeps_stem else small_image_resnet)(self.name, input_size, num_classes)


def timm_model(name: str, dataset: Dataset, parameters: int) -> Model:
    """Declare one of timm's ResNets on a dataset as a model of the zoo.

    Args:
        name: The name in timm's registry.
        dataset: The dataset. Images of up to 64 pixels get a stem that keeps their size.
        parameters: The number of parameters of the net with that stem.

    Returns:
        The model, which is the default of its architecture on CIFAR-10.
    """
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
