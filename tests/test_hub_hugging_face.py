"""The Hugging Face Hub: the real client, over HTTP, with a server on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData, constants

import zoo
from zoo import api
from zoo.errors import HashMismatch, HubError, HubWarning, NotFound
from zoo.hub.hugging_face import HuggingFaceHub
from zoo.record import store

from .conftest import Run
from .folders import config_of, fetched, flip, publish, trained_record, with_file
from .loopback_hub import Account, Cut, Drop, File, Flip, Hub, Repository, Status

NAME = "resnet8_digits"


@pytest.fixture
def published(hub: Hub, trained: Path) -> Hub:
    """A Hub with the trained model, and an empty cache."""
    publish(HuggingFaceHub("me"), trained)
    hub.requests.clear()
    return hub


def another(model_folder: Path) -> Path:
    """Give the model another license, which makes another revision."""
    return config_of(model_folder, license="mit")


def cached(name: str) -> Path:
    """The blob of one of the model's files in the client's cache."""
    return next(Path(constants.HF_HUB_CACHE).glob(f"models--me--{NAME}/snapshots/*/{name}")).resolve()


def tamper(config: Path) -> bytes:
    """Change the license in a config.json; returns the new content."""
    config.write_text(json.dumps({**json.loads(config.read_text()), "license": "mine"}))
    return config.read_bytes()


def load_in_a_process(name: str = f"hf://me/{NAME}", **environment: str) -> subprocess.Popen[str]:
    code = (
        f"import zoo\ntry: zoo.load({name!r}, pretrained=True)\n"
        "except zoo.ZooError as error: raise SystemExit(str(error))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True
    )


# -- push ------------------------------------------------------------------------------------------


def test_a_push_makes_one_commit_and_a_tag(hub: Hub, trained: Path) -> None:
    published = publish(HuggingFaceHub("me"), trained)
    repository = hub.repositories[f"me/{NAME}"]
    first, commit = repository.commits
    assert published.revision == commit.oid
    assert set(commit.files) - set(first.files) == {*store.FILES, ".eval_results/zoo.yaml"}
    for name in store.FILES:
        assert commit.files[name].content == (trained / name).read_bytes()
    assert commit.files[store.WEIGHTS].lfs
    assert list(repository.tags.values()) == [commit.oid]
    assert list(repository.tags) == [store.identity(trained)]


def test_pushing_the_same_files_again_makes_no_commit(hub: Hub, trained: Path) -> None:
    first = publish(HuggingFaceHub("me"), trained)
    assert publish(HuggingFaceHub("me"), trained) == first
    assert hub.count("POST", "/commit/") == 1
    assert hub.count("PUT", "/lfs/") == 1


def test_results_are_published_in_both_formats_of_the_hub(hub: Hub, trained: Path) -> None:
    publish(HuggingFaceHub("me"), trained)
    files = hub.repositories[f"me/{NAME}"].commits[-1].files
    card = ModelCard(files["README.md"].content.decode()).data
    assert isinstance(card, ModelCardData)
    top1, _ = card.eval_results or []
    entry, _ = yaml.safe_load(files[".eval_results/zoo.yaml"].content)
    assert entry["value"] == top1.metric_value
    assert entry["dataset"] == {"id": "scikit-learn/digits", "task_id": "top-1"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/repos/create"),
        ("POST", "/commit/"),
        ("POST", "/tag/"),
        ("GET", "/tree/"),
        ("GET", "^/api/models/me/resnet8_digits$"),
    ],
)
def test_a_failed_request_of_a_push_is_repeated(hub: Hub, trained: Path, method: str, path: str) -> None:
    hub.fail(method, path, Status(503), times=1)
    publish(HuggingFaceHub("me"), trained)
    assert len(hub.repositories[f"me/{NAME}"].commits) == 2
    assert len(hub.repositories[f"me/{NAME}"].tags) == 1


def test_a_commit_whose_answer_was_lost_is_not_made_twice(hub: Hub, trained: Path) -> None:
    hub.fail("POST", "/commit/", Drop(), times=1)
    published = publish(HuggingFaceHub("me"), trained)
    commits = hub.repositories[f"me/{NAME}"].commits
    assert len(commits) == 2
    assert published.revision == commits[-1].oid


def test_a_push_is_repeated_on_top_of_a_new_commit(hub: Hub, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another account commits after the head was read."""
    publish(HuggingFaceHub("me"), trained)
    repository = hub.repositories[f"me/{NAME}"]
    repository.commits.pop()
    tree = HuggingFaceHub._tree

    def tree_and_move(self: HuggingFaceHub, *arguments: str) -> dict[str, str]:
        answer = tree(self, *arguments)
        if len(repository.commits) == 1:
            repository.commit("by somebody else", {**repository.commits[-1].files, "notes.txt": File(b"x", lfs=False)})
        return answer

    monkeypatch.setattr(HuggingFaceHub, "_tree", tree_and_move)
    publish(HuggingFaceHub("me"), trained)
    assert [commit.message for commit in repository.commits] == ["initial commit", "by somebody else", "quick, seed 0"]
    assert "notes.txt" in repository.commits[-1].files


def test_published_files_are_compared_byte_for_byte(hub: Hub, trained: Path) -> None:
    hub.fail("GET", r"/resolve/.*/model\.safetensors", Flip())
    with pytest.raises(HubError, match=r"model\.safetensors differs from the published file"):
        publish(HuggingFaceHub("me"), trained)


def test_a_push_deletes_files_that_only_the_previous_record_names(hub: Hub, trained: Path, model_folder: Path) -> None:
    with_file(model_folder, "pt2/model.pt2", b"exported")
    publish(HuggingFaceHub("me"), model_folder)
    repository = hub.repositories[f"me/{NAME}"]
    repository.commit("add notes", {**repository.commits[-1].files, "notes.txt": File(b"mine", lfs=False)})
    assert "pt2/model.pt2" in repository.commits[-1].files
    publish(HuggingFaceHub("me"), trained)
    expected = {*store.FILES, ".eval_results/zoo.yaml", ".gitattributes", "notes.txt"}
    assert set(repository.commits[-1].files) == expected


def test_pushing_an_intact_folder_repairs_the_hugging_face_hub(hub: Hub, trained: Path) -> None:
    first = api.push(trained, hub="hf://me")
    repository = hub.repositories[f"me/{NAME}"]
    files = dict(repository.commits[-1].files)
    content = files[store.WEIGHTS].content
    files[store.WEIGHTS] = File(content[:-1] + bytes([content[-1] ^ 1]), lfs=True)
    repository.commit("damage the weights", files)
    with pytest.raises(HashMismatch):
        zoo.load(f"hf://me/{NAME}", pretrained=True)
    again = api.push(trained, hub="hf://me")
    assert (again.repaired, again.revision == first.revision) == ((store.WEIGHTS,), False)
    assert repository.tags == {store.identity(trained): again.revision}
    assert not zoo.load(f"hf://me/{NAME}", pretrained=True).training


@pytest.mark.parametrize("change", ["edited", "removed"])
def test_a_card_that_was_edited_on_the_hub_breaks_nothing_and_is_kept(
    published: Hub, trained: Path, model_folder: Path, tmp_path: Path, change: str
) -> None:
    repository = published.repositories[f"me/{NAME}"]
    files = dict(repository.commits[-1].files)
    original = files.pop(store.README).content
    card = original + b"\nMy own words.\n" if change == "edited" else None
    if card is not None:
        files[store.README] = File(card, lfs=False)
    repository.commit("edit the card", files)
    assert not zoo.load(f"hf://me/{NAME}", pretrained=True).training
    assert api.verify(f"hf://me/{NAME}").outcome == "as published"
    pulled = api.pull(f"hf://me/{NAME}", out=tmp_path / "pulled")
    assert (pulled / store.README).exists() == (card is not None)
    for folder in (trained, another(model_folder)):
        api.push(folder, hub="hf://me")
        head = repository.commits[-1].files
        assert head[store.CONFIG].content == (folder / store.CONFIG).read_bytes()
        assert head[store.README].content == card or change == "removed"


def test_a_card_that_the_hub_refuses_is_reported_with_its_reason_and_not_sent_again(
    hub: Hub, model_folder: Path
) -> None:
    with pytest.raises(HubError, match=r'is refused by the Hub: .*"license" must be one of'):
        api.push(config_of(model_folder, license="mine"), hub="hf://me")
    assert hub.count("POST", "/api/validate-yaml") == 1
    assert hub.repositories == {}  # no empty repository is created


def test_a_card_whose_results_the_hub_could_not_read_is_not_sent(hub: Hub, model_folder: Path) -> None:
    card = model_folder / store.README
    card.write_text(card.read_text().replace("  results:", "  outcomes:"))
    with pytest.raises(HubError, match=r"README.md of hf://me/resnet8_digits .*Invalid `model_index`.*; correct it"):
        api.push(model_folder, hub="hf://me")
    assert [method for method, _ in hub.requests if method == "POST"] == []


def test_a_push_that_fails_after_a_training_says_how_to_publish_the_folder(hub: Hub, tmp_path: Path) -> None:
    hub.fail("POST", "/repos/create", Status(500))
    out = tmp_path / "out"
    with pytest.raises(
        HubError, match=f"failed .500.*{out} is complete: publish it with: zoo push {out} --hub hf://me"
    ):
        api.train("resnet8", epochs=1, limit_train=64, push=True, hub="hf://me", out=out)
    hub.faults.clear()
    assert api.push(out, hub="hf://me").revision


@pytest.mark.parametrize(("license", "sound"), [("openrail++", True), ("cdla-permissive-2.0", True), ("gpl3", False)])
def test_a_license_must_be_an_id_of_the_hub(model_folder: Path, tmp_path: Path, license: str, sound: bool) -> None:
    hub = f"file:{tmp_path / 'hub'}"
    if sound:
        api.push(model_folder, hub=hub, license=license)
        assert api.info(NAME, hub=hub).config.license == license  # type: ignore[union-attr]
    else:
        with pytest.raises(HubError, match="license should be a Hugging Face license id"):
            api.push(model_folder, hub=hub, license=license)


# -- before the first step -------------------------------------------------------------------------


def test_a_card_that_the_hub_would_refuse_is_refused_before_anything_is_trained(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(HubError, match=r'is refused by the Hub: .*"license" must be one of'):
        api.train("resnet8", push=True, hub="hf://me", license="openrail++", out=tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
    assert hub.repositories == {}


def test_a_namespace_is_an_account_or_its_organisation(hub: Hub, trained: Path) -> None:
    assert str(HuggingFaceHub(None).address) == "hf://me"
    hub.accounts["hf_writer"] = Account("me", "write", ("lab",))
    assert str(publish(HuggingFaceHub("lab"), trained).address) == f"hf://lab/{NAME}"


# -- pull ------------------------------------------------------------------------------------------


def test_a_cached_revision_needs_no_request(published: Hub) -> None:
    commit = fetched(HuggingFaceHub("me"), NAME).name
    published.requests.clear()
    zoo.load(f"hf://me/{NAME}", pretrained=True, revision=commit)
    assert published.requests == []


@pytest.mark.parametrize("file", [store.WEIGHTS, store.CONFIG])
def test_a_damaged_file_in_the_cache_is_downloaded_again(published: Hub, file: str) -> None:
    fetched(HuggingFaceHub("me"), NAME)
    flip(cached(file))
    published.requests.clear()
    assert not zoo.load(f"hf://me/{NAME}", pretrained=True).training
    assert [path.rpartition("/")[2] for method, path in published.requests if method == "GET"] == [file]


def test_a_damaged_cache_is_refused_if_the_hub_is_unreachable(published: Hub) -> None:
    commit = fetched(HuggingFaceHub("me"), NAME).name
    flip(cached(store.WEIGHTS))
    published.stop()
    with pytest.raises(HashMismatch, match=r"model\.safetensors has SHA-256 .* expects .*; that failed: .*reached"):
        zoo.load(f"hf://me/{NAME}", pretrained=True, revision=commit)


@pytest.mark.parametrize("by", ["commit", "id", "branch"])
def test_a_record_that_was_changed_in_the_cache_is_not_used(published: Hub, trained: Path, by: str) -> None:
    (identity, commit), *_ = published.repositories[f"me/{NAME}"].tags.items()
    revision = {"commit": commit, "id": identity, "branch": None}[by]
    fetched(HuggingFaceHub("me"), NAME, revision)
    tamper(cached(store.CONFIG))
    assert HuggingFaceHub("me").resolve(NAME, revision).record == store.read_record(trained)
    tamper(cached(store.CONFIG))
    published.stop()
    with pytest.raises(HashMismatch, match=r"config\.json differs from the Hub's file at .* that failed: .*reached"):
        HuggingFaceHub("me").resolve(NAME, commit)


def test_an_id_is_verified_against_the_record(published: Hub) -> None:
    repository = published.repositories[f"me/{NAME}"]
    identity, *_ = repository.tags
    fetched(HuggingFaceHub("me"), NAME, identity)
    other = tamper(cached(store.CONFIG))
    link = next(Path(constants.HF_HUB_CACHE).glob(f"models--me--{NAME}/snapshots/*/{store.CONFIG}"))
    link.unlink()
    link.write_bytes(other)  # a plain file, whose name does not depend on its content
    with pytest.raises(HashMismatch, match=f"is not revision {identity[:12]}; remove it and load"):
        HuggingFaceHub("me").resolve(NAME, identity)
    link.unlink()
    files = {**repository.commits[-1].files, store.CONFIG: File(other, lfs=False)}
    repository.tags[identity] = repository.commit("move the tag", files).oid
    with pytest.raises(HashMismatch, match=f"is not revision {identity[:12]}; "):
        fetched(HuggingFaceHub("me"), NAME, identity)


def test_a_revision_is_found_by_its_first_digits(published: Hub, trained: Path, model_folder: Path) -> None:
    repository = published.repositories[f"me/{NAME}"]
    publish(HuggingFaceHub("me"), another(model_folder))
    for identity, commit in repository.tags.items():
        for revision in (identity, identity[:12], commit[:12]):
            assert fetched(HuggingFaceHub("me"), NAME, revision).name == commit
    with pytest.raises(NotFound, match="has no revision 0123456789"):
        fetched(HuggingFaceHub("me"), NAME, "0123456789")


@pytest.mark.parametrize("action", [Status(503), Cut(1000), Flip()], ids=["503", "cut", "a flipped bit"])
def test_a_download_that_fails_once_is_repeated(published: Hub, action: Status | Cut | Flip) -> None:
    published.fail("GET", r"/resolve/.*/model\.safetensors", action, times=1)
    assert not zoo.load(f"hf://me/{NAME}", pretrained=True).training


@pytest.mark.slow
def test_eight_processes_that_load_at_once_download_once(published: Hub) -> None:
    processes = [load_in_a_process() for _ in range(8)]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, errors
    assert published.count("GET", r"/resolve/.*/model\.safetensors") == 1


# -- what is downloaded ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "files"),
    [
        (lambda out: api.info(NAME, hub="hf://me"), {store.CONFIG}),
        (lambda out: zoo.transforms(f"hf://me/{NAME}"), {store.CONFIG}),
        (lambda out: zoo.load(f"hf://me/{NAME}"), {store.CONFIG}),
        (lambda out: api.plot([f"hf://me/{NAME}"], out), {store.CONFIG, store.LOG}),
        (lambda out: zoo.load(f"hf://me/{NAME}", pretrained=True), {store.CONFIG, store.WEIGHTS}),
        (lambda out: api.pull(f"hf://me/{NAME}", out=out), set(store.FILES)),
    ],
    ids=["info", "transforms", "untrained load", "plot", "load", "pull"],
)
def test_only_the_files_that_are_needed_are_fetched(
    published: Hub, tmp_path: Path, call: Callable[[Path], object], files: set[str]
) -> None:
    call(tmp_path / "plot.svg")
    assert {where.rpartition("/")[2] for _, where in published.requests if "/resolve/" in where} == files


def test_only_commits_with_a_model_are_revisions(published: Hub) -> None:
    commits = published.repositories[f"me/{NAME}"].commits
    assert HuggingFaceHub("me").revisions(NAME) == [commits[1].oid]
    del commits[0]
    assert HuggingFaceHub("me").revisions(NAME) == [commits[0].oid]


# -- a Hub that fails ------------------------------------------------------------------------------


def expired(hub: Hub) -> None:
    del hub.accounts["hf_writer"]


def private(hub: Hub) -> None:
    hub.repositories[f"me/{NAME}"].private = True
    hub.accounts["hf_writer"] = Account("you")


def failing(code: int) -> Callable[[Hub], None]:
    return lambda hub: hub.fail("HEAD", "/resolve/", Status(code))


FAILURES: dict[str, tuple[Callable[[Hub], None], str]] = {
    "expired token": (expired, "the Hub does not accept the token"),
    "forbidden": (failing(403), "the token lacks the permission"),
    "made private": (private, "is not there, or is private"),
    "too many requests": (failing(429), "too many requests"),
    "unavailable": (failing(503), "the server failed"),
    "connection refused": (Hub.stop, "can't be reached"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_if_the_hub_fails_the_cached_revision_is_used_with_a_warning(
    published: Hub, tmp_path: Path, failure: str
) -> None:
    commit = fetched(HuggingFaceHub("me"), NAME).name
    fail, reason = FAILURES[failure]
    fail(published)
    expected = f"{reason}.* using revision {commit[:12]} from the cache, downloaded on {date.today()}"
    calls: list[Callable[[], object]] = [
        lambda: zoo.load(f"hf://me/{NAME}", pretrained=True),
        lambda: zoo.transforms(NAME, hub="hf://me"),
        lambda: zoo.info(f"hf://me/{NAME}"),
        lambda: zoo.info(NAME, hub="hf://me"),
        lambda: api.plot([f"hf://me/{NAME}"], tmp_path / "plot.svg"),
    ]
    for call in calls:
        with pytest.warns(HubWarning, match=expected) as warned:
            call()
        assert len(warned) == 1
    attempts: list[Callable[[], object]] = [
        lambda: api.pull(f"hf://me/{NAME}", out=tmp_path / "pulled"),
        lambda: api.verify(f"hf://me/{NAME}"),
    ]
    for attempt in attempts:
        with pytest.raises(HubError, match=reason):
            attempt()
    assert not (tmp_path / "pulled").exists()


@pytest.mark.parametrize("failure", FAILURES)
def test_if_the_hub_fails_a_push_fails(published: Hub, model_folder: Path, failure: str) -> None:
    fetched(HuggingFaceHub("me"), NAME)
    fail, _ = FAILURES[failure]
    fail(published)
    with pytest.raises(HubError):
        api.push(another(model_folder), hub="hf://me")


@pytest.mark.parametrize("digits", [None, 12])
def test_offline_the_cache_is_used_without_a_warning(
    published: Hub, monkeypatch: pytest.MonkeyPatch, digits: int | None
) -> None:
    commit = fetched(HuggingFaceHub("me"), NAME).name
    identity, *_ = published.repositories[f"me/{NAME}"].tags
    published.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for revision in (commit[:digits], identity[:digits]) if digits else (None,):
        assert not zoo.load(f"hf://me/{NAME}", pretrained=True, revision=revision).training
    assert published.requests == []


# -- listing and search ----------------------------------------------------------------------------


def test_listing_a_namespace_takes_one_request(published: Hub, trained: Path) -> None:
    published.repositories["me/other"] = published.repositories[f"me/{NAME}"].__class__("me/other")
    published.repositories["me/other"].commit("initial commit", {})
    (row,) = api.overview(hub="hf://me")
    config = trained_record(trained)
    assert (row.name, row.parameters) == (NAME, 75_002)
    assert row.top1 == pytest.approx(config.results.test_top1, abs=1e-4)
    assert row.weights == f"hf://me/{NAME}"
    assert [method for method, _ in published.requests] == ["GET"]


def with_card_of(hub: Hub, **changes: object) -> None:
    """Add a repository with the model's card, changed in these fields of the `zoo` section or of the metadata."""
    content = hub.repositories[f"me/{NAME}"].commits[-1].files[store.README].content.decode()
    metadata = yaml.safe_load(content.split("---\n")[1])
    metadata["model-index"][0]["name"] = "odd_digits"
    for name, value in changes.items():
        (metadata["zoo"] if name in metadata["zoo"] else metadata)[name.replace("_", "-")] = value
    text = f"---\n{yaml.safe_dump(metadata)}\n---\n"
    repository = Repository("me/odd_digits")
    repository.commit("initial commit", {store.README: File(text.encode(), lfs=False)})
    hub.repositories["me/odd_digits"] = repository


def metric(value: object) -> list[dict[str, object]]:
    metrics = [{"type": "accuracy", "value": value}]
    return [{"name": "odd_digits", "results": [{"task": {}, "dataset": {}, "metrics": metrics}]}]


INVALID: dict[str, tuple[object, ...]] = {
    "parameters": ("many", None, -1, 2**63, 1.5, True),
    "model_index": (*map(metric, ("high", None, 101, float("nan"))), None, [], "x", [3], [{"name": "x"}]),
    "license": (["mit"], "A" * 100_000, "mit\nresnet99"),
    "dataset": (None, "\x1b[31m"),
    "plugin": (["zoo"],),
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in INVALID.items() for value in values])
def test_an_invalid_card_is_skipped_with_a_warning(published: Hub, field: str, value: object) -> None:
    with_card_of(published, **{field: value})
    calls: tuple[Callable[[], list[api.Row]], ...] = (lambda: api.overview(hub="hf://me"), lambda: api.search("digits"))
    for call in calls:
        with pytest.warns(
            HubWarning, match="hf://me/odd_digits is not listed, because its card is invalid: "
        ) as warned:
            assert [row.name for row in call()] == [NAME]
        assert len(warned) == 1
        assert len(str(warned[0].message)) < 500


def test_a_card_with_the_name_of_another_model_is_skipped_with_a_warning(published: Hub) -> None:
    (own,) = metric(92.0)
    with_card_of(published, model_index=[{**own, "name": NAME}])
    with pytest.warns(HubWarning, match=f"hf://me/odd_digits is not listed.*it is the card of '{NAME}'"):
        assert [row.name for row in api.overview(hub="hf://me")] == [NAME]


@pytest.mark.parametrize("zoo_facts", [None, []])
def test_a_card_of_another_library_with_the_tag_is_skipped(published: Hub, zoo_facts: object) -> None:
    with_card_of(published, zoo=zoo_facts)
    assert [row.name for row in api.overview(hub="hf://me")] == [NAME]


def test_further_pages_of_a_listing_are_read_from_the_same_host_only(published: Hub) -> None:
    published.next_page = "/api/models?page=2&cardData=true"
    assert len(api.search("digits")) == 2
    other = Hub()
    other.start()
    published.next_page = f"{other.endpoint}/api/models?page=2"
    with pytest.warns(HubWarning, match=r"its next page is at another host, 127\.0\.0\.1:"):
        assert len(api.search("digits")) == 1
    assert other.requests == []
    other.stop()


def test_an_unreachable_hub_is_reported_for_a_listing(published: Hub, run_here: Run) -> None:
    published.stop()
    for words in (["list", "--hub", "hf://me"], ["search", "resnet8"]):
        finished = run_here(*words)
        assert finished.returncode == 1
        assert "can't be reached; check the network" in finished.stderr
        assert finished.stderr.count("\n") == 1


def test_the_whole_hub_is_searched(published: Hub, run_here: Run) -> None:
    assert [row.weights for row in api.search("resnet8")] == [f"hf://me/{NAME}"]
    assert [row.weights for row in api.search("resnet8", hub="hf://me")] == [f"hf://me/{NAME}"]
    assert api.search("resnet999") == api.search("resnet8", hub="hf://you") == []
    assert f"hf://me/{NAME}" in run_here("search", "digits").stdout


def test_a_model_without_its_plugin_is_listed(hub: Hub, model_folder: Path) -> None:
    config = json.loads((model_folder / store.CONFIG).read_text())
    config["job"]["versions"]["plugin"], config["job"]["architecture"] = "zoo-other 2.0", "other"
    (model_folder / store.CONFIG).write_text(json.dumps({**config, "name": "other_digits", "architecture": "other"}))
    card = model_folder / store.README
    card.write_text(card.read_text().replace("name: resnet8_digits", "name: other_digits"))
    publish(HuggingFaceHub("me"), model_folder)
    (row,) = api.overview(hub="hf://me")
    assert not row.installed
    with pytest.raises(zoo.ZooError, match=r"needs the architecture other, .* install the distribution 'zoo-other'"):
        zoo.load("hf://me/other_digits", pretrained=True)


# -- end to end ------------------------------------------------------------------------------------


def test_a_trained_model_is_pushed_and_loaded_with_an_empty_cache(hub: Hub, run_here: Run, tmp_path: Path) -> None:
    words = ["train", NAME, "--epochs", "1", "--limit-train", "64", "--out", "out", "--push", "--hub", "hf://me"]
    finished = run_here(*words)
    assert finished.returncode == 0, finished.stderr
    assert f"published as hf://me/{NAME} at revision" in finished.stdout
    process = load_in_a_process(HF_HOME=str(tmp_path / "fresh"))
    assert (process.communicate()[1], process.returncode) == ("", 0)
    weights = next((tmp_path / "fresh").glob(f"hub/models--me--{NAME}/snapshots/*/{store.WEIGHTS}"))
    assert weights.read_bytes() == (tmp_path / "work" / "out" / store.WEIGHTS).read_bytes()
    written = [path.read_text("latin1") for path in (tmp_path / "work" / "out").iterdir()]
    assert not any("hf_writer" in text for text in (finished.stdout, finished.stderr, *written))
