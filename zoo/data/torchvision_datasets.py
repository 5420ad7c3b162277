"""`torchvision:NAME`: an image classification dataset of torchvision's, such as `torchvision:Flowers102`.

It is read from the folder of datasets, and downloaded into it where torchvision can.
"""

from __future__ import annotations

import inspect
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from PIL import Image

from zoo.errors import DataError
from zoo.registry import close_to
from zoo.spec import Collection, Half

Arguments = dict[str, object]


def _split(train: str, test: str) -> tuple[Arguments, Arguments]:
    return {"split": train}, {"split": test}


BY_FLAG: Final[tuple[Arguments, Arguments]] = ({"train": True}, {"train": False})
TRAIN_TEST: Final = _split("train", "test")
TRAIN_VAL: Final = _split("train", "val")  # there are no test images, or they have no labels

# Every dataset with an image and one class for each sample, and the arguments for its training and its test half.
# The others have detection boxes, masks, captions, videos, optical flow, pairs, or other classes in each half.
DATASETS: Final[dict[str, tuple[Arguments, Arguments]]] = {
    "CIFAR10": BY_FLAG,
    "CIFAR100": BY_FLAG,
    "CLEVRClassification": TRAIN_VAL,
    "Country211": TRAIN_TEST,
    "DTD": TRAIN_TEST,
    "FER2013": TRAIN_TEST,
    "FGVCAircraft": TRAIN_TEST,
    "FashionMNIST": BY_FLAG,
    "Flowers102": TRAIN_TEST,
    "Food101": TRAIN_TEST,
    "GTSRB": TRAIN_TEST,
    "ImageNet": TRAIN_VAL,
    "Imagenette": TRAIN_VAL,
    "KMNIST": BY_FLAG,
    "LFWPeople": TRAIN_TEST,
    "MNIST": BY_FLAG,
    "OxfordIIITPet": _split("trainval", "test"),
    "PCAM": TRAIN_TEST,
    "Places365": _split("train-standard", "val"),
    "QMNIST": BY_FLAG,
    "RenderedSST2": TRAIN_TEST,
    "STL10": TRAIN_TEST,
    "SVHN": TRAIN_TEST,
    "StanfordCars": TRAIN_TEST,
    "USPS": BY_FLAG,
}


def open_set(name: str, root: Path) -> Collection:
    """The images of torchvision's dataset of that name, in `root`; raises DataError."""
    from torchvision import datasets

    if name not in DATASETS:
        close = close_to(name, DATASETS)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(sorted(DATASETS))}"
        raise DataError(f"torchvision has no image classification dataset {name[:100]!r}; {hint}")
    train, test = (_read(getattr(datasets, name), root, arguments) for arguments in DATASETS[name])
    labels = [_labels(half, name) for half in (train, test)]
    classes, numbers = _classes(train, labels[0])
    return Collection(
        name=f"torchvision-{re.sub(r'[^a-z0-9]+', '-', name.lower())}",
        title=name,
        classes=classes,
        train=_half(train, "train", labels[0], numbers, name),
        test=_half(test, "test", labels[1], numbers, name),
        stamp=f"torchvision {name} {len(train)} {len(test)} {root.resolve()}",
    )


def _read(kind: type, root: Path, half: Arguments) -> Any:
    more = {"download": True} if "download" in inspect.signature(kind).parameters or "MNIST" in kind.__name__ else {}
    try:
        return kind(root, **half, **more)
    except Exception as error:  # each of them fails in its own ways
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"torchvision's {kind.__name__} is not in {root}, and can't be downloaded ({reason}); "
            "put it there, or name its folder with data or ZOO_DATA"
        ) from error


def _labels(half: Any, name: str) -> list[int]:
    """The label of every image, without reading the images where torchvision has the labels apart."""
    labels: Sequence[Any] = [label for _, label in half] if (apart := _labels_apart(half)) is None else apart
    try:
        return [int(label) for label in labels]
    except (TypeError, ValueError):
        raise DataError(f"torchvision's {name} has images without a label; take another dataset") from None


def _labels_apart(half: Any) -> Sequence[Any] | None:
    """The labels where its class has them in an attribute, by themselves or in pairs with the files' names."""
    for attribute in ("targets", "_labels", "labels"):
        labels = getattr(half, attribute, None)
        if labels is not None and len(labels) == len(half) and getattr(labels, "ndim", 1) == 1:
            return labels  # type: ignore[no-any-return]
    for attribute in ("_samples", "samples"):
        samples = getattr(half, attribute, None)
        if samples is not None and len(samples) == len(half):
            return [label for _, label in samples]
    return None


def _classes(train: Any, labels: Sequence[int]) -> tuple[tuple[str, ...], dict[int, int]]:
    """The names of the classes, and the class of each label: torchvision's names, else the labels that there are."""
    names, by_name = getattr(train, "classes", None), getattr(train, "class_to_idx", None)
    if names is None and by_name is not None:
        names = sorted(by_name, key=by_name.__getitem__)
    if names is not None and len(names):
        texts = tuple(name if isinstance(name, str) else ", ".join(name) for name in names)
        return texts, {label: label for label in range(len(texts))}
    present = sorted(set(labels))
    return tuple(map(str, present)), {label: number for number, label in enumerate(present)}


def _half(pairs: Any, half: str, labels: Sequence[int], numbers: dict[int, int], name: str) -> Half:
    if others := set(labels) - numbers.keys():
        raise DataError(
            f"torchvision's {name} has the label {min(others)}, which is none of its {len(numbers)} classes; "
            "take another dataset"
        )

    def read(index: int) -> bytes:
        image = pairs[index][0]
        if not isinstance(image, Image.Image):
            raise DataError(f"torchvision's {name} has no images; take another dataset")
        content = io.BytesIO()
        image.save(content, "PNG", compress_level=0)
        return content.getvalue()

    names = tuple(f"{half}[{number}]" for number in range(len(labels)))
    return Half(names, tuple(numbers[label] for label in labels), read)
