"""The curve of a run: loss and accuracy against epoch, as SVG."""

from __future__ import annotations

import io
from collections.abc import Sequence

from zoo.folder import EpochRow


def draw(title: str, rows: Sequence[EpochRow]) -> str:
    """Draw the log of a run; the same rows give the same text."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    epochs = [row.epoch for row in rows]
    tested = [row for row in rows if row.test_loss is not None]
    marker = "o" if len(rows) == 1 else None
    # No date and fixed ids: a curve made again is the same file.
    with mpl.rc_context({"svg.hashsalt": "zoo", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        figure.suptitle(title)
        loss, top1 = figure.subplots(1, 2)
        loss.plot(epochs, [row.train_loss for row in rows], "--", marker=marker, label="train", color="tab:blue")
        top1.plot(epochs, [row.train_top1 for row in rows], "--", marker=marker, label="train", color="tab:blue")
        where = [row.epoch for row in tested]
        loss.plot(where, [row.test_loss for row in tested], marker=marker, label="test", color="tab:red")
        top1.plot(where, [row.test_top1 for row in tested], marker=marker, label="test", color="tab:red")
        loss.set_ylabel("loss")
        top1.set_ylabel("top-1 (%)")
        for axes in (loss, top1):
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(alpha=0.3)
            axes.legend()
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"
