from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo import api
from zoo.errors import HubError
from zoo.hub import Address, Repositories, Searchable, open_hub
from zoo.hub.catalogue import catalogue
from zoo.hub.hugging_face import HuggingFaceHub
from zoo.hub.local import FolderHub
from zoo.hub.schemes import HUBS

Install = Callable[..., Path]


def test_a_hub_is_opened_by_its_address(tmp_path: Path) -> None:
    local = open_hub(f"file:{tmp_path}")
    assert isinstance(local, FolderHub)
    assert str(local.address) == f"file:{tmp_path}"
    hugging_face = open_hub("hf://me")
    assert isinstance(hugging_face, HuggingFaceHub)
    assert str(hugging_face.address) == "hf://me"
    assert open_hub(Address("hf", "me", "resnet8_digits")).address == hugging_face.address


def test_without_an_address_it_is_zoo_hubs_else_the_account_logged_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_HUB", f"file:{tmp_path}")
    assert str(open_hub().address) == f"file:{tmp_path}"
    monkeypatch.delenv("ZOO_HUB")
    with pytest.raises(HubError, match="no account is logged in"):
        open_hub().address  # noqa: B018


@pytest.mark.parametrize(
    "address", ["/some/folder", "s3://bucket", "file:", "hf://me/model", "hf://me@v1", "https://huggingface.co"]
)
def test_another_address_is_refused_with_what_was_expected(address: str) -> None:
    expected = r"expected file:PATH or hf://namespace|there is no kind of hub '\w+'; there are file, hf"
    with pytest.raises(HubError, match=expected):
        open_hub(address)


def test_optional_capabilities_of_a_hub_are_protocols() -> None:
    assert isinstance(HuggingFaceHub("me"), Searchable)
    assert isinstance(HuggingFaceHub("me"), Repositories)
    assert not isinstance(catalogue(), Searchable | Repositories)
    with pytest.raises(HubError, match="file:x can't be searched; see what it has with: zoo list --hub file:x"):
        api.search("resnet8", hub="file:x")


# -- schemes by entry point ------------------------------------------------------------------------


def test_a_plugins_hub_is_called_with_the_address(fake_plugin: Install) -> None:
    fake_plugin("zoo-dict", {"dict": "zoo_dict:opened"}, "zoo_dict", "opened = repr\n", group=HUBS.name)
    assert str(open_hub("dict:some/place")) == repr(Address("dict", "some/place"))


def test_the_zoos_own_schemes_can_not_be_taken_over(fake_plugin: Install) -> None:
    fake_plugin("zoo-evil", {"hf": "zoo_evil:Hub", "file": "zoo_evil:Hub"}, "zoo_evil", "Hub = repr\n", group=HUBS.name)
    assert isinstance(open_hub("hf://me"), HuggingFaceHub)
    assert isinstance(open_hub("file:x"), FolderHub)
    assert "zoo_evil" not in sys.modules
