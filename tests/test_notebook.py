"""Values and trainings in Jupyter."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

import zoo
from zoo import api
from zoo.evaluation.predict import Guess, Prediction
from zoo.training.reporting import Bar, NotebookBar, Report, default_report

from .conftest import CHECKOUT


def cells(html: str) -> list[list[str]]:
    """The text of a table, which has to be well-formed."""
    return [[cell.text or "" for cell in row] for row in ElementTree.fromstring(html).iter("tr")]


def test_a_prediction_is_a_table_of_classes_with_probabilities() -> None:
    prediction = Prediction(Path("cat.png"), (Guess("cat", 0.875), Guess("dog", 0.125)))
    assert cells(prediction._repr_html_()) == [["cat", "87.50%"], ["dog", "12.50%"]]


def test_a_prediction_of_an_unreadable_image_shows_the_error() -> None:
    assert cells(Prediction(Path("cat.png"), (), "it is damaged")._repr_html_()) == [["it is damaged"]]


def test_names_are_escaped() -> None:
    html = Prediction(Path("<b>.png"), (Guess("<script>alert(1)</script>", 1.0),))._repr_html_()
    assert "<b>" not in html
    assert cells(html) == [["<script>alert(1)</script>", "100.00%"]]


def test_an_overview_is_a_table_of_models() -> None:
    heading, row = cells(api.overview("resnet8_digits")._repr_html_())
    assert heading == ["model", "dataset", "parameters", "top-1", "license", "weights"]
    assert row[:2] == ["resnet8_digits", "digits"]
    assert row[3].endswith("%")


def test_accuracies_that_only_the_author_states_are_marked() -> None:
    claimed = [row for row in api.overview(pretrained=True) if row.top1 is None and row.claim is not None]
    assert all(f"{row.claim:.2f}% (claimed)" in api.overview(row.name)._repr_html_() for row in claimed)


@pytest.mark.parametrize("name", ["resnet8_digits", "plain20_cifar100", "resnet56b_cifar100.chenyaofo"])
def test_a_model_is_a_table_of_its_properties(name: str) -> None:
    model = zoo.info(name)
    rows = dict(cells(model._repr_html_()))
    assert rows["classes"].startswith(f"{len(model.classes)}: ")
    assert rows["weights"] == (model.weights or "none published")
    assert ("top-1" in rows) == (model.config is not None)


def test_a_training_reports_nothing_outside_of_ipython(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert type(default_report()) is Report


@pytest.mark.parametrize(("shell", "report"), [(SimpleNamespace(), Bar), (SimpleNamespace(kernel=None), NotebookBar)])
def test_a_training_shows_a_bar_in_ipython(
    shell: object, report: type[Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert type(default_report()) is report


def test_the_example_notebook_runs_and_shows_its_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ipykernel")
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    notebook = nbformat.read(CHECKOUT / "examples" / "first_steps.ipynb", as_version=4)
    assert all(cell.outputs == [] for cell in notebook.cells if cell.cell_type == "code")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    nbclient.NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}).execute()

    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    tables = [output.data["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    overview, model, *predictions, training, published = map(cells, tables)
    assert overview[0][0] == "model"
    assert dict(model)["dataset"] == "digits"
    assert [len(rows) for rows in predictions] == [3, 3, 3]
    assert [row[0] for row in training] == ["epoch", "1/3", "2/3", "3/3"]
    assert dict(published)["weights"] == "file:hub/resnet8_digits"
    assert [output for output in outputs if output.get("name") == "stderr"] == []
