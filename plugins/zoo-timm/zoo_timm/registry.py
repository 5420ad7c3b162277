"""Registers the zoo's models in timm's registry.

import timm
from zoo_timm.registry import register

register()
model = timm.create_model("resnet20_cifar10", pretrained=True)
"""

from __future__ import annotations

import dataclasses
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import torch
from timm.models import DefaultCfg, PretrainedCfg, build_model_with_cfg, is_model, register_model
from torch import nn

import zoo

ZOO_URL = "zoo:"  # prefix of `url` in a pretrained_cfg: the zoo loads the weights
SOURCES = ("file", "state_dict", "hf_hub_id")  # fields of a pretrained_cfg: timm loads the weights

default_cfgs: dict[str, DefaultCfg] = {}  # timm reads this variable of the module of a registered function


def register(pattern: str | None = None) -> list[str]:
    """Register models of the zoo in timm.

    `timm.create_model(NAME, pretrained=True)` then loads the zoo's weights, and `NAME.TAG` imported ones. Which methods
    a net has beyond `forward` depends on its plugin. A model whose plugin fails is skipped with a warning.

    Args:
        pattern: A pattern of names as for `zoo.list_models`; None for all models.

    Returns:
        The names of the registered models.
    """
    names, variants = [], [name for name in zoo.list_models(pretrained=True) if "." in name]
    for name in zoo.list_models(pattern):
        tags = ["", *(variant.removeprefix(f"{name}.") for variant in variants if variant.startswith(f"{name}."))]
        if not is_model(name):  # not yet registered
            try:
                cfgs = {tag: _cfg(name, tag) for tag in tags}
            except zoo.ZooError as error:
                warnings.warn(str(error), stacklevel=2)
                continue
            default_cfgs[name] = DefaultCfg(deque(tags), cfgs, any(cfg.has_weights for cfg in cfgs.values()))
            register_model(_entry(name))
        names.append(name)
    return names


def _entry(name: str) -> Callable[..., nn.Module]:
    def create(
        pretrained: bool = False,
        pretrained_cfg: str | Mapping[str, Any] | PretrainedCfg | None = None,
        pretrained_cfg_overlay: Mapping[str, Any] | None = None,
        **settings: Any,  # for timm's factory, which passes unknown ones to `_Build`
    ) -> nn.Module:
        tag = pretrained_cfg if isinstance(pretrained_cfg, str) else ""
        model = _model(name)
        with torch.device("meta"):
            outline = model.architecture.build(
                input_size=model.dataset.input_size, num_classes=len(model.dataset.classes)
            )
        cfg = PretrainedCfg(**_as_dict(pretrained_cfg)) if pretrained_cfg and not tag else _cfg(name, tag)
        cfg = cfg if cfg.first_conv else _described(cfg, outline)
        given = {**_as_dict(cfg), **(pretrained_cfg_overlay or {})}
        has_zoo_url = str(given.get("url") or ZOO_URL).startswith(ZOO_URL)
        timm_loads = not has_zoo_url or any(given.get(source) for source in SOURCES)
        if settings.get("features_only"):
            settings.setdefault("feature_cls", "getter")
            settings.setdefault("out_indices", tuple(range(len(_stages(outline)))))
        net: nn.Module = build_model_with_cfg(
            _Build(f"{name}.{tag}" if tag else name, pretrained and not timm_loads),
            name,
            pretrained and timm_loads,
            pretrained_cfg=cfg,
            pretrained_cfg_overlay=pretrained_cfg_overlay,
            **settings,
        )
        return net

    create.__name__ = name
    create.__doc__ = f"The zoo's model {name}."
    return create


@dataclasses.dataclass(frozen=True)
class _Build:
    """Builds a net of the zoo for timm's factory, with the zoo's weights if `pretrained`."""

    name: str
    pretrained: bool

    def __call__(
        self,
        num_classes: int | None = None,
        in_chans: int | None = None,
        global_pool: str | None = None,
        drop_rate: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> nn.Module:
        if drop_rate:
            raise ValueError(f"{self.name} has no dropout before its classifier; leave out drop_rate")
        model = _model(self.name)
        dataset = model.dataset
        classes = len(dataset.classes) if num_classes is None else num_classes
        channels = dataset.input_size[0] if in_chans is None else in_chans
        if self.pretrained:
            net = zoo.load(self.name, pretrained=True, num_classes=classes, in_channels=channels)
        else:  # zoo.load would move the net to a device; timm may build on the meta device
            net = model.architecture.build(
                input_size=(channels, *dataset.input_size[1:]), num_classes=classes or len(dataset.classes)
            )
        if classes == 0 or global_pool is not None:
            reset_classifier = getattr(net, "reset_classifier", None)
            if reset_classifier is None:
                raise ValueError(f"{self.name} has no reset_classifier(); leave out num_classes=0 and global_pool")
            reset_classifier(classes, global_pool)
        vars(net).update(num_classes=classes, in_chans=channels)
        return net.to(device=device, dtype=dtype)


def _stages(net: nn.Module) -> list[dict[str, Any]]:
    """The `feature_info` of a net; empty if it has none."""
    return list(getattr(net, "feature_info", []))


def _described(cfg: PretrainedCfg, net: nn.Module) -> PretrainedCfg:
    """Add the names of the net's first and last layer, and the size of its last feature map."""
    names = {module: name for name, module in net.named_modules()}
    stages, classifier = _stages(net), getattr(net, "get_classifier", lambda: None)()
    return dataclasses.replace(
        cfg,
        first_conv=next((name for module, name in names.items() if isinstance(module, nn.Conv2d)), None),
        classifier=names.get(classifier) if isinstance(classifier, nn.Module) else None,
        pool_size=tuple(-(-size // stages[-1]["reduction"]) for size in cfg.input_size[1:]) if stages else None,
    )


def _as_dict(cfg: Mapping[str, Any] | PretrainedCfg) -> dict[str, Any]:
    return dataclasses.asdict(cfg) if isinstance(cfg, PretrainedCfg) else dict(cfg)


def _model(name: str) -> zoo.Model:
    model = zoo.info(name).model
    assert model is not None  # register() has listed it
    return model


def _cfg(name: str, tag: str) -> PretrainedCfg:
    info = zoo.info(f"{name}.{tag}" if tag else name)
    assert info.model is not None  # register() has listed it
    dataset = info.model.dataset
    return PretrainedCfg(
        url=f"{ZOO_URL}{info.name}" if info.weights else None,
        num_classes=len(dataset.classes),
        input_size=dataset.input_size,
        mean=info.config.mean if info.config else dataset.mean,
        std=info.config.std if info.config else dataset.std,
        crop_pct=1.0,
        interpolation="bilinear",
        architecture=name,
        tag=tag or None,
        license=info.config.license if info.config else info.model.architecture.license,
        label_names=dataset.classes,
    )
