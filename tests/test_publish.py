"""Checks before publishing: card, weights, classes, license and local paths."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo
from zoo import api
from zoo.errors import FolderError, HubError
from zoo.hub.hugging_face import HuggingFaceHub
from zoo.hub.local import FolderHub
from zoo.hub.publish import require_public
from zoo.record import store
from zoo.record.job import Origin

from .conftest import CHECKOUT
from .folders import config_of, hashed, taught_by, trained_record
from .loopback_hub import Hub

NAME = "resnet8_digits"


@pytest.mark.parametrize("kind", ["file", "hf"])
def test_a_stale_card_is_rendered_again_and_an_edited_card_is_kept(
    hub: Hub, model_folder: Path, tmp_path: Path, kind: str
) -> None:
    target = {"file": f"file:{tmp_path / 'hub'}", "hf": "hf://me"}[kind]
    fresh = (model_folder / store.README).read_text()
    text, _, _ = fresh.replace("No epoch or hyper-parameter was chosen on test data.", "Of an older zoo.").rpartition(
        "<!-- Written by zoo "
    )
    signature = f"<!-- Written by zoo 0.0.1, SHA-256 of the text above: {hashlib.sha256(text.encode()).hexdigest()} -->"
    (model_folder / store.README).write_text(f"{text}{signature}\n")

    def published() -> str:
        pulled = api.pull(f"{target}/{NAME}", out=tmp_path / "pulled")
        text = (pulled / store.README).read_text()
        shutil.rmtree(pulled)
        return text

    assert api.push(model_folder, hub=target).card == "stale"
    text = published()
    assert "No epoch or hyper-parameter was chosen on test data." in text
    assert f'zoo.load("{target}/{NAME}", pretrained=True)' in text
    (model_folder / store.README).write_text(f"{fresh}\nMy own words.\n")
    assert api.push(model_folder, hub=target).card == "edited"
    assert published() == f"{fresh}\nMy own words.\n"


def test_weights_of_another_dtype_or_with_nan_are_not_published(model_folder: Path, tmp_path: Path) -> None:
    path, hub = model_folder / store.WEIGHTS, f"file:{tmp_path / 'hub'}"
    tensors = load_file(path)
    bias = tensors["fc.bias"]
    for wrong, message in (
        (bias.half(), "has fc.bias as F16, its record says F32"),
        (torch.full_like(bias, torch.nan), "has values in fc.bias that are not finite"),
    ):
        save_file({**tensors, "fc.bias": wrong}, path)
        hashed(model_folder)
        with pytest.raises(FolderError, match=message):
            api.push(model_folder, hub=hub)
        with pytest.raises(FolderError, match=message):
            store.read_weights(model_folder, store.read_record(model_folder))
    assert FolderHub(tmp_path / "hub").models() == []


def test_classes_in_another_order_than_the_revision_before_are_not_published(
    model_folder: Path, tmp_path: Path
) -> None:
    hub, classes = f"file:{tmp_path / 'hub'}", store.read_record(model_folder).classes
    job = {**trained_record(model_folder).job.to_json(), "dataset": "other"}  # declared by no plugin here
    config_of(model_folder, name="resnet8_other", dataset="other", job=job)
    first = api.push(model_folder, hub=hub).revision
    config_of(model_folder, classes=classes[::-1])
    with pytest.raises(HubError, match=r"^resnet8_other has its classes in another order than .* was published with"):
        api.push(model_folder, hub=hub)
    assert FolderHub(tmp_path / "hub").revisions("resnet8_other") == [first]


def test_the_license_of_imported_weights_can_be_changed(model_folder: Path, tmp_path: Path) -> None:
    hub, weights = f"file:{tmp_path / 'hub'}", model_folder / store.WEIGHTS
    folder, _ = api.import_model(NAME, weights, by="Somebody", license="unknown", out=tmp_path / "imported")
    before = store.read_record(folder)
    api.push(folder, hub=hub, license="cc-by-4.0")
    after = store.check_whole(folder)
    assert (before.license, after.license) == ("unknown", "cc-by-4.0")
    assert msgspec.structs.replace(after, license="unknown") == before
    assert "license: cc-by-4.0" in (folder / store.README).read_text()
    assert zoo.info(f"{NAME}.somebody", hub=hub).config == after


def test_a_folder_whose_log_is_empty_is_not_published(model_folder: Path, tmp_path: Path) -> None:
    (model_folder / store.LOG).write_text("")
    hashed(model_folder)
    with pytest.raises(FolderError, match=r"log\.jsonl has no epoch"):
        api.push(model_folder, hub=f"file:{tmp_path / 'hub'}")


@pytest.mark.parametrize("teacher", ["/home/me/teacher", "./teacher", "~/teacher", "file:/home/me/hub/resnet8_digits"])
def test_a_model_with_a_local_teacher_is_not_published_on_the_hugging_face_hub(
    hub: Hub, model_folder: Path, tmp_path: Path, teacher: str
) -> None:
    taught_by(model_folder, teacher)
    with pytest.raises(HubError, match=f"its teacher {teacher} is a path of this machine; publish the teacher first"):
        api.push(model_folder, hub="hf://me")
    assert hub.requests == []
    assert api.push(model_folder, hub=f"file:{tmp_path / 'hub'}").revision == store.identity(model_folder)


@pytest.mark.parametrize("teacher", ["resnet8", "hf://me/resnet8_digits"])
def test_a_model_with_a_public_teacher_is_published(hub: Hub, model_folder: Path, teacher: str) -> None:
    assert api.push(taught_by(model_folder, teacher), hub="hf://me").revision
    assert len(hub.repositories) == 1


def test_a_training_to_publish_refuses_a_local_teacher_before_the_first_step(
    hub: Hub, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.training.run.train", None)
    settings = {"teacher": str(trained)}
    with pytest.raises(HubError, match="is a path of this machine"):
        api.train("resnet8", settings=settings, push=True, hub="hf://me", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_with_a_local_start_is_not_published_on_the_hugging_face_hub(trained: Path) -> None:
    job = msgspec.structs.replace(trained_record(trained).job, start=Origin("./start", "0" * 64))
    with pytest.raises(HubError, match=r"its start \./start is a path of this machine; publish the start first"):
        require_public(job, HuggingFaceHub("me"))


@pytest.mark.parametrize("name", store.FILES)
def test_a_link_out_of_a_folder_is_not_followed(model_folder: Path, tmp_path: Path, name: str) -> None:
    """A link in an unpacked archive could publish a private file."""
    secret = tmp_path / "secret"
    (model_folder / name).rename(secret)
    (model_folder / name).symlink_to(secret)
    with pytest.raises(FolderError, match=f"{name} is a link out of its folder, to {secret}; put the file itself"):
        api.push(model_folder, hub=f"file:{tmp_path / 'hub'}")
    assert FolderHub(tmp_path / "hub").models() == []
    shutil.copytree(model_folder, tmp_path / "hub" / NAME, symlinks=True)
    with pytest.raises(FolderError, match="is a link out of its folder"):
        api.pull(NAME, hub=f"file:{tmp_path / 'hub'}", out=tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()


def test_links_to_and_inside_a_model_folder_are_followed(model_folder: Path, tmp_path: Path) -> None:
    (model_folder / store.CURVE).rename(model_folder / "real.svg")
    (model_folder / store.CURVE).symlink_to("real.svg")
    (tmp_path / "short").symlink_to(model_folder)
    assert api.push(tmp_path / "short", hub=f"file:{tmp_path / 'hub'}").revision == store.identity(model_folder)


def test_pushing_a_folder_of_the_catalogue_keeps_its_card(tmp_path: Path) -> None:
    folder = tmp_path / "resnet8_digits"
    shutil.copytree(CHECKOUT / "hub_cards" / "resnet8_digits", folder)
    before = (folder / store.README).read_bytes()
    assert api.push(folder, hub=f"file:{tmp_path}/hub").card == "current"
    assert (folder / store.README).read_bytes() == before
