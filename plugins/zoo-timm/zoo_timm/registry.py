"""The zoo's models under their names in timm's registry, for who asks for it.

import timm
from zoo_timm.registry import register

register()
model = timm.create_model("resnet20_cifar10", pretrained=True)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from timm.models import PretrainedCfg, is_model, register_model
from torch import nn

import zoo


def register(pattern: str | None = None) -> list[str]:
    """Make timm know every model of the zoo (those that match `pattern`); returns their names.

    timm then creates them, with the zoo's weights where `pretrained`, for other `num_classes` and
    `in_chans` too; `timm.data.resolve_model_data_config` finds size, mean and std.
    """
    names = zoo.list_models(pattern)
    for name in names:
        if not is_model(name):  # asked a second time
            register_model(_entry(name))
    return names


def _entry(name: str) -> Callable[..., nn.Module]:
    def create(
        pretrained: bool = False,
        *,
        num_classes: int | None = None,
        in_chans: int | None = None,
        pretrained_cfg: object = None,
        pretrained_cfg_overlay: object = None,
        cache_dir: object = None,
    ) -> nn.Module:
        if pretrained_cfg or pretrained_cfg_overlay:
            raise ValueError(f"{name} has its weights from the zoo; leave out pretrained_cfg")
        net = zoo.load(name, pretrained, num_classes=num_classes, in_channels=in_chans)
        facts = dataclasses.asdict(_facts(name))
        vars(net).update(num_classes=num_classes or facts["num_classes"], pretrained_cfg=facts, default_cfg=facts)
        return net

    create.__name__ = name
    create.__doc__ = f"The zoo's model {name}."
    return create


def _facts(name: str) -> PretrainedCfg:
    found = zoo.info(name)
    assert found.model is not None  # its plugin has just listed it
    dataset = found.model.dataset
    return PretrainedCfg(
        num_classes=len(dataset.classes),
        input_size=dataset.input_size,
        mean=found.config.mean if found.config else dataset.mean,
        std=found.config.std if found.config else dataset.std,
        crop_pct=1.0,
        interpolation="bilinear",
        architecture=name,
        license=found.model.architecture.license,
        label_names=dataset.classes,
    )
