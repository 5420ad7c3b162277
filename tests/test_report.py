from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from zoo.evaluation import report
from zoo.record import store
from zoo.record.types import Results

from .conftest import Run

CLASSES = ("cat", "dog", "ship", "none")
CONFUSION = ((6, 3, 1, 0), (2, 8, 0, 0), (0, 0, 5, 0), (0, 0, 0, 0))


def test_a_class_has_its_accuracy_and_its_most_frequent_mistake() -> None:
    cat, dog, ship, none = report.by_class(CLASSES, CONFUSION)
    assert (cat.images, cat.top1, cat.mistaken_for, cat.mistakes) == (10, 60.0, "dog", 3)
    assert (dog.top1, dog.mistaken_for) == (80.0, "cat")
    assert (ship.top1, ship.mistaken_for, ship.mistakes) == (100.0, None, 0)
    assert (none.images, none.top1) == (0, 0.0)


def test_a_report_has_the_numbers_and_a_drawing_of_the_confusion_matrix(tmp_path: Path) -> None:
    report.write(tmp_path / "new" / "folder", "a_model", Results(76.0, 100.0, 0.5, 25), CLASSES, CONFUSION)
    numbers = json.loads((tmp_path / "new" / "folder" / report.NUMBERS).read_text())
    assert numbers["confusion"] == [list(row) for row in CONFUSION]
    assert [row["top1"] for row in numbers["classes"]] == [60.0, 80.0, 100.0, 0.0]
    svg = (tmp_path / "new" / "folder" / report.MATRIX).read_text()
    assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert all(f">{text}<" in svg for text in ("a_model", "true class", "predicted class", "ship", "8"))


def test_the_chart_of_errors_has_the_tested_classes_with_the_highest_error_first() -> None:
    svg = report.draw_errors("a_model", CLASSES, CONFUSION).decode()
    assert svg.index(">cat<") < svg.index(">dog<") < svg.index(">ship<")
    assert all(f">{text}<" in svg for text in ("a_model", "4 of 10, 3 as dog", "0 of 5"))
    assert ">none<" not in svg
    assert report.draw_errors("a_model", CLASSES, CONFUSION).decode() == svg


def test_the_chart_of_errors_shows_20_of_many_classes() -> None:
    classes = [f"class{i}" for i in range(30)]
    confusion = [[i * (j == 0) + (100 - i) * (j == i) for j in range(30)] for i in range(30)]
    svg = report.draw_errors("a_model", classes, confusion).decode()
    assert ">a_model: 20 of 30 classes, those with the highest errors<" in svg
    assert [name for name in classes if f">{name}<" in svg] == classes[10:]


@pytest.mark.parametrize("name", ["$x_{$", "$5 bill$", "玫瑰", "🌹"])
def test_a_class_name_is_drawn_unchanged(tmp_path: Path, name: str) -> None:
    (alone,) = report.write(tmp_path / "report", name, Results(100.0, 100.0, 0.5, 3), (name,), ((3,),))
    assert (alone.top1, alone.mistaken_for, alone.mistakes) == (100.0, None, 0)
    assert (tmp_path / "report" / report.MATRIX).read_text().count(f">{name}<") == 3


def test_a_report_is_not_written_into_a_model_folder(trained: Path, run_here: Run) -> None:
    finished = run_here("eval", trained, "--report", "--out", trained)
    assert (finished.returncode, finished.stdout) == (1, "")
    assert "is a model folder, it has config.json; name another folder for the report as out" in finished.stderr
    assert sorted(path.name for path in trained.iterdir()) == sorted(store.FILES)
