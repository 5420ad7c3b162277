from __future__ import annotations

from pathlib import Path

import pytest

from zoo.errors import HubError
from zoo.hub import open_hub, split_model_address
from zoo.hub.catalogue import catalogue
from zoo.hub.hugging_face import HuggingFaceHub
from zoo.hub.local import FolderHub


def test_a_hub_is_opened_by_its_address(tmp_path: Path) -> None:
    local = open_hub(f"file:{tmp_path}")
    assert isinstance(local, FolderHub)
    assert local.address == f"file:{tmp_path}"
    hugging_face = open_hub("hf://me")
    assert isinstance(hugging_face, HuggingFaceHub)
    assert hugging_face.address == "hf://me"


def test_without_an_address_it_is_zoo_hubs_else_the_account_logged_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_HUB", f"file:{tmp_path}")
    assert open_hub().address == f"file:{tmp_path}"
    monkeypatch.delenv("ZOO_HUB")
    with pytest.raises(HubError, match="no account is logged in"):
        open_hub().address  # noqa: B018


@pytest.mark.parametrize("address", ["/some/folder", "s3://bucket", "file:", "hf://me/model", "https://huggingface.co"])
def test_another_address_is_refused_with_what_was_expected(address: str) -> None:
    with pytest.raises(HubError, match="expected file:PATH or hf://namespace"):
        open_hub(address)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("hf://me/resnet8_digits", ("hf://me", "resnet8_digits")),
        ("file:/a/b/resnet8_digits", ("file:/a/b", "resnet8_digits")),
        ("file:hub/resnet8_digits/", ("file:hub", "resnet8_digits")),
        ("resnet8_digits", None),
        ("runs/resnet8_digits", None),
    ],
)
def test_a_models_address_is_its_hub_and_its_name(address: str, expected: tuple[str, str] | None) -> None:
    assert split_model_address(address) == expected


@pytest.mark.parametrize("address", ["hf://me", "hf://", "file:x", "file:/"])
def test_an_address_without_a_model_is_refused(address: str) -> None:
    with pytest.raises(HubError, match="names no model"):
        split_model_address(address)


def test_the_catalogue_is_a_folder_hub_with_models_in_it() -> None:
    assert "resnet8_digits" in [one.name for one in catalogue().models()]
