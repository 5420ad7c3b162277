"""HTML tables for notebooks. Jupyter shows the result of a value's `_repr_html_` instead of its repr."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def table(rows: Iterable[Sequence[str]], *, heading: Sequence[str] = (), caption: str = "") -> str:
    """Return an HTML table of plain text; special characters are escaped.

    Args:
        rows: The cells of each row.
        heading: The names of the columns.
        caption: A line above the table.

    Returns:
        The element `<table>`.
    """
    # Jupyter's style sheet would move all text to the right, and a caption below the table.
    above = f'<caption style="text-align:left;caption-side:top">{escape(caption)}</caption>' if caption else ""
    head = _row("th", heading) if heading else ""
    return f"<table>{above}{head}{''.join(_row('td', row) for row in rows)}</table>"


def count(parameters: int | None) -> str:
    """Return the cell of a number of parameters; empty if it is not known."""
    return "" if parameters is None else f"{parameters:,}"


def accuracy(top1: float | None, claim: float | None) -> str:
    """Return the cell of a measured accuracy in percent, or of the one that the author of the weights states."""
    if top1 is not None:
        return f"{top1:.2f}%"
    return "" if claim is None else f"{claim:.2f}% (claimed)"


def _row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f'<{tag} style="text-align:left">{escape(cell)}</{tag}>' for cell in cells) + "</tr>"
