"""`zoo revisions` and `zoo diff`: the states of a published model, and how two records differ."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import zoo
from zoo import api
from zoo.errors import HubError, HubWarning

from . import loopback_hub
from .conftest import Run
from .folders import config_of

NAME = "resnet8_digits"


@pytest.fixture
def twice(trained: Path, tmp_path: Path) -> list[str]:
    """The addresses of two revisions of a model in a folder hub, which differ in the license."""
    hub = f"file:{tmp_path / 'hub'}"
    first = zoo.push(trained, hub=hub)
    second = zoo.push(zoo.pull(NAME, hub=hub, out=tmp_path / "again"), hub=hub, license="mit")
    return [str(pushed.address.at(pushed.revision)) for pushed in (first, second)]


def test_the_revisions_of_a_model_are_listed_newest_first(twice: list[str], run_here: Run) -> None:
    address = twice[0].partition("@")[0]
    rows = json.loads(run_here("revisions", address, "--json").stdout)
    assert [row["id"] for row in rows] == [address_at.partition("@")[2] for address_at in reversed(twice)]
    assert [row["license"] for row in rows] == ["mit", "apache-2.0"]
    assert rows[0]["top1"] == rows[1]["top1"] == zoo.info(address).config.results.test_top1  # type: ignore[union-attr]
    assert datetime.now(UTC) - datetime.fromisoformat(rows[0]["date"]) < timedelta(hours=1)
    heading, *lines = run_here("revisions", address).stdout.splitlines()
    assert heading.split("\t") == ["revision", "date", "top-1", "license"]
    assert [line.split("\t")[0] for line in lines] == [row["id"][:12] for row in rows]


def test_a_damaged_revision_is_left_out_with_a_warning(twice: list[str]) -> None:
    path, _, revision = twice[0].removeprefix("file:").partition("@")
    config_of(Path(path) / ".revisions" / revision, license="gpl")
    with pytest.warns(HubWarning, match=f"is not revision {revision[:12]}: its config.json was changed"):
        (row,) = api.revisions(f"file:{path}")
    assert row.license == "mit"


def test_the_catalogue_has_one_revision_without_a_date() -> None:
    (row,) = api.revisions(NAME)
    assert (row.date, row.license) == (None, "apache-2.0")


def test_the_commits_of_the_hugging_face_hub_have_dates(hub: loopback_hub.Hub, trained: Path) -> None:
    pushed = api.push(trained, hub="hf://me")
    (row,) = api.revisions(f"hf://me/{NAME}")
    assert row.id == pushed.revision
    assert row.date is not None


def test_a_path_has_no_revisions(trained: Path) -> None:
    with pytest.raises(HubError, match="is a path, which is in no hub and has no revisions; name a model or an add"):
        api.revisions(trained)


def test_only_what_differs_between_two_records_is_shown(twice: list[str], run_here: Run) -> None:
    first, second = twice
    assert json.loads(run_here("diff", first, second, "--json").stdout) == {
        "license": {"a": "apache-2.0", "b": "mit"},
    }
    assert run_here("diff", first, second).stdout.splitlines()[1:] == ["license\tapache-2.0\tmit"]
    assert run_here("diff", first, first).stdout == "the records are the same\n"


def test_diff_compares_recipes_results_classes_and_hashes() -> None:
    names = ("resnet20_cifar10", "resnet20_cifar100")
    different = api.diff(*names)
    assert different["classes[0]"] == ("airplane", "apple")
    assert different["classes[99]"] == (None, "worm")
    assert different["results.test_top1"] == tuple(api.revisions(name)[0].top1 for name in names)
    assert {"files.model.safetensors.sha256", "job.dataset", "name", "parameters"} <= different.keys()
    assert api.diff("resnet8_digits", "resnet20_cifar10")["job.recipe.epochs"] == (40, 100)
    assert not any(field.startswith("known_answers") for field in different)
