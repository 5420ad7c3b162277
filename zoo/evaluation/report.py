"""A test evaluation class by class: a confusion matrix to look at, and the numbers as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from zoo.errors import FolderError
from zoo.record.types import Results

MATRIX = "confusion.svg"
NUMBERS = "report.json"


@dataclass(frozen=True)
class ClassResults:
    """How the test images of one class fared: top-1 in percent, and the class they were taken for most often."""

    name: str
    images: int
    top1: float
    mistaken_for: str | None
    mistakes: int  # images taken for that class


def by_class(classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> list[ClassResults]:
    """Each class's results; `confusion[i][j]` counts the images of class i that were taken for class j."""
    rows = []
    for i, (name, counts) in enumerate(zip(classes, confusion, strict=True)):
        wrong = [(count, other) for j, (count, other) in enumerate(zip(counts, classes, strict=True)) if j != i]
        mistakes, other = max(wrong, key=lambda one: one[0])
        images = sum(counts)
        rows.append(
            ClassResults(
                name, images, 100 * counts[i] / images if images else 0.0, other if mistakes else None, mistakes
            )
        )
    return rows


def write(
    folder: Path, title: str, results: Results, classes: Sequence[str], confusion: Sequence[Sequence[int]]
) -> list[ClassResults]:
    """Write the numbers and the confusion matrix into a folder, which is made where it is not there.

    Returns the results class by class; raises FolderError where the folder can't be written.
    """
    rows = by_class(classes, confusion)
    numbers = {
        "name": title,
        "results": msgspec.to_builtins(results),
        "classes": [dataclasses.asdict(one) for one in rows],
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
    import io

    import matplotlib as mpl
    from matplotlib.figure import Figure

    size = max(5.0, 0.16 * len(classes))
    with mpl.rc_context({"svg.hashsalt": "zoo", "svg.fonttype": "none", "font.size": 9 if len(classes) <= 20 else 6}):
        figure = Figure(figsize=(size + 0.6, size), layout="constrained")
        axes = figure.subplots()
        shares = [[count / max(1, sum(row)) for count in row] for row in confusion]
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        figure.colorbar(image, ax=axes, label="share of the class's images", shrink=0.8)
        axes.set_title(title)
        axes.set_ylabel("true class")
        axes.set_xlabel("predicted class")
        axes.set_xticks(range(len(classes)), classes, rotation=90)
        axes.set_yticks(range(len(classes)), classes)
        if len(classes) <= 20:
            for i, row in enumerate(confusion):
                for j, count in enumerate(row):
                    if count:
                        color = "white" if shares[i][j] > 0.5 else "black"
                        axes.text(j, i, str(count), ha="center", va="center", fontsize=6, color=color)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
