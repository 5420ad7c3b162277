"""HTML for notebooks. Jupyter shows a value's `_repr_html_` in the place of its repr."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def table(rows: Iterable[Sequence[str]], *, heading: Sequence[str] = (), caption: str = "") -> str:
    """Return an HTML table of plain text, in which special characters are escaped.

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


def _row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f'<{tag} style="text-align:left">{escape(cell)}</{tag}>' for cell in cells) + "</tr>"
