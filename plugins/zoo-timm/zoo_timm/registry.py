"""The zoo's models under their names in timm's registry, for who asks for it.

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

OWN = "zoo:"  # before a model's name: what timm takes for an address, of weights that the zoo finds
SOURCES = ("file", "state_dict", "hf_hub_id")  # of weights that timm finds, in its facts of a model

default_cfgs: dict[str, DefaultCfg] = {}  # timm looks here, in the module of what it registers, for what it lists


def register(pattern: str | None = None) -> list[str]:
    """Register every model of the zoo that matches `pattern` in timm; returns their names.

    timm then creates them as its own, `pretrained` with the zoo's weights, and `NAME.TAG` with somebody else's. What a
    net can do beyond that depends on its plugin, see `zoo.load`. A plugin that can't be used is skipped with a warning.
    """
    names, variants = [], [name for name in zoo.list_models(pretrained=True) if "." in name]
    for name in zoo.list_models(pattern):
        tags = ["", *(one.removeprefix(f"{name}.") for one in variants if one.startswith(f"{name}."))]
        if not is_model(name):  # asked a second time
            try:
                cfgs = {tag: _facts(name, tag) for tag in tags}
            except zoo.ZooError as error:
                warnings.warn(str(error), stacklevel=2)
                continue
            default_cfgs[name] = DefaultCfg(deque(tags), cfgs, any(one.has_weights for one in cfgs.values()))
            register_model(_entry(name))
        names.append(name)
    return names


def _entry(name: str) -> Callable[..., nn.Module]:
    def create(
        pretrained: bool = False,
        pretrained_cfg: str | Mapping[str, Any] | PretrainedCfg | None = None,
        pretrained_cfg_overlay: Mapping[str, Any] | None = None,
        **settings: Any,  # what timm's factory knows, and what `_Build` does; it refuses all else
    ) -> nn.Module:
        tag = pretrained_cfg if isinstance(pretrained_cfg, str) else ""
        model = _model(name)
        with torch.device("meta"):
            outline = model.architecture.build(
                input_size=model.dataset.input_size, num_classes=len(model.dataset.classes)
            )
        cfg = PretrainedCfg(**_as_dict(pretrained_cfg)) if pretrained_cfg and not tag else _facts(name, tag)
        cfg = cfg if cfg.first_conv else _described(cfg, outline)
        given = {**_as_dict(cfg), **(pretrained_cfg_overlay or {})}
        is_elsewhere = any(given.get(one) for one in SOURCES) or not str(given.get("url") or OWN).startswith(OWN)
        if settings.get("features_only"):
            settings.setdefault("feature_cls", "getter")
            settings.setdefault("out_indices", tuple(range(len(_stages(outline)))))
        net: nn.Module = build_model_with_cfg(
            _Build(f"{name}.{tag}" if tag else name, pretrained and not is_elsewhere),
            name,
            pretrained and is_elsewhere,  # then timm loads them
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
    """Builds a net of the zoo, with its weights where `pretrained`, from what timm's factory says of it."""

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
            raise ValueError(f"{self.name} has no dropout before its classifier; leave drop_rate out, or at 0")
        model = _model(self.name)
        dataset = model.dataset
        classes = len(dataset.classes) if num_classes is None else num_classes
        channels = dataset.input_size[0] if in_chans is None else in_chans
        if self.pretrained:
            net = zoo.load(self.name, pretrained=True, num_classes=classes, in_channels=channels)
        else:  # not by zoo.load, which puts it onto a device: timm builds on none too
            net = model.architecture.build(
                input_size=(channels, *dataset.input_size[1:]), num_classes=classes or len(dataset.classes)
            )
        if classes == 0 or global_pool is not None:
            reset_classifier = getattr(net, "reset_classifier", None)
            if reset_classifier is None:
                raise ValueError(f"{self.name} has one head: its net has no reset_classifier(); leave it as it is")
            reset_classifier(classes, global_pool)
        vars(net).update(num_classes=classes, in_chans=channels)
        return net.to(device=device, dtype=dtype)


def _stages(net: nn.Module) -> list[dict[str, Any]]:
    """What a net says of the maps that it can give, in timm's words; nothing where it says nothing."""
    return list(getattr(net, "feature_info", []))


def _described(facts: PretrainedCfg, net: nn.Module) -> PretrainedCfg:
    """The facts, with what only the net itself can say: the names of its first and last layer, the size of its map."""
    names = {module: name for name, module in net.named_modules()}
    stages, classifier = _stages(net), getattr(net, "get_classifier", lambda: None)()
    return dataclasses.replace(
        facts,
        first_conv=next((name for module, name in names.items() if isinstance(module, nn.Conv2d)), None),
        classifier=names.get(classifier) if isinstance(classifier, nn.Module) else None,
        pool_size=tuple(-(-size // stages[-1]["reduction"]) for size in facts.input_size[1:]) if stages else None,
    )


def _as_dict(cfg: Mapping[str, Any] | PretrainedCfg) -> dict[str, Any]:
    return dataclasses.asdict(cfg) if isinstance(cfg, PretrainedCfg) else dict(cfg)


def _model(name: str) -> zoo.Model:
    found = zoo.info(name).model
    assert found is not None  # its plugin has just listed it
    return found


def _facts(name: str, tag: str) -> PretrainedCfg:
    found = zoo.info(f"{name}.{tag}" if tag else name)
    assert found.model is not None  # its plugin has just listed it
    dataset = found.model.dataset
    return PretrainedCfg(
        url=f"{OWN}{found.name}" if found.weights else None,
        num_classes=len(dataset.classes),
        input_size=dataset.input_size,
        mean=found.config.mean if found.config else dataset.mean,
        std=found.config.std if found.config else dataset.std,
        crop_pct=1.0,
        interpolation="bilinear",
        architecture=name,
        tag=tag or None,
        license=found.config.license if found.config else found.model.architecture.license,
        label_names=dataset.classes,
    )
