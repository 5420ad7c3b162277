"""Write the report of an evaluation: results by class as JSON, and the confusion matrix as an image."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from zoo.errors import FolderError
from zoo.record import curve, store
from zoo.record.types import Results

MATRIX = "confusion.svg"
NUMBERS = "report.json"


@dataclass(frozen=True)
class ClassResults:
    """The results on the test images of a class; `mistaken_for` is the class most often predicted instead."""

    name: str
    images: int
    top1: float  # percent
    mistaken_for: str | None
    mistakes: int  # number of images predicted as `mistaken_for`


def by_class(classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> list[ClassResults]:
    """Compute the results of each class; `confusion[i][j]` counts images of class i that were predicted as class j."""
    rows = []
    for i, (name, counts) in enumerate(zip(classes, confusion, strict=True)):
        wrong = [(count, other) for j, (count, other) in enumerate(zip(counts, classes, strict=True)) if j != i]
        mistakes, other = max(wrong, key=lambda pair: pair[0], default=(0, None))
        images = sum(counts)
        top1 = 100 * counts[i] / images if images else 0.0
        rows.append(ClassResults(name, images, top1, other if mistakes else None, mistakes))
    return rows


def require_writable(folder: Path) -> None:
    """Raise FolderError if the folder is a model folder, which must not get a report."""
    for name in (store.CONFIG, store.LOG):
        if (folder / name).is_file():
            raise FolderError(f"{folder} is a model folder, it has {name}; name another folder for the report as out")


def write(
    folder: Path, title: str, results: Results, classes: Sequence[str], confusion: Sequence[Sequence[int]]
) -> list[ClassResults]:
    """Write the report of an evaluation.

    Args:
        folder: The folder for report.json and confusion.svg; it is created if it is missing.
        title: The name of the model.
        results: The results on the test set.
        classes: The names of the classes.
        confusion: The confusion matrix; `confusion[i][j]` counts images of class i that were predicted as class j.

    Returns:
        The results of each class.

    Raises:
        FolderError: The folder is a model folder, or can't be written.
    """
    require_writable(folder)
    rows = by_class(classes, confusion)
    numbers = {
        "name": title,
        "results": msgspec.to_builtins(results),
        "classes": [dataclasses.asdict(row) for row in rows],
        "confusion": [list(row) for row in confusion],
    }
    matrix = _draw(title, classes, confusion)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / NUMBERS).write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
        (folder / MATRIX).write_bytes(matrix)
    except OSError as error:
        raise FolderError(f"{folder} can't be written: {error.strerror}") from None
    return rows


def _draw(title: str, classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> bytes:
    size = max(5.0, 0.16 * len(classes))
    with curve.new_figure(size + 0.6, size, font_size=9 if len(classes) <= 20 else 6) as figure:
        axes = figure.subplots()
        shares = [[count / max(1, sum(row)) for count in row] for row in confusion]
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        figure.colorbar(image, ax=axes, label="share of the class's images", shrink=0.8)
        axes.set(title=title, xlabel="predicted class", ylabel="true class")
        axes.set_xticks(range(len(classes)), classes, rotation=90)
        axes.set_yticks(range(len(classes)), classes)
        if len(classes) <= 20:
            for i, row in enumerate(confusion):
                for j, count in enumerate(row):
                    if count:
                        color = "white" if shares[i][j] > 0.5 else "black"
                        axes.text(j, i, str(count), ha="center", va="center", fontsize=6, color=color)
        return curve.picture_of(figure, "svg")
