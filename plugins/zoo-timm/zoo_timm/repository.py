"""timm's repositories on the Hugging Face Hub: what their config.json says, with timm's defaults.

Arguments that change the net beyond its classes and channels are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from zoo.plugin import UNNAMED, Document, Foreign, Format, InputSize, Resizing, SchemaError, from_json
from zoo_timm.architectures import own

MOST_CLASSES = 100_000
Interpolation = Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"]
# Of timm's tags: what they end with, of weights trained on one of the ImageNets whose classes timm has names of.
IMAGENETS = ("in1k", "in12k", "in21k", "in22k")


@dataclass(frozen=True)
class _Facts:
    """The `pretrained_cfg`, as far as it matters here; None for what timm would take as its own."""

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
    """The config.json."""

    architecture: str
    pretrained_cfg: _Facts
    num_classes: int | None = None
    label_names: tuple[str, ...] | Mapping[str, str] | None = None
    label_descriptions: Mapping[str, str] | None = None
    model_args: Mapping[str, object] = field(default_factory=dict)


def recognises(document: Document) -> bool:
    """Whether a config.json is of timm's kind."""
    return isinstance(document.get("architecture"), str) and isinstance(document.get("pretrained_cfg"), Mapping)


def read(document: Document) -> Foreign:
    """What a config.json of timm's says; raises SchemaError."""
    from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, ImageNetInfo

    from zoo_timm.resnet import is_timms

    said = from_json(_Repository, document)
    facts = said.pretrained_cfg
    if not is_timms(said.architecture):
        raise SchemaError(f"timm has no architecture {said.architecture[:100]!r}; a newer one may: pip install -U timm")
    size = facts.input_size or (3, 224, 224)
    classes = said.num_classes if said.num_classes is not None else facts.num_classes
    if classes is None or not 1 <= classes <= MOST_CLASSES:
        raise SchemaError(f"num_classes should be from 1 to {MOST_CLASSES:,}, not {classes}")
    _require_the_net_itself(said, size, classes)
    dataset = _imagenet(facts.tag or "", classes)
    labels = ImageNetInfo(dataset).label_descriptions() if dataset else map(str, range(classes))
    return Foreign(
        architecture=own(said.architecture),
        classes=_labels(said, classes) or tuple(labels),
        input_size=size,
        mean=facts.mean or IMAGENET_DEFAULT_MEAN,
        std=facts.std or IMAGENET_DEFAULT_STD,
        resizing=Resizing(facts.crop_pct or 0.875, facts.interpolation or "bicubic", facts.crop_mode or "center"),
        dataset=dataset or UNNAMED,
        license=facts.license or "",
    )


def _require_the_net_itself(said: _Repository, size: InputSize, classes: int) -> None:
    """Refuse what it was made with, where that is another net than its architecture's; raises SchemaError."""
    from zoo_timm.resnet import pooling

    expected: dict[str, tuple[object, ...]] = {
        "num_classes": (classes,),
        "in_chans": (size[0],),
        "img_size": (size[1:], list(size[1:]), size[1] if size[1] == size[2] else None),
    }
    if "global_pool" in said.model_args:
        expected["global_pool"] = (pooling(said.architecture),)
    for name, value in said.model_args.items():
        if value is not None and value not in expected.get(name, ()):
            raise SchemaError(
                f"it was made with {name[:40]} {str(value)[:40]!r}, and the zoo builds timm's {said.architecture} "
                "as it is; give one that was made without"
            )


def _labels(said: _Repository, classes: int) -> tuple[str, ...]:
    """The classes' names by label, described where they are; none where it has none. Raises SchemaError."""
    facts = said.pretrained_cfg
    names, described = said.label_names or facts.label_names, said.label_descriptions or facts.label_descriptions or {}
    if not names:
        return ()
    by_label = names if isinstance(names, Mapping) else dict(zip(map(str, range(len(names))), names, strict=True))
    if by_label.keys() - set(map(str, range(classes))):
        raise SchemaError(f"label_names should name the labels 0 to {classes - 1}, not others")
    found = (by_label.get(str(label), str(label)) for label in range(classes))
    return tuple(described.get(name, name) for name in found)


def _imagenet(tag: str, classes: int) -> str:
    """The ImageNet that a tag says the weights were trained on, if it has so many classes; empty for none."""
    from timm.data import infer_imagenet_subset

    return (infer_imagenet_subset({"num_classes": classes}) or "") if tag.endswith(IMAGENETS) else ""


TIMM = Format(name="timm", recognises=recognises, read=read)
