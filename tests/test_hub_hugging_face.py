"""What can be said without a server; the protocol itself needs one."""

from __future__ import annotations

import pytest

from zoo.errors import HubError
from zoo.hub.hugging_face import HuggingFaceHub


def test_without_a_token_a_push_is_refused_with_both_remedies() -> None:
    with pytest.raises(HubError) as caught:
        HuggingFaceHub("me").check("resnet8_digits")
    assert "hf auth login" in str(caught.value)
    assert "--hub file:PATH" in str(caught.value)


def test_a_hub_that_can_not_be_reached_is_one_line_without_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
    with pytest.raises(HubError, match="can't be reached") as caught:
        HuggingFaceHub("me").check("resnet8_digits")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
