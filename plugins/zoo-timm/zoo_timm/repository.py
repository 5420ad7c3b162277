"""Reads config.json of timm's repositories on the Hugging Face Hub, with timm's defaults for missing fields.

Refuses repositories with arguments that change the net in more than its classes and channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from zoo.plugin import UNNAMED, Document, Foreign, Format, InputSize, Resizing, SchemaError, from_json
from zoo_timm.architectures import architecture_of

MOST_CLASSES = 100_000
Interpolation = Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"]
# Endings of timm's tags for weights trained on an ImageNet for which timm has class names.
IMAGENETS = ("in1k", "in12k", "in21k", "in22k")


@dataclass(frozen=True)
class _PretrainedCfg:
    """The fields of `pretrained_cfg` that are used here; None stands for timm's default."""

    input_size: InputSize | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    crop_pct: float | None = None
    crop_mode: Literal["squash", "center", "border"] | None = None
    interpolation: Interpolation | None = None
    num_classes: int | None = None
    label_names: tuple[str, ...] | Mapping[str, str] | None = None
    label_descriptions: Mapping[str, str] | None = None
    license: str | None = None
    tag: str | None = None


@dataclass(frozen=True)
class _Repository:
    """The fields of config.json that are used here."""

    architecture: str
    pretrained_cfg: _PretrainedCfg
    num_classes: int | None = None
    label_names: tuple[str, ...] | Mapping[str, str] | None = None
    label_descriptions: Mapping[str, str] | None = None
    model_args: Mapping[str, object] = field(default_factory=dict)


def recognises(document: Document) -> bool:
    """Whether a config.json is of a timm repository."""
    return isinstance(document.get("architecture"), str) and isinstance(document.get("pretrained_cfg"), Mapping)


def read(document: Document) -> Foreign:
    """Read the config.json of a timm repository. Imports timm.

    Args:
        document: The config.json.

    Returns:
        The architecture with its classes and preprocessing.

    Raises:
        SchemaError: timm does not have the architecture, a field is invalid, or the net was made with other arguments.
    """
    from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, ImageNetInfo

    from zoo_timm.resnet import is_in_timm

    config = from_json(_Repository, document)
    cfg = config.pretrained_cfg
    if not is_in_timm(config.architecture):
        name = config.architecture[:100]
        raise SchemaError(f"timm has no architecture {name!r}; a newer version may: pip install -U timm")
    size = cfg.input_size or (3, 224, 224)
    classes = config.num_classes if config.num_classes is not None else cfg.num_classes
    if classes is None or not 1 <= classes <= MOST_CLASSES:
        raise SchemaError(f"num_classes should be from 1 to {MOST_CLASSES:,}, not {classes}")
    _require_plain_net(config, size, classes)
    dataset = _imagenet(cfg.tag or "", classes)
    labels = ImageNetInfo(dataset).label_descriptions() if dataset else map(str, range(classes))
    return Foreign(
        architecture=architecture_of(config.architecture),
        classes=_labels(config, classes) or tuple(labels),
        input_size=size,
        mean=cfg.mean or IMAGENET_DEFAULT_MEAN,
        std=cfg.std or IMAGENET_DEFAULT_STD,
        resizing=Resizing(cfg.crop_pct or 0.875, cfg.interpolation or "bicubic", cfg.crop_mode or "center"),
        dataset=dataset or UNNAMED,
        license=cfg.license or "",
    )


def _require_plain_net(config: _Repository, size: InputSize, classes: int) -> None:
    """Raise SchemaError if the arguments of the net change more than its classes and channels."""
    from zoo_timm.resnet import pooling

    expected: dict[str, tuple[object, ...]] = {
        "num_classes": (classes,),
        "in_chans": (size[0],),
        "img_size": (size[1:], list(size[1:]), size[1] if size[1] == size[2] else None),
    }
    if "global_pool" in config.model_args:
        expected["global_pool"] = (pooling(config.architecture),)
    for name, value in config.model_args.items():
        if value is not None and value not in expected.get(name, ()):
            raise SchemaError(
                f"it was made with {name[:40]} {str(value)[:40]!r}, which the zoo does not support for timm's "
                f"{config.architecture}; use a repository without it"
            )


def _labels(config: _Repository, classes: int) -> tuple[str, ...]:
    """The names of the classes, or their descriptions; empty if there are none. Raises SchemaError."""
    cfg = config.pretrained_cfg
    names, described = config.label_names or cfg.label_names, config.label_descriptions or cfg.label_descriptions or {}
    if not names:
        return ()
    by_label = names if isinstance(names, Mapping) else dict(zip(map(str, range(len(names))), names, strict=True))
    if by_label.keys() - set(map(str, range(classes))):
        raise SchemaError(f"label_names should name the labels 0 to {classes - 1}, not others")
    label_names = (by_label.get(str(label), str(label)) for label in range(classes))
    return tuple(described.get(name, name) for name in label_names)


def _imagenet(tag: str, classes: int) -> str:
    """The ImageNet that a tag names, if it has this number of classes; otherwise empty."""
    from timm.data import infer_imagenet_subset

    return (infer_imagenet_subset({"num_classes": classes}) or "") if tag.endswith(IMAGENETS) else ""


TIMM = Format(name="timm", recognises=recognises, read=read)
