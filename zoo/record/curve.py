"""Plot the logs of runs, and accuracy against parameters. The same values give the same bytes of SVG."""

from __future__ import annotations

import contextlib
import io
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import FolderError
from zoo.record.types import EpochRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("svg", "png", "pdf")
# The lines of a run: the set of images, the style, the label and the color.
LINES = (
    ("train", "--", "train", "tab:blue"), ("val", ":", "held out", "tab:green"), ("test", "-", "test", "tab:red"),
)  # fmt: skip

Runs = Mapping[str, Sequence[EpochRow]]


@dataclass(frozen=True)
class Sized:
    """A model as a point of a plot."""

    name: str
    parameters: int
    top1: float  # percent
    own: bool  # whether the zoo trained it


def kind_of(out: Path) -> str:
    """Return the suffix of a file name without its dot; raises FolderError if it is not in FORMATS."""
    kind = out.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise FolderError(f"{out} should end in .{', .'.join(FORMATS)}: the format of the chart")
    return kind


def write(out: Path, content: bytes) -> Path:
    """Write a plot, and create missing parent folders; raises FolderError."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(content)
    except OSError as error:
        raise FolderError(f"{out} can't be written: {error.strerror}") from None
    return out


def draw(title: str, rows: Sequence[EpochRow], *, stacked: bool = False) -> str:
    """Plot loss and top-1 of a run against epoch, side by side or `stacked`.

    Returns:
        The text of an SVG.
    """
    with new_figure(*(4.4, 6) if stacked else (9, 3.4)) as figure:
        figure.suptitle(title)
        loss, top1 = figure.subplots(2, 1) if stacked else figure.subplots(1, 2)
        for axes, quantity in ((loss, "loss"), (top1, "top1")):
            for who, style, label, color in LINES:
                _line(axes, rows, f"{who}_{quantity}", style, color, label)
            _epochs(axes)
            axes.legend()
        loss.set_ylabel("loss")
        top1.set_ylabel("top-1 (%)")
        return rendered(figure, "svg").decode()


def overlay(runs: Runs, kind: str) -> bytes:
    """Plot loss, top-1 and learning rate of several runs against epoch.

    Args:
        runs: The rows of the logs, by the names in the legend.
        kind: One of FORMATS.

    Returns:
        The bytes of the file.
    """
    with new_figure(13, 3.8 + 0.2 * math.ceil(len(runs) / 4)) as figure:
        panels = figure.subplots(1, 3)
        labels = (("loss", "loss"), ("top1", "top-1 (%)"), ("lr", "learning rate"))
        for axes, (quantity, label) in zip(panels, labels, strict=True):
            for number, (name, rows) in enumerate(runs.items()):
                color = f"C{number % 10}"
                if quantity == "lr":
                    _line(axes, rows, "lr", "-", color, name)
                    continue
                for who, style, _, _ in LINES:
                    _line(axes, rows, f"{who}_{quantity}", style, color)
            axes.set_ylabel(label)
            _epochs(axes)
        held_out = any(row.val_loss is not None for rows in runs.values() for row in rows)
        panels[0].set_title("train dashed, test solid" + (", held out dotted" if held_out else ""), fontsize=8)
        losses = [value for rows in runs.values() for row in rows for value in (row.train_loss, row.test_loss) if value]
        if losses and max(losses) > 100 * min(losses):
            panels[0].set_yscale("log")
            panels[0].yaxis.set_major_formatter("{x:g}")
            panels[0].yaxis.set_minor_formatter("")
        handles, names = panels[2].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(len(runs), 4))
        return rendered(figure, kind)


def errors(runs: Runs, kind: str, title: str) -> bytes:
    """Plot error against epoch, train dashed and test solid, as figure 6 of arXiv:1512.03385.

    Names that differ only in their numbers share a panel.

    Args:
        runs: The rows of the logs, by name.
        kind: One of FORMATS.
        title: The beginning of the title.

    Returns:
        The bytes of the file.
    """
    families: dict[str, list[str]] = {}
    for name in runs:
        families.setdefault(re.sub(r"\d+", "", name), []).append(name)
    with new_figure(4.6 * len(families), 4.2) as figure:
        panels = figure.subplots(1, len(families), sharey=True, squeeze=False)[0]
        for axes, names in zip(panels, families.values(), strict=True):
            for number, name in enumerate(names):
                _line(axes, runs[name], "train_top1", "--", f"C{number % 10}", error=True)
                _line(axes, runs[name], "test_top1", "-", f"C{number % 10}", name, error=True)
            _epochs(axes)
            axes.legend()
        panels[0].set_ylabel("error (%)")
        alone = all(len(rows) == 1 for rows in runs.values())
        figure.suptitle(f"{title}: {'train a cross, test a dot' if alone else 'train dashed, test solid'}", fontsize=8)
        return rendered(figure, kind)


def against_size(panels: Mapping[str, Sequence[Sized]]) -> str:
    """Plot top-1 against parameters, with hollow points for models that the zoo did not train.

    Args:
        panels: The models of each panel, by its title.

    Returns:
        The text of an SVG.
    """
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    with new_figure(4.4 * len(panels), 4) as figure:
        for axes, (title, models) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
        ):
            for own, color, label in ((True, "tab:red", "trained by the zoo"), (False, "none", "trained by others")):
                points = [(model.parameters, model.top1) for model in models if model.own == own]
                if points:
                    axes.scatter(*zip(*points, strict=True), facecolors=color, edgecolors="tab:red", label=label)
            sizes = [model.parameters for model in models]
            for model in models:
                point = (model.parameters, model.top1)
                side, shift = ("right", -4) if model.parameters**2 > min(sizes) * max(sizes) else ("left", 4)
                axes.annotate(model.name, point, (shift, 3), textcoords="offset points", fontsize=8, ha=side)
            axes.set(title=title, xscale="log", xlabel="parameters", ylabel="test top-1 (%)")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
            axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.margins(x=0.12)
            axes.grid(alpha=0.3)
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)  # below the axes, away from points
        return rendered(figure, "svg").decode()


def _line(
    axes: Axes, rows: Sequence[EpochRow], quantity: str, style: str, color: str, label: str = "", *, error: bool = False
) -> None:
    """Draw the measured values of a quantity, or with `error` 100 minus the values."""
    points = [(row.epoch, getattr(row, quantity)) for row in rows if getattr(row, quantity) is not None]
    marker = "." if len(points) < len(rows) else None
    if len(rows) == 1:  # a line needs two points
        marker = "x" if quantity.startswith("train") else "o"
    if points:
        epochs, values = zip(*points, strict=True)
        shown = [100 - value for value in values] if error else values
        axes.plot(epochs, shown, linestyle=style, marker=marker, color=color, label=label or None)


def _epochs(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)


@contextlib.contextmanager
def new_figure(width: float, height: float, font_size: float = 9) -> Iterator[Figure]:
    """Yield a figure of this size in inches. `$` in its texts does not begin a formula."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(
        {"svg.hashsalt": "zoo", "svg.fonttype": "none", "text.parse_math": False, "font.size": font_size}
    ):
        yield Figure(figsize=(width, height), layout="constrained")


def rendered(figure: Figure, kind: str) -> bytes:
    """Encode a figure as a file of a kind in FORMATS."""
    buffer = io.BytesIO()
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with warnings.catch_warnings():
        # The viewer of an SVG has fonts of its own. For a PNG or PDF nothing can be done about a missing glyph.
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    if kind != "svg":
        return buffer.getvalue()
    return b"\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + b"\n"
