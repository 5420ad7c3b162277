from __future__ import annotations

from xml.etree import ElementTree

import pytest

from zoo.record import curve
from zoo.record.types import EpochRow

ROWS = [EpochRow(n, 0.1, 2.0 / n, 10.0 * n, 1.0, 2.1 / n if n % 2 == 0 else None, 9.0 * n) for n in range(1, 7)]


def test_a_curve_has_axes_and_lines_for_both_sets() -> None:
    svg = curve.draw("resnet8_digits", ROWS)
    assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    for text in ("resnet8_digits", "loss", "top-1 (%)", "epoch", "train", "test"):
        assert f">{text}<" in svg


RUNS = {"plain20": ROWS, "plain56": ROWS[:3], "resnet20": ROWS[:1]}


def test_an_overlay_of_runs_has_loss_accuracy_and_learning_rate() -> None:
    svg = curve.overlay(RUNS, "svg").decode()
    for text in ("loss", "top-1 (%)", "learning rate", "epoch", "plain20", "plain56", "train dashed, test solid"):
        assert f">{text}<" in svg


def test_held_out_images_have_a_line_if_there_are_any() -> None:
    rows = [EpochRow(n, 0.1, 2.0, 10.0, 1.0, val_loss=1.0, val_top1=50.0) for n in (1, 2)]
    assert ">held out<" in curve.draw("a", rows)
    assert ">train dashed, test solid, held out dotted<" in curve.overlay({"a": rows}, "svg").decode()
    assert "held out" not in curve.draw("a", ROWS)


def test_names_with_special_characters_are_shown_unchanged() -> None:
    rows = [EpochRow(1, 0.1, 500.0, 10.0, 1.0, 500.0), EpochRow(2, 0.1, 0.5, 10.0, 1.0, 0.5)]
    for name in ("$x_{$", "玫瑰"):
        assert f">{name}<" in curve.draw(name, rows)
        assert f">{name}<" in curve.overlay({name: rows}, "svg").decode()
        assert curve.overlay({name: rows}, "png").startswith(b"\x89PNG")
    assert "mathdefault" not in curve.overlay({"a": rows}, "svg").decode()


def test_errors_have_a_panel_per_family() -> None:
    svg = curve.errors(RUNS, "svg", "cifar10, recipe paper").decode()
    assert svg.count(">epoch<") == 2
    assert svg.count(">error (%)<") == 1
    assert all(f">{name}<" in svg for name in RUNS)


@pytest.mark.parametrize(("kind", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_an_image_has_the_requested_format_and_reproducible_bytes(kind: str, start: bytes) -> None:
    runs = {"resnet20": ROWS}
    picture = curve.overlay(runs, kind)
    assert picture.startswith(start)
    assert picture == curve.overlay(runs, kind)


def test_models_are_points_of_size_and_accuracy_grouped_by_trainer() -> None:
    models = [curve.Sized("resnet20", 269_722, 92.5, True), curve.Sized("resnet20.somebody", 269_722, 91.7, False)]
    svg = curve.against_size({"CIFAR-10": models, "CIFAR-100": models[:1]})
    assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    for text in ("CIFAR-10", "CIFAR-100", "parameters", "test top-1 (%)", "resnet20", "resnet20.somebody"):
        assert f">{text}<" in svg
    assert [svg.count(f">trained by {who}<") for who in ("the zoo", "others")] == [2, 1]
    assert curve.against_size({"CIFAR-10": models, "CIFAR-100": models[:1]}) == svg
