"""The teacher in a record is fetched only from a trusted address; `test_others` tests the same for weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo import api
from zoo.errors import HubError
from zoo.hub.resolve import require_allowed

from .folders import taught_by
from .loopback_hub import Hub

NAME = "resnet8_digits"


@pytest.mark.parametrize("teacher", ["hf://evil/tracker_digits", "file:/etc/passwd", "/etc/passwd", "~/x", "./x"])
def test_the_teacher_in_a_record_is_not_fetched_by_default(
    model_folder: Path, hub: Hub, tmp_path: Path, teacher: str
) -> None:
    with pytest.raises(
        HubError, match=rf"the teacher of {NAME} would be fetched from {teacher}, which ZOO_TRUST does not list"
    ):
        api.reproduce(taught_by(model_folder, teacher), out=tmp_path / "again")
    assert hub.requests == []
    assert not (tmp_path / "again").exists()


def test_a_teacher_is_fetched_from_a_trusted_address(
    model_folder: Path, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_TRUST", "hf://evil")
    with pytest.raises(HubError, match="hf://evil/tracker_digits is not there, or is private"):
        api.reproduce(taught_by(model_folder, "hf://evil/tracker_digits"), out=tmp_path / "again")


def test_a_teacher_given_by_name_needs_no_trust() -> None:
    require_allowed("resnet8", "the teacher of anybody")
