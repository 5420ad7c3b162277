from __future__ import annotations

from xml.etree import ElementTree

from zoo import curve
from zoo.folder import EpochRow

ROWS = [EpochRow(n, 0.1, 2.0 / n, 10.0 * n, 1.0, 2.1 / n if n % 2 == 0 else None, 9.0 * n) for n in range(1, 7)]


def test_the_curve_is_svg_with_both_axes_and_both_sets() -> None:
    svg = curve.draw("resnet8_digits", ROWS)
    assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    for text in ("resnet8_digits", "loss", "top-1 (%)", "epoch", "train", "test"):
        assert f">{text}<" in svg


def test_the_same_rows_give_the_same_text() -> None:
    assert curve.draw("a", ROWS) == curve.draw("a", ROWS)


def test_a_run_of_one_epoch_has_a_curve_too() -> None:
    assert "<svg" in curve.draw("a", ROWS[:1])
