"""The teacher that a record names is asked for only where the person allows it; weights: `test_others`."""

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
def test_the_teacher_that_a_folder_names_is_not_looked_for_unasked(
    model_folder: Path, hub: Hub, tmp_path: Path, teacher: str
) -> None:
    with pytest.raises(
        HubError, match=rf"the teacher of {NAME} would be fetched from {teacher}, which ZOO_TRUST does not list"
    ):
        api.reproduce(taught_by(model_folder, teacher), out=tmp_path / "again")
    assert hub.requests == []
    assert not (tmp_path / "again").exists()


def test_a_teacher_is_looked_for_where_the_person_allows_it(
    model_folder: Path, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_TRUST", "hf://evil")
    with pytest.raises(HubError, match="hf://evil/tracker_digits is not there, or is private"):
        api.reproduce(taught_by(model_folder, "hf://evil/tracker_digits"), out=tmp_path / "again")


def test_a_teacher_that_is_a_name_is_found_where_the_person_has_names_looked_for() -> None:
    require_allowed("resnet8", "the teacher of anybody")
