from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest

from zoo.errors import FolderError, HubError, NotFound
from zoo.folder import store
from zoo.hub.local import FolderHub

NAME = "resnet8_digits"


@pytest.fixture
def hub(tmp_path: Path) -> FolderHub:
    return FolderHub(tmp_path / "hub")


def changed(source: Path, target: Path, mark: str) -> Path:
    """Another whole model folder: the same weights, another card."""
    shutil.copytree(source, target)
    (target / store.README).write_text(mark)
    return target


def card(path: Path) -> str:
    return (path / store.README).read_text()


def test_what_was_pushed_is_pulled_byte_for_byte(hub: FolderHub, trained: Path) -> None:
    published = hub.push(trained, NAME)
    pulled = hub.pull(NAME)
    assert published.address == hub.address.model(NAME)
    for name in store.FILES:
        assert (pulled / name).read_bytes() == (trained / name).read_bytes()


def test_only_the_model_folders_files_are_published(hub: FolderHub, model_folder: Path) -> None:
    (model_folder / "notes.txt").write_text("mine")
    hub.push(model_folder, NAME)
    assert sorted(path.name for path in hub.pull(NAME).iterdir()) == sorted(store.FILES)


def test_the_revisions_before_can_be_had_back(hub: FolderHub, trained: Path, tmp_path: Path) -> None:
    revisions = [
        hub.push(changed(trained, tmp_path / mark, mark), NAME).revision for mark in ("first", "second", "third")
    ]
    assert hub.revisions(NAME) == revisions[::-1]
    assert [card(hub.pull(NAME, revision)) for revision in revisions] == ["first", "second", "third"]
    assert card(hub.pull(NAME, revisions[0][:8])) == "first"
    assert card(hub.pull(NAME)) == "third"
    store.check(hub.pull(NAME, revisions[1]))


def test_the_same_bytes_again_change_nothing(hub: FolderHub, trained: Path) -> None:
    first = hub.push(trained, NAME)
    assert hub.push(trained, NAME) == first
    assert hub.revisions(NAME) == [first.revision]


def test_a_folder_that_is_not_whole_is_not_published(hub: FolderHub, model_folder: Path) -> None:
    (model_folder / store.CURVE).unlink()
    with pytest.raises(FolderError, match=r"lacks curve\.svg"):
        hub.push(model_folder, NAME)
    assert hub.models() == []


def test_a_push_that_dies_while_copying_leaves_the_hub_as_it_was(
    hub: FolderHub, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.push(changed(trained, tmp_path / "old", "old"), NAME)
    new = changed(trained, tmp_path / "new", "new")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", _dies)
        with pytest.raises(KeyboardInterrupt):
            hub.push(new, NAME)
    assert card(hub.pull(NAME)) == "old"
    hub.push(new, NAME)
    assert card(hub.pull(NAME)) == "new"


def test_a_push_killed_between_its_two_renames_leaves_the_revision_before(
    hub: FolderHub, trained: Path, tmp_path: Path
) -> None:
    hub.push(changed(trained, tmp_path / "old", "old"), NAME)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_push_and_die, args=(hub.path, changed(trained, tmp_path / "new", "new")))
    process.start()
    process.join()
    assert process.exitcode == 9
    assert not (hub.path / NAME).exists()
    assert card(hub.pull(NAME)) == "old"
    hub.push(tmp_path / "new", NAME)
    assert card(hub.pull(NAME)) == "new"
    assert len(hub.revisions(NAME)) == 2


def test_two_processes_that_push_at_once_leave_both_revisions(hub: FolderHub, trained: Path, tmp_path: Path) -> None:
    sources = [changed(trained, tmp_path / mark, mark) for mark in ("one", "two")]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_push, args=(hub.path, source)) for source in sources]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert {card(hub.pull(NAME, revision)) for revision in hub.revisions(NAME)} == {"one", "two"}


def test_what_is_not_there_is_said_with_what_is(hub: FolderHub, trained: Path) -> None:
    for ask in (hub.pull, hub.facts, hub.revisions):
        with pytest.raises(NotFound, match="has no model resnet20_cifar10; it has no model"):
            ask("resnet20_cifar10")
    revision = hub.push(trained, NAME).revision
    with pytest.raises(NotFound, match=f"it has {NAME}"):
        hub.pull("resnet20_cifar10")
    with pytest.raises(NotFound, match=f"has no revision ffff; it has {revision[:12]}"):
        hub.pull(NAME, "ffff")


def test_what_else_lies_in_the_folder_is_no_model(hub: FolderHub, trained: Path) -> None:
    hub.push(trained, NAME)
    (hub.path / "photos").mkdir()
    (hub.path / "README.md").touch()
    assert [one.name for one in hub.models()] == [NAME]


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "Up"])
def test_a_name_that_is_none_is_refused(hub: FolderHub, trained: Path, name: str) -> None:
    with pytest.raises(HubError, match="can't be a model's name"):
        hub.push(trained, name)
    with pytest.raises(HubError, match="can't be a model's name"):
        hub.pull(name)


def test_a_file_in_the_way_is_found_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HubError, match="is a file; name a folder"):
        FolderHub(tmp_path / "file" / "hub").require_writable(NAME)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_found_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(HubError, match="no permission"):
        FolderHub(tmp_path / "closed" / "hub").require_writable(NAME)


def test_a_config_in_the_hub_that_is_damaged_is_named(hub: FolderHub, trained: Path) -> None:
    hub.push(trained, NAME)
    (hub.path / NAME / store.CONFIG).write_text(json.dumps({"name": NAME}))
    with pytest.raises(FolderError, match=r"config\.json is not a model's: training is missing"):
        hub.models()


def _dies(source: Path, target: Path) -> None:
    raise KeyboardInterrupt


def _push(path: Path, source: Path) -> None:
    FolderHub(path).push(source, NAME)


def _push_and_die(path: Path, source: Path) -> None:
    """Push, but leave the process without a word after the first rename of a model's folder."""
    rename = Path.rename

    def rename_and_die(self: Path, target: Path) -> Path:
        result = rename(self, target)
        if self.name == NAME:
            os._exit(9)
        return result

    Path.rename = rename_and_die  # type: ignore[method-assign, assignment]
    FolderHub(path).push(source, NAME)
