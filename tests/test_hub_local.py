from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zoo import api
from zoo.errors import FolderError, HashMismatch, HubError, HubWarning, NotFound
from zoo.hub.local import FolderHub
from zoo.record import store

from .folders import config_of, with_card
from .opens import opened

NAME = "resnet8_digits"


@pytest.fixture
def hub(tmp_path: Path) -> FolderHub:
    return FolderHub(tmp_path / "hub")


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
        hub.push(with_card(trained, tmp_path / mark, mark), NAME).revision for mark in ("first", "second", "third")
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
    (model_folder / store.LOG).unlink()
    with pytest.raises(FolderError, match=r"lacks log\.jsonl"):
        hub.push(model_folder, NAME)
    assert hub.models() == []


def test_a_push_that_dies_while_copying_leaves_the_hub_as_it_was(
    hub: FolderHub, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.push(with_card(trained, tmp_path / "old", "old"), NAME)
    new = with_card(trained, tmp_path / "new", "new")
    with monkeypatch.context() as patch:
        patch.setattr(store, "write_files", _dies)
        with pytest.raises(KeyboardInterrupt):
            hub.push(new, NAME)
    assert card(hub.pull(NAME)) == "old"
    hub.push(new, NAME)
    assert card(hub.pull(NAME)) == "new"


@pytest.mark.parametrize("exchanges", [True, False], ids=["one call", "two renames"])
def test_a_push_killed_before_any_of_its_renames_leaves_one_whole_revision_or_the_other(
    hub: FolderHub, trained: Path, tmp_path: Path, exchanges: bool
) -> None:
    hub.push(with_card(trained, tmp_path / "old", "old"), NAME)
    new = with_card(trained, tmp_path / "new", "new")
    context = multiprocessing.get_context("spawn")
    for rename in range(20):
        process = context.Process(target=_push_and_die, args=(hub.path, new, rename, exchanges))
        process.start()
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == 9
        store.check(hub.pull(NAME))
        assert card(hub.pull(NAME)) in ("old", "new")
    assert rename >= 2
    hub.push(new, NAME)
    assert card(hub.pull(NAME)) == "new"
    assert [card(hub.pull(NAME, one)) for one in hub.revisions(NAME)] == ["new", "old"]
    assert sorted(one.name for one in hub.path.iterdir()) == [".revisions", NAME]


def test_what_is_pulled_does_not_change_when_something_else_is_pushed(
    hub: FolderHub, trained: Path, tmp_path: Path
) -> None:
    hub.push(with_card(trained, tmp_path / "old", "old"), NAME)
    pulled = hub.pull(NAME)
    hub.push(with_card(trained, tmp_path / "new", "new"), NAME)
    assert card(pulled) == "old"
    store.check(pulled)


def test_revisions_share_the_files_that_are_the_same(hub: FolderHub, trained: Path, tmp_path: Path) -> None:
    for mark in ("one", "two", "three"):
        hub.push(with_card(trained, tmp_path / mark, mark), NAME)
    weights = {(hub.pull(NAME, one) / store.WEIGHTS).stat().st_ino for one in hub.revisions(NAME)}
    assert weights == {(hub.path / NAME / store.WEIGHTS).stat().st_ino}


def test_a_revision_that_was_tampered_with_is_not_served(hub: FolderHub, trained: Path, tmp_path: Path) -> None:
    first = hub.push(with_card(trained, tmp_path / "one", "one"), NAME).revision
    hub.push(with_card(trained, tmp_path / "two", "two"), NAME)
    config_of(hub.pull(NAME, first), license="mine")
    with pytest.raises(HashMismatch, match=f"is not revision {first[:12]} any more"):
        hub.pull(NAME, first)


def test_a_model_that_git_or_a_person_put_there_is_read_where_it_lies(hub: FolderHub, trained: Path) -> None:
    shutil.copytree(trained, hub.path / NAME)
    assert hub.pull(NAME) == hub.path / NAME
    assert [one.name for one in hub.models()] == [NAME]


def test_two_processes_that_push_at_once_leave_both_revisions(hub: FolderHub, trained: Path, tmp_path: Path) -> None:
    sources = [with_card(trained, tmp_path / mark, mark) for mark in ("one", "two")]
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
        with pytest.raises(NotFound, match="has no model resnet20_cifar10; see what it has with: zoo list --hub file:"):
            ask("resnet20_cifar10")
    revision = hub.push(trained, NAME).revision
    with pytest.raises(NotFound, match=f"has no model resnet8_digit; it has {NAME}"):
        hub.pull("resnet8_digit")
    with pytest.raises(NotFound, match=f"has no revision 'ffff'; it has {revision[:12]}"):
        hub.pull(NAME, "ffff")


def test_digits_that_two_revisions_begin_with_name_neither(hub: FolderHub, trained: Path, tmp_path: Path) -> None:
    for number in range(17):  # more than there are first digits
        hub.push(with_card(trained, tmp_path / str(number), str(number)), NAME)
    firsts = [one[0] for one in hub.revisions(NAME)]
    twice = next(digit for digit in firsts if firsts.count(digit) > 1)
    with pytest.raises(NotFound, match=f"has several revisions that begin with '{twice}'"):
        hub.pull(NAME, twice)


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


def test_a_damaged_model_does_not_hide_the_others(hub: FolderHub, trained: Path) -> None:
    hub.push(trained, NAME)
    shutil.copytree(trained, hub.path / "resnet8_other")
    (hub.path / "resnet8_other" / store.CONFIG).write_text(json.dumps({"name": NAME}))
    for _ in range(2):  # also from the index
        with pytest.warns(HubWarning, match=r"resnet8_other/config\.json is not a model's: kind is missing"):
            assert [one.name for one in hub.models()] == [NAME]


def test_a_listing_notices_what_changed_since_the_one_before(hub: FolderHub, trained: Path) -> None:
    hub.push(trained, NAME)
    before = hub.models()
    assert hub.models() == before
    config_of(hub.path / NAME, license="mine-alone")
    assert [one.license for one in hub.models()] == ["mine-alone"]
    shutil.rmtree(hub.path / NAME)
    assert hub.models() == []


def test_a_pattern_reads_only_the_models_that_it_asks_for(hub: FolderHub, trained: Path) -> None:
    hub.push(trained, NAME)
    shutil.copytree(trained, hub.path / "resnet20_other")
    (hub.path / "resnet20_other" / store.CONFIG).write_text("damaged")
    with opened() as files:
        assert [one.name for one in hub.models_like("resnet8_*")] == [NAME]
        assert [row.name for row in api.overview("resnet8_*", hub=str(hub.address))] == [NAME]
    assert hub.path / NAME / store.CONFIG in files
    assert not any(path.is_relative_to(hub.path / "resnet20_other") for path in files)


def test_a_listing_opens_nothing_that_has_not_changed_since_one_before(hub: FolderHub, trained: Path) -> None:
    hub.push(trained, NAME)
    shutil.copytree(trained, hub.path / "resnet20_other")
    every = hub.models()
    with opened() as files:
        assert hub.models_like("resnet20_*") == every[:1]
        assert hub.models() == every
    assert {path.name for path in files} == {"index.json"}


@pytest.mark.parametrize("operation", ["load", "pull", "push", "push again"])
def test_the_weights_are_read_once_and_hashed_once(
    hub: FolderHub, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    address = str(hub.address)
    if operation != "push":
        hub.push(trained, NAME)
    hashed: list[int] = []
    sha256 = hashlib.sha256

    def counted(content: bytes) -> Any:
        hashed.append(len(content))
        return sha256(content)

    monkeypatch.setattr(hashlib, "sha256", counted)
    with opened() as files:
        match operation:
            case "load":
                api.load(NAME, pretrained=True, hub=address)
            case "pull":
                api.pull(NAME, hub=address, out=tmp_path / "pulled")
            case _:
                api.push(trained, hub=address)
    asked = trained if "push" in operation else hub.path
    read = [path for path in files if path.name == store.WEIGHTS and path.is_relative_to(asked)]
    assert len(read) == 1
    assert hashed.count((trained / store.WEIGHTS).stat().st_size) == 1


def _dies(files: dict[str, bytes], target: Path) -> None:
    raise KeyboardInterrupt


def _push(path: Path, source: Path) -> None:
    FolderHub(path).push(source, NAME)


def _push_and_die(path: Path, source: Path, before: int, exchanges: bool) -> None:
    """Push, but leave the process without a word before a rename; with or without the system's exchange."""
    from zoo.record import replace

    calls = iter(range(100))
    rename, exchanged = Path.rename, replace._exchanged

    def die_or(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Path) -> Any:
            if next(calls) == before:
                os._exit(9)
            return function(*arguments)

        return called

    Path.rename = die_or(rename)  # type: ignore[method-assign]
    replace._exchanged = die_or(exchanged) if exchanges else lambda one, other: False
    FolderHub(path).push(source, NAME)
