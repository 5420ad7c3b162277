"""`torchvision:NAME`: a data set of torchvision's that has classes and pictures, as `torchvision:Flowers102`.

Read from the folder of data sets, and downloaded into it where torchvision can.
"""

from __future__ import annotations

import inspect
import io
import re
from pathlib import Path
from typing import Any

from PIL import Image

from zoo.errors import DataError
from zoo.registry import close_to
from zoo.spec import Collection, Half

# How its classes are told which half is wanted: `train=True`, or `split="train"` and the first of these.
TESTS = ("test", "val")


def open_set(rest: str, root: Path) -> Collection:
    """The pictures of torchvision's data set of that name, in `root`; raises DataError."""
    from torchvision import datasets
    from torchvision.datasets import VisionDataset

    known = {
        name: one
        for name in datasets.__all__
        if inspect.isclass(one := getattr(datasets, name)) and issubclass(one, VisionDataset) and _halves(one)
    }
    if rest not in known:
        close = close_to(rest, known)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(sorted(known))}"
        raise DataError(f"torchvision has no data set {rest[:100]!r} with a training and a test half; {hint}")
    train, test = (_read(known[rest], root, half) for half in _halves(known[rest]) or ())
    classes = _classes(train, rest)
    name = re.sub(r"[^a-z0-9]+", "-", rest.lower()).strip("-")
    return Collection(
        name=f"torchvision-{name}",
        title=rest,
        classes=classes,
        train=_half(train, "train", len(classes), rest),
        test=_half(test, "test", len(classes), rest),
        stamp=f"torchvision {rest} {len(train)} {len(test)} {root.resolve()}",
    )


def _halves(kind: type) -> tuple[dict[str, object], dict[str, object]] | None:
    """The arguments that give the training and the test half; None where the class knows no such halves."""
    parameters = inspect.signature(kind).parameters
    if "root" not in parameters:
        return None
    if "train" in parameters:
        return {"train": True}, {"train": False}
    if "split" in parameters:
        # The names of splits stand in the docstrings only.
        named = set(re.findall(r'["`\'](\w+)["`\']', inspect.getdoc(kind) or ""))
        tests = [one for one in TESTS if one in named]
        if "train" in named and tests:
            return {"split": "train"}, {"split": tests[0]}
    return None


def _read(kind: type, root: Path, half: dict[str, object]) -> Any:
    more = {"download": True} if "download" in inspect.signature(kind).parameters else {}
    try:
        return kind(root, **half, **more)
    except Exception as error:  # each of them fails in its own ways
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"torchvision's {kind.__name__} is not in {root}, and can't be downloaded ({reason}); "
            "put it there, or name its folder with --data or ZOO_DATA"
        ) from error


def _classes(train: Any, name: str) -> tuple[str, ...]:
    """Their names, where torchvision has them; else the numbers that labels are."""
    named = getattr(train, "classes", None)
    if named:
        return tuple(one if isinstance(one, str) else ", ".join(one) for one in named)
    labels = getattr(train, "_labels", None) or getattr(train, "targets", None)
    if labels is None:
        raise DataError(f"torchvision's {name} names no classes; take another data set")
    return tuple(str(number) for number in range(int(max(labels)) + 1))


def _half(pairs: Any, half: str, classes: int, name: str) -> Half:
    labels = tuple(int(label) for label in _labels(pairs))
    if len(labels) != len(pairs) or not all(0 <= label < classes for label in labels):
        raise DataError(
            f"torchvision's {name} has labels that are none of its {classes} classes; take another data set"
        )

    def read(index: int) -> bytes:
        picture = pairs[index][0]
        if not isinstance(picture, Image.Image):
            raise DataError(f"torchvision's {name} has no pictures; take another data set")
        content = io.BytesIO()
        picture.save(content, "PNG", compress_level=0)
        return content.getvalue()

    return Half(tuple(f"{half}[{number}]" for number in range(len(labels))), labels, read)


def _labels(pairs: Any) -> Any:
    """The labels without reading the pictures, where torchvision keeps them apart."""
    for name in ("targets", "_labels", "labels", "y"):
        found = getattr(pairs, name, None)
        if found is not None and len(found) == len(pairs):
            return found
    return [label for _, label in pairs]
