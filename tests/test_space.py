"""`zoo page --push`: publish a site as a static Space, to a local server that acts as the Hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo import api
from zoo.errors import HubError, PageError

from .conftest import Run
from .loopback_hub import File, Hub, Status

SPACE = "spaces/me/models"


def files(hub: Hub) -> dict[str, bytes]:
    return {name: file.content for name, file in hub.repositories[SPACE].commits[-1].files.items()}


def test_a_site_is_published_as_a_static_space(hub: Hub, tmp_path: Path) -> None:
    written = api.page(tmp_path / "site", push="hf://me/models")
    published = files(hub)
    for path in written.folder.rglob("*"):
        if path.is_file():
            assert published[path.relative_to(written.folder).as_posix()] == path.read_bytes()
    assert "sdk: static\n" in published["README.md"].decode()
    assert written.space.endswith("/spaces/me/models")


def test_publishing_again_replaces_the_earlier_site_and_keeps_other_files(hub: Hub, tmp_path: Path) -> None:
    api.page(tmp_path / "site", push="hf://me/models")
    head = hub.repositories[SPACE].commits[-1]
    edited = {"README.md": File(b"---\nsdk: static\n---\nours", lfs=False), "notes.txt": File(b"ours", lfs=False)}
    hub.repositories[SPACE].commit("edit", {**head.files, **edited})
    api.push(api.find("resnet8_digits"), hub=f"file:{tmp_path / 'hub'}")
    written = api.page(tmp_path / "site", hub=f"file:{tmp_path / 'hub'}", push="hf://me/models")
    published = files(hub)
    assert published["notes.txt"] == b"ours"
    assert published["README.md"].endswith(b"ours")
    on_disk = {path.relative_to(written.folder).as_posix() for path in written.folder.rglob("*") if path.is_file()}
    assert published.keys() - {"README.md", "notes.txt", ".gitattributes"} == on_disk


def test_the_command_prints_the_address_of_the_space(hub: Hub, run_here: Run) -> None:
    finished = run_here("page", "--push", "hf://me/models")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[-1].startswith("published to http")


@pytest.mark.parametrize("address", ["hf://me", "file:hub/models", "models", "hf://"])
def test_an_address_that_is_no_space_is_refused_before_a_site_is_written(address: str, tmp_path: Path) -> None:
    with pytest.raises(PageError, match="hf://NAMESPACE/SPACE"):
        api.page(tmp_path / "site", push=address)
    assert not (tmp_path / "site").exists()


def test_a_refusal_of_the_hub_is_one_line(hub: Hub, tmp_path: Path) -> None:
    hub.fail("POST", r"/api/repos/create", Status(403))
    with pytest.raises(HubError) as refused:
        api.page(tmp_path / "site", push="hf://me/models")
    assert "\n" not in str(refused.value)
