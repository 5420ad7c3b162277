"""`torchvision:NAME`: an image classification dataset of torchvision, such as `torchvision:Flowers102`.

It is read from the folder of datasets, and downloaded to it if torchvision can.
"""

from __future__ import annotations

import inspect
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from PIL import Image

from zoo.errors import DataError, did_you_mean
from zoo.spec import Collection, Split

Arguments = dict[str, object]


def _split(train: str, test: str) -> tuple[Arguments, Arguments]:
    return {"split": train}, {"split": test}


BY_FLAG: Final[tuple[Arguments, Arguments]] = ({"train": True}, {"train": False})

# Every dataset with one class per image, and the arguments for its training and its test images. torchvision's others
# have detection boxes, masks, captions, videos, optical flow, pairs, or other classes in the test set.
DATASETS: Final[dict[str, tuple[Arguments, Arguments]]] = {
    name: arguments
    for names, arguments in (
        ("CIFAR10 CIFAR100 FashionMNIST KMNIST MNIST QMNIST USPS", BY_FLAG),
        ("Country211 DTD FER2013 FGVCAircraft Flowers102 Food101 GTSRB", _split("train", "test")),
        ("LFWPeople PCAM RenderedSST2 STL10 SVHN StanfordCars", _split("train", "test")),
        ("CLEVRClassification ImageNet Imagenette", _split("train", "val")),  # no test images, or none with labels
        ("OxfordIIITPet", _split("trainval", "test")),
        ("Places365", _split("train-standard", "val")),
    )
    for name in names.split()
}


def open_set(name: str, root: Path) -> Collection:
    """Open a dataset of torchvision in the folder `root`, or download it; raises DataError."""
    from torchvision import datasets

    if name not in DATASETS:
        hint = did_you_mean(name, DATASETS, f"there are {', '.join(sorted(DATASETS))}")
        raise DataError(f"torchvision has no image classification dataset {name[:100]!r}; {hint}")
    train, test = (_read(getattr(datasets, name), root, arguments) for arguments in DATASETS[name])
    labels = [_labels(split, name) for split in (train, test)]
    classes, numbers = _classes(train, labels[0])
    return Collection(
        name=f"torchvision-{re.sub(r'[^a-z0-9]+', '-', name.lower())}",
        title=name,
        classes=classes,
        train=_images(train, "train", labels[0], numbers, name),
        test=_images(test, "test", labels[1], numbers, name),
        stamp=f"torchvision {name} {len(train)} {len(test)} {root.resolve()}",
    )


def _read(kind: type, root: Path, arguments: Arguments) -> Any:
    if "download" in inspect.signature(kind).parameters or "MNIST" in kind.__name__:
        arguments = arguments | {"download": True}
    try:
        return kind(root, **arguments)
    except Exception as error:  # each class fails in its own way
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"torchvision's {kind.__name__} is not in {root} and can't be downloaded ({reason}); "
            "put it there, or set data or ZOO_DATA to its folder"
        ) from error


def _labels(split: Any, name: str) -> list[int]:
    """The label of every image; reads the images only if torchvision has no list of labels."""
    stored = _stored_labels(split)
    labels: Sequence[Any] = [label for _, label in split] if stored is None else stored
    try:
        return [int(label) for label in labels]
    except (TypeError, ValueError):
        raise DataError(f"torchvision's {name} has images without a label; use another dataset") from None


def _stored_labels(split: Any) -> Sequence[Any] | None:
    """The labels in an attribute of a dataset, alone or paired with file names; None if it has neither."""
    for attribute in ("targets", "_labels", "labels"):
        labels = getattr(split, attribute, None)
        if labels is not None and len(labels) == len(split) and getattr(labels, "ndim", 1) == 1:
            return labels  # type: ignore[no-any-return]
    for attribute in ("_samples", "samples"):
        samples = getattr(split, attribute, None)
        if samples is not None and len(samples) == len(split):
            return [label for _, label in samples]
    return None


def _classes(train: Any, labels: Sequence[int]) -> tuple[tuple[str, ...], dict[int, int]]:
    """The names of the classes, else the labels as names; and the class of each label."""
    names, by_name = getattr(train, "classes", None), getattr(train, "class_to_idx", None)
    if names is None and by_name is not None:
        names = sorted(by_name, key=by_name.__getitem__)
    if names is not None and len(names):
        texts = tuple(name if isinstance(name, str) else ", ".join(name) for name in names)
        return texts, {label: label for label in range(len(texts))}
    present = sorted(set(labels))
    return tuple(map(str, present)), {label: number for number, label in enumerate(present)}


def _images(pairs: Any, split: str, labels: Sequence[int], numbers: dict[int, int], name: str) -> Split:
    if unknown := set(labels) - numbers.keys():
        raise DataError(
            f"torchvision's {name} has the label {min(unknown)}, which is none of its {len(numbers)} classes; "
            "use another dataset"
        )

    def read(index: int) -> bytes:
        image = pairs[index][0]
        if not isinstance(image, Image.Image):
            raise DataError(f"torchvision's {name} has no images; use another dataset")
        content = io.BytesIO()
        image.save(content, "PNG", compress_level=0)
        return content.getvalue()

    names = tuple(f"{split}[{number}]" for number in range(len(labels)))
    return Split(names, tuple(numbers[label] for label in labels), read)
