"""Folder hubs: publishing, editing, copying, killed and concurrent pushes."""

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

import zoo
from zoo import api
from zoo.cli.printing import say_published
from zoo.errors import FolderError, HashMismatch, HubError, HubWarning, NotFound
from zoo.hub.local import KEPT, FolderHub
from zoo.record import replace, store

from .folders import config_of, contents, fetched, flip, publish, with_file, with_license, without_weights
from .opens import opened

NAME = "resnet8_digits"
forks = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture
def hub(tmp_path: Path) -> FolderHub:
    return FolderHub(tmp_path / "hub")


@pytest.fixture
def older(trained: Path, tmp_path: Path) -> Path:
    return with_license(trained, tmp_path / "older", "older")


@pytest.fixture
def newer(trained: Path, tmp_path: Path) -> Path:
    return with_license(trained, tmp_path / "newer", "newer")


def address(hub: FolderHub) -> str:
    return f"{hub.address}/{NAME}"


def license_of(hub: FolderHub, revision: str | None = None) -> str:
    return hub.resolve(NAME, revision).record.license


def require_sound(hub: FolderHub, source: Path, scratch: Path) -> None:
    """The model can be listed, loaded, verified, pulled and pushed, and its files equal those of the source."""
    assert [model.name for model in hub.models()] == [NAME]
    assert not zoo.load(address(hub), pretrained=True).training
    assert api.verify(address(hub)).outcome == "as published"
    pulled = api.pull(address(hub), out=scratch / "pulled")
    for name in (store.CONFIG, store.WEIGHTS, store.LOG):
        assert (pulled / name).read_bytes() == (source / name).read_bytes()
    shutil.rmtree(pulled)
    assert api.push(source, hub=str(hub.address)).revision == store.identity(source)


# -- publishing ------------------------------------------------------------------------------------


def test_only_the_model_folders_files_are_published(hub: FolderHub, model_folder: Path) -> None:
    (model_folder / "notes.txt").write_text("mine")
    api.push(model_folder, hub=str(hub.address))
    assert sorted(path.name for path in fetched(hub, NAME).iterdir()) == sorted(store.FILES)
    assert sorted(path.name for path in (hub.path / NAME).iterdir()) == sorted([*store.FILES, KEPT])
    assert [path.name for path in hub.path.iterdir()] == [NAME]


def test_the_first_digits_of_two_revisions_are_ambiguous(hub: FolderHub, trained: Path, tmp_path: Path) -> None:
    files = contents(trained)
    config = json.loads(files[store.CONFIG])
    for number in range(17):  # more than there are first digits
        files[store.CONFIG] = json.dumps({**config, "license": f"l{number}"}).encode()
        hub.publish(NAME, files)
    firsts = [revision[0] for revision in hub.revisions(NAME)]
    twice = next(digit for digit in firsts if firsts.count(digit) > 1)
    with pytest.raises(NotFound, match=f"has several revisions that begin with '{twice}'"):
        hub.resolve(NAME, twice)


# -- publishing again ------------------------------------------------------------------------------


def test_pushing_the_same_files_again_changes_nothing(hub: FolderHub, trained: Path) -> None:
    first = publish(hub, trained)
    written = {path: path.stat().st_mtime_ns for path in hub.path.rglob("*") if path.is_file()}
    assert publish(hub, trained) == first
    assert {path: path.stat().st_mtime_ns for path in hub.path.rglob("*") if path.is_file()} == written
    assert hub.revisions(NAME) == [first.revision]


def test_pushing_an_earlier_revision_again_makes_it_the_newest(hub: FolderHub, older: Path, newer: Path) -> None:
    first, second, again = (publish(hub, folder).revision for folder in (older, newer, older))
    assert first == again
    assert hub.revisions(NAME) == [first, second]
    assert json.loads((hub.path / NAME / store.CONFIG).read_text())["license"] == "older"


@pytest.mark.parametrize("where", ["the revision", "the copy", "both"])
@pytest.mark.parametrize(
    ("damaged", "damage"), [(store.WEIGHTS, "flipped"), (store.CONFIG, "flipped"), (store.LOG, "removed")]
)
def test_pushing_an_intact_folder_repairs_the_hub(
    hub: FolderHub, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str, damaged: str,
    damage: str,
) -> None:  # fmt: skip
    identity = api.push(trained, hub=str(hub.address)).revision
    damaged_folders = [hub.path / NAME / KEPT / identity] if where != "the copy" else []
    for folder in [*damaged_folders, *([hub.path / NAME] if where != "the revision" else [])]:
        if damage == "removed":
            (folder / damaged).unlink()
        elif damaged == store.CONFIG:
            (folder / damaged).write_text("{")
        else:
            flip(folder / damaged)
    if where != "the copy" and damaged == store.WEIGHTS:
        with pytest.raises((HashMismatch, NotFound)):
            zoo.load(address(hub), pretrained=True)
    pushed = api.push(trained, hub=str(hub.address))
    assert (pushed.revision, pushed.repaired) == (identity, (damaged,)) or where == "the copy"
    say_published(pushed)
    assert (f"damaged or missing files in the hub were replaced: {damaged}" in capsys.readouterr().out) == bool(
        pushed.repaired
    )
    require_sound(hub, trained, tmp_path)
    assert store.check(hub.path / NAME) == store.read_record(trained)


def test_a_damaged_model_without_revisions_is_repaired(hub: FolderHub, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, hub.path / NAME)
    flip(hub.path / NAME / store.WEIGHTS)
    with pytest.raises(HashMismatch):
        zoo.load(address(hub), pretrained=True)
    assert api.push(trained, hub=str(hub.address)).repaired == (store.WEIGHTS,)
    require_sound(hub, trained, tmp_path)


def test_a_push_removes_files_that_only_the_previous_record_names(
    hub: FolderHub, trained: Path, tmp_path: Path
) -> None:
    exported = Path(shutil.copytree(trained, tmp_path / "exported"))
    first = publish(hub, with_file(exported, "pt2/model.pt2", b"exported"))
    (hub.path / NAME / "notes.txt").write_text("mine")
    publish(hub, trained)
    assert sorted(path.name for path in (hub.path / NAME).iterdir()) == sorted([*store.FILES, KEPT, "notes.txt"])
    assert (hub.fetch(NAME, first.revision, ["pt2/model.pt2"]) / "pt2/model.pt2").read_bytes() == b"exported"


# -- editing ---------------------------------------------------------------------------------------


def test_an_edited_card_is_kept_and_no_revision_changes(hub: FolderHub, trained: Path, tmp_path: Path) -> None:
    identity = api.push(trained, hub=str(hub.address)).revision
    card, published_card = hub.path / NAME / store.README, hub.path / NAME / KEPT / identity / store.README
    before = published_card.read_bytes()
    with card.open("a") as file:
        file.write("\nMy own words.\n")
    edited = card.read_bytes()
    assert published_card.read_bytes() == before
    require_sound(hub, trained, tmp_path)
    pushed = publish(hub, with_license(trained, tmp_path / "newer", "newer"))
    assert (pushed.card, card.read_bytes()) == ("edited", edited)
    assert license_of(hub) == "newer"


@pytest.mark.parametrize("file", [store.README, store.CURVE, store.ERRORS])
def test_a_removed_card_or_curve_is_written_again(hub: FolderHub, trained: Path, tmp_path: Path, file: str) -> None:
    identity = api.push(trained, hub=str(hub.address)).revision
    for folder in (hub.path / NAME, hub.path / NAME / KEPT / identity):
        (folder / file).unlink()
    require_sound(hub, trained, tmp_path)
    assert (hub.path / NAME / file).is_file()


def test_changes_of_the_copy_do_not_affect_the_revision(hub: FolderHub, trained: Path, tmp_path: Path) -> None:
    publish(hub, trained)
    config_of(hub.path / NAME, license="mine")
    (hub.path / NAME / store.WEIGHTS).write_bytes(b"")
    assert license_of(hub) == store.read_record(trained).license
    require_sound(hub, trained, tmp_path)
    for path in (hub.path / NAME).iterdir():
        if path.name != KEPT:
            path.unlink()
    require_sound(hub, trained, tmp_path)


def test_a_revision_whose_record_was_changed_is_not_served(hub: FolderHub, older: Path, newer: Path) -> None:
    first = publish(hub, older).revision
    publish(hub, newer)
    config_of(fetched(hub, NAME, first), license="mine")
    with pytest.raises(HashMismatch, match=f"is not revision {first[:12]}: its config.json was changed"):
        hub.resolve(NAME, first)
    assert license_of(hub) == "newer"


def revision_folder(folder: Path) -> Path:
    return next(path for path in (folder / KEPT).iterdir() if path.is_dir())


def loop(path: Path) -> None:
    """Replace a path by a link to itself, which not even root can read."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.symlink_to(path.name)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "renamed": (
        lambda folder: folder.rename(folder.with_name("resnet20_digits")),
        "expected resnet20_digits",
    ),
    "folder unreadable": (loop, f"{NAME}.*can't be read: Too many levels of symbolic links"),
    "revisions unreadable": (
        lambda folder: loop(folder / KEPT),
        f"{NAME}/.revisions/ids can't be read: Too many",
    ),
    "revision unreadable": (lambda folder: loop(revision_folder(folder)), f"{NAME}/.revisions/.* can't be read"),
    "record unreadable": (lambda folder: loop(revision_folder(folder) / store.CONFIG), f"{NAME}/.*link"),
    "record missing": (lambda folder: (revision_folder(folder) / store.CONFIG).unlink(), f"{NAME}/.* has no config.js"),
    "record cut off": (
        lambda folder: cut(revision_folder(folder) / store.CONFIG),
        f"{NAME}/.*config.json is not a val",
    ),
    "weights missing": (
        lambda folder: (revision_folder(folder) / store.WEIGHTS).unlink(),
        f"{NAME}/.* has no model.sa",
    ),
    "weights cut off": (
        lambda folder: cut(revision_folder(folder) / store.WEIGHTS),
        f"{NAME}/.*model.safetensors has ",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_unloadable_model_is_not_listed_and_one_warning_names_it(
    hub: FolderHub, trained: Path, tmp_path: Path, change: str
) -> None:
    publish(hub, trained)
    changed, message = CHANGES[change]
    changed(hub.path / NAME)
    (folder,) = hub.path.iterdir()
    with pytest.warns(HubWarning, match=message) as warned:
        assert hub.models() == []
    assert len(warned) == 1
    with pytest.raises((FolderError, HubError), match=message):
        zoo.load(f"{hub.address}/{folder.name}", pretrained=True)


def test_if_the_newest_revision_is_removed_the_previous_one_is_used_with_a_warning(
    hub: FolderHub, older: Path, newer: Path
) -> None:
    publish(hub, older)
    shutil.rmtree(fetched(hub, NAME, publish(hub, newer).revision))
    for call in (hub.models, lambda: zoo.load(address(hub), pretrained=True)):
        with pytest.warns(HubWarning, match=f"{NAME}/.revisions/ids names revision .* which is missing") as warned:
            call()
        assert len(warned) == 1
    with pytest.warns(HubWarning):
        assert license_of(hub) == "older"
    shutil.rmtree(hub.path / NAME / KEPT)
    assert license_of(hub) == "newer"  # from the copy
    (hub.path / NAME / store.CONFIG).unlink()
    assert hub.models() == []
    with pytest.raises(NotFound):
        zoo.load(address(hub), pretrained=True)


def test_a_push_keeps_files_that_people_added(hub: FolderHub, model_folder: Path) -> None:
    kept = hub.path / NAME
    api.push(model_folder, hub=str(hub.address))
    for folder in (model_folder, kept):
        (folder / "notes.txt").write_text("mine")
        (folder / "scans" / "raw").mkdir(parents=True)
        (folder / "scans" / "raw" / "1.png").write_bytes(b"mine")
    assert license_of(hub, api.push(model_folder, hub=str(hub.address), license="mit").revision) == "mit"
    for folder in (model_folder, kept):
        assert (folder / "notes.txt").read_text() == "mine"
        assert (folder / "scans" / "raw" / "1.png").read_bytes() == b"mine"


# -- copying ---------------------------------------------------------------------------------------


def copied_without_links_and_times(source: Path, target: Path) -> None:
    """Copy only the contents of files, as object stores do, and rsync without options."""
    for path in sorted(source.rglob("*")):
        if path.is_file():
            (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            (target / path.relative_to(source)).write_bytes(path.read_bytes())


def copied_without_hidden_files(source: Path, target: Path) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(".*"))


@pytest.mark.parametrize(
    ("copy", "revisions"),
    [(copied_without_links_and_times, 2), (copied_without_hidden_files, 1)],
)
def test_a_copy_of_a_hub_is_an_independent_hub(
    hub: FolderHub, trained: Path, older: Path, tmp_path: Path, copy: Callable[[Path, Path], None], revisions: int
) -> None:
    publish(hub, older)
    publish(hub, trained)
    copy(hub.path, tmp_path / "copy")
    other = FolderHub(tmp_path / "copy")
    assert len(other.revisions(NAME)) == revisions
    shutil.rmtree(hub.path)
    require_sound(other, trained, tmp_path)
    publish(other, with_license(trained, tmp_path / "newest", "newest"))
    assert len(other.revisions(NAME)) == revisions + 1


def test_a_model_folder_added_by_hand_is_the_only_revision_and_is_kept(
    hub: FolderHub, trained: Path, newer: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, hub.path / NAME)
    identity = store.identity(trained)
    assert hub.revisions(NAME) == [identity]
    assert hub.resolve(NAME, identity[:12]).id == identity
    assert fetched(hub, NAME) == hub.path / NAME
    require_sound(hub, trained, tmp_path)
    publish(hub, newer)
    assert [license_of(hub, revision) for revision in hub.revisions(NAME)] == ["newer", "apache-2.0"]


def test_a_catalogue_keeps_no_revisions(hub: FolderHub, older: Path, newer: Path) -> None:
    hub.path.mkdir()
    (hub.path / "ids.json").write_text("{}")
    for folder in (older, newer):
        publish(hub, folder)
    assert license_of(hub) == "newer"
    assert sorted(path.name for path in (hub.path / NAME).iterdir()) == sorted(store.FILES)
    assert sorted(path.name for path in hub.path.iterdir()) == ["ids.json", NAME]


# -- killing ---------------------------------------------------------------------------------------


@forks
def test_a_killed_push_leaves_the_old_or_the_new_revision_complete(
    hub: FolderHub, older: Path, newer: Path, tmp_path: Path
) -> None:
    publish(hub, older)
    shutil.copytree(hub.path, tmp_path / "before")
    context = multiprocessing.get_context("fork")
    for rename in range(20):
        shutil.rmtree(hub.path)
        shutil.copytree(tmp_path / "before", hub.path)
        process = context.Process(target=_push_and_die, args=(hub.path, newer, rename))
        process.start()
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == 9
        store.check(fetched(hub, NAME))
        assert license_of(hub) in ("older", "newer")
        publish(hub, newer)
        assert not list(hub.path.rglob(f"*{replace.ASIDE}"))
    assert rename == 3
    assert [license_of(hub, revision) for revision in hub.revisions(NAME)] == ["newer", "older"]
    require_sound(hub, newer, tmp_path)
    assert [path.name for path in hub.path.iterdir()] == [NAME]
    assert not list(hub.path.rglob(f"*{replace.ASIDE}"))


def test_a_push_that_fails_while_it_writes_leaves_the_hub_as_it_was(
    hub: FolderHub, older: Path, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, older)
    with monkeypatch.context() as patch:
        patch.setattr(store, "write_files", _fail)
        with pytest.raises(HubError, match="can't be written"):
            publish(hub, newer)
    assert license_of(hub) == "older"
    assert not list(hub.path.rglob(f"*{replace.ASIDE}"))
    publish(hub, newer)
    assert license_of(hub) == "newer"


# -- racing ----------------------------------------------------------------------------------------


@forks
def test_two_processes_that_push_at_once_leave_both_revisions(hub: FolderHub, older: Path, newer: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_push, args=(hub.path, source)) for source in (older, newer)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert {license_of(hub, revision) for revision in hub.revisions(NAME)} == {"older", "newer"}


def test_a_revision_replaced_by_hand_is_reported_as_gone(hub: FolderHub, older: Path, newer: Path) -> None:
    shutil.copytree(older, hub.path / NAME)
    resolved = hub.resolve(NAME)
    assert fetched(hub, NAME, resolved.id) == hub.path / NAME
    shutil.copytree(newer, hub.path / NAME, dirs_exist_ok=True)
    with pytest.raises(NotFound, match=f"no longer has revision {resolved.id[:12]}; load the model again"):
        hub.fetch(NAME, resolved.id, [store.WEIGHTS])


@pytest.mark.parametrize("operation", ["load", "pull", "push", "push again"])
def test_weights_are_read_and_hashed_once(
    hub: FolderHub, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    if operation != "push":
        publish(hub, trained)
    hashed: list[int] = []
    sha256 = hashlib.sha256

    def counted(content: bytes) -> Any:
        hashed.append(len(content))
        return sha256(content)

    monkeypatch.setattr(hashlib, "sha256", counted)
    with opened() as files:
        match operation:
            case "load":
                zoo.load(address(hub), pretrained=True)
            case "pull":
                api.pull(address(hub), out=tmp_path / "pulled")
            case _:
                api.push(trained, hub=str(hub.address))
    source = trained if "push" in operation else hub.path
    read = [path for path in files if path.is_relative_to(source) and path.suffix not in (".jsonl", ".json")]
    names = [path.name for path in read if "." in path.name[1:]]
    assert names.count(store.WEIGHTS) == 1
    assert hashed.count((trained / store.WEIGHTS).stat().st_size) == 1
    if operation == "load":
        assert {path.name for path in files if path.is_relative_to(hub.path)} == {"ids", store.CONFIG, store.WEIGHTS}


# -- names, permissions, listings ------------------------------------------------------------------


def test_a_missing_model_is_reported_with_a_missing_folder_or_similar_names(hub: FolderHub, trained: Path) -> None:
    with pytest.raises(NotFound, match=f"has no model {NAME}, because there is no folder {hub.path}; check the path"):
        zoo.load(address(hub), pretrained=True)
    hub.path.mkdir()
    for call in (hub.resolve, hub.revisions):
        with pytest.raises(NotFound, match="has no model resnet20_cifar10; list its models"):
            call("resnet20_cifar10")
    revision = publish(hub, trained).revision
    with pytest.raises(NotFound, match=f"has no model resnet8_digit; did you mean {NAME}"):
        hub.resolve("resnet8_digit")
    with pytest.raises(NotFound, match=f"has no revision 'ffff'; it has {revision[:12]}"):
        hub.resolve(NAME, "ffff")


@pytest.mark.parametrize("name", ["../x", "", ".hidden", "Up"])
def test_an_invalid_model_name_is_refused(hub: FolderHub, trained: Path, name: str) -> None:
    with pytest.raises(HubError, match="can't be a model's name"):
        hub.publish(name, contents(trained))
    with pytest.raises(HubError, match="can't be a model's name"):
        hub.resolve(name)


def test_a_file_in_place_of_a_hub_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HubError, match="is a file; name a folder"):
        FolderHub(tmp_path / "file" / "hub").require_writable(NAME)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(HubError, match="no permission"):
        FolderHub(tmp_path / "closed" / "hub").require_writable(NAME)


def test_a_damaged_model_does_not_hide_others(hub: FolderHub, trained: Path) -> None:
    publish(hub, trained)
    (hub.path / "photos").mkdir()
    (hub.path / "README.md").touch()
    shutil.copytree(trained, hub.path / "resnet8_other")
    (hub.path / "resnet8_other" / store.CONFIG).write_text(json.dumps({"name": NAME}))
    with pytest.warns(HubWarning, match=r"resnet8_other/config\.json is not a valid record"):
        assert [model.name for model in hub.models()] == [NAME]


def test_a_model_whose_record_has_a_download_address_is_listed_without_weights(hub: FolderHub, trained: Path) -> None:
    shutil.copytree(trained, hub.path / NAME)
    without_weights(hub.path / NAME, "https://example.org/w")
    assert [model.name for model in hub.models()] == [NAME]


def test_only_models_that_match_a_pattern_are_read(hub: FolderHub, trained: Path) -> None:
    publish(hub, trained)
    shutil.copytree(trained, hub.path / "resnet20_other")
    (hub.path / "resnet20_other" / store.CONFIG).write_text("damaged")
    with opened() as files:
        assert [model.name for model in hub.models("resnet8_*")] == [NAME]
        assert [row.name for row in api.overview("resnet8_*", hub=str(hub.address))] == [NAME]
    assert not any(path.is_relative_to(hub.path / "resnet20_other") for path in files)


def _fail(files: dict[str, bytes], target: Path) -> None:
    raise OSError(28, "No space left on device")


def _push(path: Path, source: Path) -> None:
    publish(FolderHub(path), source)


def _push_and_die(path: Path, source: Path, before: int) -> None:
    """Push, but end the process at once before a rename."""
    calls = iter(range(100))

    def die_or(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Path) -> Any:
            if next(calls) == before:
                os._exit(9)
            return function(*arguments)

        return called

    Path.rename = die_or(Path.rename)  # type: ignore[method-assign]
    Path.replace = die_or(Path.replace)  # type: ignore[method-assign]
    publish(FolderHub(path), source)
