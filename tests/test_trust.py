"""What a folder names, a hub with its weights or a teacher, is asked for only where the person allows it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import zoo
from zoo import api
from zoo.errors import FolderError, HashMismatch, HubError
from zoo.hub import find
from zoo.hub.hugging_face import HuggingFaceHub
from zoo.hub.local import FolderHub
from zoo.record import store

from .conftest import CHECKOUT
from .folders import config_of, hashed, trained_record, without_weights
from .loopback_hub import Hub

NAME = "resnet8_digits"
WEIGHTS = f"hf://me/{NAME}/model.safetensors"


@pytest.fixture
def pinned(hub: Hub, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in a folder hub whose weights are at hf://me."""
    api.push(trained, hub="hf://me")
    folder = Path(shutil.copytree(trained, tmp_path / "hub" / NAME))
    hub.requests.clear()
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return without_weights(folder, WEIGHTS)


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_TRUST", "hf://timm, hf://me")


ASK: dict[str, Callable[[Path], object]] = {
    "load by path": lambda path: zoo.load(path, pretrained=True),
    "load from the hub": lambda path: zoo.load(NAME, pretrained=True, hub=f"file:{path.parent}"),
    "load by address": lambda path: zoo.load(f"file:{path.parent}/{NAME}", pretrained=True),
    "evaluate": api.evaluate,
    "verify": api.verify,
    "predict": lambda path: list(api.predict(path, [CHECKOUT / "tests" / "photo.png"])),
    "pull": lambda path: api.pull(NAME, hub=f"file:{path.parent}", out=path.parent.parent / "pulled"),
}


# -- weights ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ASK)
def test_weights_that_a_folder_pins_are_not_fetched_unasked(pinned: Path, hub: Hub, what: str) -> None:
    with pytest.raises(HubError) as caught:
        ASK[what](pinned)
    assert str(caught.value) == (
        f"the file of weights of {NAME} is said to be at {WEIGHTS}; "
        "nothing is fetched there unasked: to allow it, list it in ZOO_TRUST"
    )
    assert hub.requests == []
    assert not (pinned.parent.parent / "pulled").exists()


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("what", ASK)
def test_weights_that_a_folder_pins_are_fetched_where_the_person_allows_it(pinned: Path, what: str) -> None:
    ASK[what](pinned)


def test_a_models_own_address_is_allowed_too(pinned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_TRUST", f"hf://me/{NAME}")
    assert not zoo.load(pinned, pretrained=True).training


def test_what_the_catalogue_pins_is_fetched_unasked_by_name_and_by_path(
    pinned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find, "catalogue", lambda: FolderHub(pinned.parent))
    assert not zoo.load(NAME, pretrained=True).training
    assert not zoo.load(pinned, pretrained=True).training


@pytest.mark.usefixtures("allowed")
def test_other_weights_than_those_of_the_record_are_refused(pinned: Path, trained: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(trained, tmp_path / "other"))
    (other / store.WEIGHTS).write_bytes((other / store.WEIGHTS).read_bytes()[:-4] + b"evil")
    HuggingFaceHub("me").push(hashed(other), NAME)
    with pytest.raises(HashMismatch, match="has SHA-256"):
        zoo.load(pinned, pretrained=True)


def test_a_folder_without_weights_is_not_published_as_if_it_had_them(pinned: Path, hub: Hub, tmp_path: Path) -> None:
    hub.repositories.clear()
    pushes: tuple[Callable[[], object], ...] = (
        lambda: api.push(pinned, hub="hf://me"),
        lambda: api.push(pinned, hub=f"file:{tmp_path / 'other'}"),
        lambda: HuggingFaceHub("me").push(pinned, NAME),
    )
    for push in pushes:
        with pytest.raises(FolderError, match=rf"has no weights, those are at {WEIGHTS}; fetch a whole one"):
            push()
    assert hub.repositories == {}
    assert not (tmp_path / "other").exists()


# -- teachers --------------------------------------------------------------------------------------


def taught(folder: Path, teacher: str) -> Path:
    """The same folder, as if it had been distilled."""
    recipe = trained_record(folder).job.recipe.replace(teacher=teacher)
    job = json.loads((folder / store.CONFIG).read_text())["job"]
    job |= {"recipe": recipe.to_json(), "teacher": {"address": teacher, "sha256": "0" * 64}}
    return config_of(folder, job=job, recipe_sha256=recipe.sha256())


@pytest.mark.parametrize("teacher", ["hf://evil/tracker_digits", "file:/etc/passwd", "/etc/passwd", "~/x", "./x"])
def test_the_teacher_that_a_folder_names_is_not_looked_for_unasked(
    model_folder: Path, hub: Hub, tmp_path: Path, teacher: str
) -> None:
    with pytest.raises(HubError, match=rf"the teacher of {NAME} is said to be at {teacher}; nothing is fetched there"):
        api.reproduce(taught(model_folder, teacher), out=tmp_path / "again")
    assert hub.requests == []
    assert not (tmp_path / "again").exists()


def test_a_teacher_is_looked_for_where_the_person_allows_it(
    model_folder: Path, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_TRUST", "hf://evil")
    with pytest.raises(HubError, match="hf://evil/tracker_digits is not there, or is private"):
        api.reproduce(taught(model_folder, "hf://evil/tracker_digits"), out=tmp_path / "again")


def test_a_teacher_that_is_a_name_is_found_where_the_person_has_names_looked_for() -> None:
    find.require_allowed("resnet8", "the teacher of anybody")
