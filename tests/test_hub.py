from __future__ import annotations

import itertools
import shutil
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from safetensors.torch import load_file, save_file

from zoo import api
from zoo.errors import HubError
from zoo.hub import Address, Cards, Hub, Repositories, Searchable, open_hub
from zoo.hub import publish as publishing
from zoo.hub.catalogue import catalogue
from zoo.hub.hugging_face import HuggingFaceHub
from zoo.hub.local import FolderHub
from zoo.hub.resolve import published
from zoo.hub.schemes import HUBS
from zoo.record import store
from zoo.record.types import log_text

from . import loopback_hub
from .folders import hashed, publish

NAME = "resnet8_digits"
Install = Callable[..., Path]


def test_a_hub_is_opened_by_its_address(tmp_path: Path) -> None:
    local = open_hub(f"file:{tmp_path}")
    assert isinstance(local, FolderHub)
    assert str(local.address) == f"file:{tmp_path}"
    hugging_face = open_hub("hf://me")
    assert isinstance(hugging_face, HuggingFaceHub)
    assert str(hugging_face.address) == "hf://me"
    assert open_hub(Address("hf", "me", "resnet8_digits")).address == hugging_face.address


def test_the_default_hub_is_zoo_hub_or_the_account_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_HUB", f"file:{tmp_path}")
    assert str(open_hub().address) == f"file:{tmp_path}"
    monkeypatch.delenv("ZOO_HUB")
    with pytest.raises(HubError, match="no account is logged in"):
        open_hub().address  # noqa: B018


@pytest.mark.parametrize(
    "address", ["/some/folder", "s3://bucket", "file:", "hf://me/model", "hf://me@v1", "https://huggingface.co"]
)
def test_an_invalid_address_of_a_hub_is_refused(address: str) -> None:
    expected = r"expected file:PATH or hf://namespace|there is no kind of hub '\w+'; expected one of file, hf"
    with pytest.raises(HubError, match=expected):
        open_hub(address)


def test_optional_capabilities_of_a_hub_are_protocols() -> None:
    assert isinstance(HuggingFaceHub("me"), Searchable)
    assert isinstance(HuggingFaceHub("me"), Repositories)
    assert isinstance(HuggingFaceHub("me"), Cards)
    assert not isinstance(catalogue(), Searchable | Cards | Repositories)
    with pytest.raises(HubError, match="file:x can't be searched; see what it has with: zoo list --hub file:x"):
        api.search("resnet8", hub="file:x")


# -- hubs of plugins -------------------------------------------------------------------------------


def test_a_plugin_cannot_replace_file_and_hf(fake_plugin: Install) -> None:
    fake_plugin("zoo-evil", {"hf": "zoo_evil:Hub", "file": "zoo_evil:Hub"}, "zoo_evil", "Hub = repr\n", group=HUBS.name)
    assert isinstance(open_hub("hf://me"), HuggingFaceHub)
    assert isinstance(open_hub("file:x"), FolderHub)
    assert "zoo_evil" not in sys.modules


# -- pushes while others read ----------------------------------------------------------------------


def retrained(source: Path, target: Path) -> Path:
    """A copy of a model folder with other weights and another log."""
    shutil.copytree(source, target)
    tensors = load_file(target / store.WEIGHTS)
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, target / store.WEIGHTS)
    rows = [msgspec.structs.replace(row, train_loss=row.train_loss + 1) for row in store.read_log(target)]
    (target / store.LOG).write_text(log_text(rows))
    return hashed(target)


@pytest.fixture(params=["folder", "folder without revisions", "Hugging Face"])
def moving(
    request: pytest.FixtureRequest,
    hub: loopback_hub.Hub,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """The address of a model of which another revision is pushed after every fetch."""
    target: Hub = HuggingFaceHub("me") if request.param == "Hugging Face" else FolderHub(tmp_path / "hub")
    if request.param == "folder without revisions":
        shutil.copytree(trained, tmp_path / "hub" / NAME)
    else:
        publish(target, trained)
    folders = itertools.cycle((retrained(trained, tmp_path / "newer"), trained))
    fetch = type(target).fetch

    def fetched_and_pushed(self: Hub, *arguments: Any, **options: Any) -> Path:
        folder = fetch(self, *arguments, **options)
        publish(self, next(folders))
        return folder

    monkeypatch.setattr(type(target), "fetch", fetched_and_pushed)
    return f"{target.address}/{NAME}"


def test_pushes_between_resolving_and_reading_mix_no_revisions(moving: str, tmp_path: Path) -> None:
    for number in range(2):
        model = published(moving)
        record = store.encode(model.config)
        folder = publishing.pull(model, tmp_path / f"pulled{number}")
        assert store.encode(store.check_whole(folder)) == record
        assert model.log() == store.read_log(folder)
        weights = load_file(folder / store.WEIGHTS)
        assert all(tensor.equal(weights[name]) for name, tensor in model.net().state_dict().items())
    assert api.verify(moving).checks[0].outcome == "as published"


@pytest.mark.parametrize("kind", ["folder", "Hugging Face"])
def test_loads_and_logs_are_consistent_while_another_thread_pushes(
    hub: loopback_hub.Hub, trained: Path, tmp_path: Path, kind: str
) -> None:
    target: Hub = HuggingFaceHub("me") if kind == "Hugging Face" else FolderHub(tmp_path / "hub")
    folders = (trained, retrained(trained, tmp_path / "newer"))
    publish(target, trained)
    logs = [store.read_log(folder) for folder in folders]
    done = threading.Event()

    def push() -> int:
        pushes = 0
        while not done.is_set() or not pushes:
            pushes += 1
            publish(target, folders[pushes % 2])
        return pushes

    with ThreadPoolExecutor(1) as pool:
        pushing = pool.submit(push)
        try:
            for _ in range(5):
                model = published(f"{target.address}/{NAME}")
                model.check(weights=True)
                assert model.log() in logs
                assert not model.net().training
        finally:
            done.set()
        assert pushing.result() > 0
