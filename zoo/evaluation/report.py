"""Results by class: the report of an evaluation, and the chart of errors of a model folder."""

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
MOST_BARS = 20  # of the chart of errors
LONGEST_LABEL = 24  # characters of a class in the chart of errors


@dataclass(frozen=True)
class ClassResults:
    """The results on the test images of a class; `mistaken_for` is the class most often predicted instead."""

    name: str
    images: int
    top1: float  # percent
    mistaken_for: str | None
    mistakes: int  # number of images predicted as `mistaken_for`

    @property
    def errors(self) -> int:
        """The number of images that were predicted as another class."""
        return round(self.images * (1 - self.top1 / 100))


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


def draw_errors(title: str, classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> bytes:
    """Plot the error of each class as a bar, the highest on top, with the class most often predicted instead.

    Args:
        title: The name of the model.
        classes: The names of the classes. Of more than MOST_BARS, those with the highest errors are shown.
        confusion: The confusion matrix; `confusion[i][j]` counts images of class i that were predicted as class j.

    Returns:
        The bytes of an SVG.
    """
    tested = [row for row in by_class(classes, confusion) if row.images]
    rows = sorted(tested, key=lambda row: row.top1)[:MOST_BARS]
    shown = f"{len(rows)} of {len(tested)} classes, those with the highest errors" if len(rows) < len(tested) else ""
    with curve.new_figure(6.4, 1.3 + 0.24 * len(rows)) as figure:
        figure.suptitle(f"{title}: {shown}" if shown else title)
        axes = figure.subplots()
        bars = axes.barh(range(len(rows)), [100 - row.top1 for row in rows], color="tab:red")
        axes.set_yticks(range(len(rows)), [_short(row.name) for row in rows])
        notes = [
            f"{row.errors:,} of {row.images:,}"
            + (f", {row.mistakes:,} as {_short(row.mistaken_for)}" if row.mistaken_for else "")
            for row in rows
        ]
        axes.bar_label(bars, notes, padding=3, fontsize=7)
        axes.set_xlabel("error (% of the class's test images)")
        axes.invert_yaxis()
        axes.set_xlim(0, 2 * max(100 - rows[0].top1, 1))  # leaves space for the notes
        axes.set_xticks([tick for tick in axes.get_xticks() if tick <= 100])
        axes.grid(axis="x", alpha=0.3)
        return curve.rendered(figure, "svg")


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 1]}…"


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
        return curve.rendered(figure, "svg")
