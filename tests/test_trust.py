"""What a folder names, a hub with its weights or a teacher, is asked for only where the person allows it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import zoo
from zoo import api
from zoo.errors import FolderError, HashMismatch, HubError
from zoo.folder import store
from zoo.hub import find
from zoo.hub.hugging_face import HuggingFaceHub
from zoo.hub.local import FolderHub

from .conftest import CHECKOUT
from .folders import config_of, hashed
from .loopback_hub import Hub

NAME = "resnet8_digits"


@pytest.fixture
def pinned(hub: Hub, trained: Path, tmp_path: Path) -> Path:
    """A folder in a folder hub whose weights are at hf://me."""
    api.push(trained, hub=f"file:{tmp_path / 'hub'}", weights_at="hf://me")
    shutil.rmtree(tmp_path / "hub" / ".revisions")
    hub.requests.clear()
    return tmp_path / "hub" / NAME


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


# -- pins ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ASK)
def test_weights_that_a_folder_pins_are_not_fetched_unasked(pinned: Path, hub: Hub, what: str) -> None:
    with pytest.raises(HubError) as caught:
        ASK[what](pinned)
    assert str(caught.value) == (
        f"the file of weights of {NAME} is said to be at hf://me/{NAME}; "
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
def test_of_a_folder_that_is_pinned_the_weights_alone_are_used(pinned: Path, trained: Path, tmp_path: Path) -> None:
    """Another config.json beside the same weights changes nothing."""
    other = config_of(Path(shutil.copytree(trained, tmp_path / "other")), mean=[0.0], std=[1.0], license="mit")
    pin = {"hub": f"hf://me/{NAME}", "revision": HuggingFaceHub("me").push(other, NAME).revision}
    config_of(pinned, pin=pin)
    evaluated = api.evaluate(pinned)
    assert evaluated.config == store.read_config(pinned)
    assert evaluated.results == store.read_config(trained).results
    pulled = api.pull(f"file:{pinned.parent}/{NAME}", out=tmp_path / "pulled")
    assert store.identity(pulled) == store.identity(pinned)
    assert store.check_whole(pulled) == store.read_config(pinned)


@pytest.mark.usefixtures("allowed")
def test_other_weights_than_the_pinned_are_refused(pinned: Path, trained: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(trained, tmp_path / "other"))
    (other / store.WEIGHTS).write_bytes((other / store.WEIGHTS).read_bytes()[:-4] + b"evil")
    revision = HuggingFaceHub("me").push(hashed(other), NAME).revision
    config_of(pinned, pin={"hub": f"hf://me/{NAME}", "revision": revision})
    with pytest.raises(HashMismatch, match=r"model\.safetensors has SHA-256"):
        zoo.load(pinned, pretrained=True)


@pytest.mark.parametrize("place", ["file:{}/there", "file:there", "{}/there", "there"])
def test_a_pin_is_no_place_on_one_machine(pinned: Path, trained: Path, tmp_path: Path, place: str) -> None:
    shutil.copytree(trained, tmp_path / "there" / NAME)
    config_of(pinned, pin={"hub": f"{place.format(tmp_path)}/{NAME}", "revision": store.identity(trained)})
    with pytest.raises(FolderError, match=r"pins its weights to .*; expected hf://namespace/name"):
        zoo.load(pinned, pretrained=True)


@pytest.mark.parametrize("place", ["file:{}/there", "file:there"])
def test_no_pin_is_published_to_a_place_on_one_machine(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HubError, match=r"is of this machine, and a pin is for others; expected hf://namespace"):
        api.push(trained, hub=f"file:{tmp_path / 'hub'}", weights_at=place.format(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_weights_is_not_published_as_if_it_had_them(pinned: Path, hub: Hub, tmp_path: Path) -> None:
    hub.repositories.clear()
    pushes: tuple[Callable[[], object], ...] = (
        lambda: api.push(pinned, hub="hf://me"),
        lambda: api.push(pinned, hub=f"file:{tmp_path / 'other'}", weights_at="hf://me"),
        lambda: HuggingFaceHub("me").push(pinned, NAME),
    )
    for push in pushes:
        with pytest.raises(FolderError, match=rf"has no weights, those are at hf://me/{NAME}; make a whole one"):
            push()
    assert hub.repositories == {}
    assert not (tmp_path / "other").exists()


# -- teachers --------------------------------------------------------------------------------------


def taught(folder: Path, teacher: str) -> Path:
    """The same folder, as if it had been distilled."""
    config = store.read_config(folder)
    recipe = dataclasses.replace(config.own.job.recipe, teacher=teacher)
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
