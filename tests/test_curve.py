from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from zoo.record import curve
from zoo.record.types import EpochRow

from .conftest import CHECKOUT

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
def test_a_picture_has_the_requested_format_and_reproducible_bytes(kind: str, start: bytes) -> None:
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


def test_the_picture_in_the_docs_agrees_with_the_table_in_the_readme() -> None:
    table = dict[tuple[str, str], float]()
    for line in (CHECKOUT / "README.md").read_text().splitlines():
        if match := re.match(r"\| \[?`(resnet\w+?)_(cifar100?)`", line):
            name, dataset = match.groups()
            if own := re.search(r"\*\*([0-9.]+)\*\*", line):
                table[dataset, name] = float(own[1])
            for by, top1 in re.findall(r"\[(\w+)\]\(hub\S+\) ([0-9.]+)", line):
                table[dataset, f"{name}.{by}"] = float(top1)
    svg = (CHECKOUT / "docs" / "accuracy.svg").read_text()
    width = float(re.findall(r'viewBox="0 0 ([0-9.]+)', svg)[0])
    points = {
        ("cifar10" if float(x) < width / 2 else "cifar100", name): float(y)
        for x, y, name in re.findall(r' x="([0-9.]+)" y="([0-9.]+)"[^>]*>(resnet[\w.]+)<', svg)
    }
    assert points.keys() == table.keys()
    for dataset in ("cifar10", "cifar100"):
        keys = [key for key in table if key[0] == dataset]
        heights, accuracies = [points[key] for key in keys], [table[key] for key in keys]
        slope, offset = np.polyfit(accuracies, heights, 1)  # an axis is linear
        assert heights == pytest.approx([slope * top1 + offset for top1 in accuracies], abs=1)
