from __future__ import annotations

import pytest

from zoo.errors import HubError
from zoo.hub.address import Address, is_address, parse_hub, parse_model


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://me", Address("hf", "me")),
        ("hf://", Address("hf", "")),
        ("file:a/b", Address("file", "a/b")),
        ("file:///a/b", Address("file", "/a/b")),
        ("file:~/with space@home", Address("file", "~/with space@home")),
        ("s3+v2://bucket/prefix", Address("s3+v2", "bucket/prefix")),
        ("hf://me/ResNet-8@v1.0", Address("hf", "me", "ResNet-8", "v1.0")),
        ("file:/resnet8_digits", Address("file", "/", "resnet8_digits")),
        ("file:a@b/resnet8_digits@0f", Address("file", "a@b", "resnet8_digits", "0f")),
        ("memory:x/resnet8_digits", Address("memory", "x", "resnet8_digits")),
    ],
)
def test_an_address_is_parsed_and_printed_unchanged(text: str, expected: Address) -> None:
    address = parse_model(text) if expected.name else parse_hub(text)
    assert (address, str(address)) == (expected, text)
    assert str(parse_hub(f"{address.hub}")) == str(address.hub)
    if address.name:
        assert address.hub.model(address.name).at(address.revision) == address


@pytest.mark.parametrize(
    "text", ["resnet8_digits", "runs/resnet8_digits", "/a/b", "./a:b", "C:\\models", "C:/models", ""]
)
def test_a_name_and_a_path_are_no_addresses(text: str) -> None:
    assert not is_address(text)
    with pytest.raises(HubError, match="expected file:PATH or hf://namespace"):
        parse_hub(text)
    with pytest.raises(HubError, match="expected hf://namespace/model or file:PATH/model"):
        parse_model(text)


@pytest.mark.parametrize("text", ["hf://me", "hf://", "file:x", "hf://me/@v1"])
def test_an_address_without_a_model_is_refused(text: str) -> None:
    with pytest.raises(HubError, match="names no model; expected hf://namespace/model or file:PATH/model"):
        parse_model(text)


def test_an_empty_revision_is_refused() -> None:
    with pytest.raises(HubError, match="names no revision"):
        parse_model("hf://me/resnet8_digits@")
