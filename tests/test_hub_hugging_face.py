"""The real client, over real HTTP, against a Hub on loopback."""

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
from .folders import config_of, fetched, flip, publish, trained_record
from .loopback_hub import Account, Cut, Drop, File, Flip, Hub, Repository, Status

NAME = "resnet8_digits"


@pytest.fixture
def published(hub: Hub, trained: Path) -> Hub:
    """A Hub with the trained model in it, and nothing of it in the cache."""
    publish(HuggingFaceHub("me"), trained)
    hub.requests.clear()
    return hub


def another(model_folder: Path) -> Path:
    """The same model under another license."""
    return config_of(model_folder, license="mit")


def cached(name: str) -> Path:
    """A file of the model in the client's cache, as the blob that it is."""
    return next(Path(constants.HF_HUB_CACHE).glob(f"models--me--{NAME}/snapshots/*/{name}")).resolve()


def tamper(config: Path) -> bytes:
    """Give a config.json another licence, sound as it is; returns what it is now."""
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


def test_a_push_is_one_commit_with_the_whole_folder_and_a_tag(hub: Hub, trained: Path) -> None:
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


def test_the_same_bytes_again_make_no_commit(hub: Hub, trained: Path) -> None:
    first = publish(HuggingFaceHub("me"), trained)
    assert publish(HuggingFaceHub("me"), trained) == first
    assert hub.count("POST", "/commit/") == 1
    assert hub.count("PUT", "/lfs/") == 1


def test_the_results_are_published_in_both_forms_the_hub_reads(hub: Hub, trained: Path) -> None:
    publish(HuggingFaceHub("me"), trained)
    files = hub.repositories[f"me/{NAME}"].commits[-1].files
    card = ModelCard(files["README.md"].content.decode()).data
    assert isinstance(card, ModelCardData)
    top1, _ = card.eval_results or []
    entry, _ = yaml.safe_load(files[".eval_results/zoo.yaml"].content)
    assert entry["value"] == top1.metric_value
    assert entry["dataset"] == {"id": "scikit-learn/digits", "task_id": "top-1"}


@pytest.mark.parametrize("path", ["/repos/create", "/commit/", "/tag/", "/tree/", "^/api/models/me/resnet8_digits$"])
def test_a_failed_request_of_a_push_is_repeated(hub: Hub, trained: Path, path: str) -> None:
    method = "GET" if path in ("/tree/", "^/api/models/me/resnet8_digits$") else "POST"
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


def test_a_head_that_moved_is_taken_as_the_new_parent(hub: Hub, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody commits between the look at the head and the commit."""
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


def test_files_that_the_record_does_not_name_any_more_are_deleted_and_others_are_not(
    hub: Hub, trained: Path, model_folder: Path
) -> None:
    (model_folder / "pt2").mkdir()
    (model_folder / "pt2" / "model.pt2").write_bytes(b"exported")
    facts = store.file_facts(b"exported")
    files = json.loads((model_folder / store.CONFIG).read_text())["files"]
    config_of(model_folder, files={**files, "pt2/model.pt2": {"sha256": facts.sha256, "bytes": facts.bytes}})
    publish(HuggingFaceHub("me"), model_folder)
    repository = hub.repositories[f"me/{NAME}"]
    repository.commit("add notes", {**repository.commits[-1].files, "notes.txt": File(b"mine", lfs=False)})
    assert "pt2/model.pt2" in repository.commits[-1].files
    publish(HuggingFaceHub("me"), trained)
    expected = {*store.FILES, ".eval_results/zoo.yaml", ".gitattributes", "notes.txt"}
    assert set(repository.commits[-1].files) == expected


def test_damaged_weights_are_repaired_and_the_id_is_that_of_the_repaired_commit(hub: Hub, trained: Path) -> None:
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
    with pytest.raises(HubError, match=r'is refused by the Hub: .*"license" must be one of') as caught:
        api.push(config_of(model_folder, license="mine"), hub="hf://me")
    assert "\n" not in str(caught.value)
    assert hub.count("POST", "/api/validate-yaml") == 1
    assert hub.repositories == {}  # no empty one is left behind


def test_a_card_whose_results_the_hub_could_not_read_is_not_sent(hub: Hub, model_folder: Path) -> None:
    card = model_folder / store.README
    card.write_text(card.read_text().replace("  results:", "  outcomes:"))
    with pytest.raises(HubError, match=r"README.md of hf://me/resnet8_digits .*Invalid `model_index`.*; correct it"):
        api.push(model_folder, hub="hf://me")
    assert [method for method, _ in hub.requests if method == "POST"] == []


def test_a_push_that_fails_after_a_training_says_how_to_publish_the_folder(hub: Hub, tmp_path: Path) -> None:
    hub.fail("POST", "/repos/create", Status(500))
    out = tmp_path / "out"
    with pytest.raises(HubError, match=f"failed .500.*{out} is whole: publish it with: zoo push {out} --hub hf://me"):
        api.train("resnet8", epochs=1, limit_train=64, push=True, hub="hf://me", out=out)
    hub.faults.clear()
    assert api.push(out, hub="hf://me").revision


@pytest.mark.parametrize(("license", "sound"), [("openrail++", True), ("cdla-permissive-2.0", True), ("gpl3", False)])
def test_a_license_is_one_of_the_hubs_ids(model_folder: Path, tmp_path: Path, license: str, sound: bool) -> None:
    hub = f"file:{tmp_path / 'hub'}"
    if sound:
        api.push(model_folder, hub=hub, license=license)
        assert api.info(NAME, hub=hub).config.license == license  # type: ignore[union-attr]
    else:
        with pytest.raises(HubError, match="license should be a Hugging Face license id"):
            api.push(model_folder, hub=hub, license=license)


# -- the check before the first step ---------------------------------------------------------------


def test_a_push_that_would_fail_is_refused_before_anything_is_trained(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.accounts["hf_reader"] = Account("me", "read")
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    with pytest.raises(HubError, match="is read-only"):
        api.train("resnet8", push=True, hub="hf://me", out=tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
    assert hub.requests == [("GET", "/api/whoami-v2")]


def test_a_card_that_the_hub_would_refuse_is_refused_before_anything_is_trained(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(HubError, match=r'is refused by the Hub: .*"license" must be one of'):
        api.train("resnet8", push=True, hub="hf://me", license="openrail++", out=tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
    assert hub.repositories == {}


def test_a_namespace_is_the_accounts_own_or_that_of_its_organisation(hub: Hub, trained: Path) -> None:
    assert str(HuggingFaceHub(None).address) == "hf://me"
    hub.accounts["hf_writer"] = Account("me", "write", ("lab",))
    assert str(publish(HuggingFaceHub("lab"), trained).address) == f"hf://lab/{NAME}"


# -- pull ------------------------------------------------------------------------------------------


def test_one_commit_is_used_for_every_file(published: Hub, model_folder: Path) -> None:
    """A push that comes between two files of a pull changes nothing of it."""
    before = published.repositories[f"me/{NAME}"].commits[-1].oid
    path = fetched(HuggingFaceHub("me"), NAME)
    publish(HuggingFaceHub("me"), another(model_folder))
    assert path.name == before
    downloads = [where for method, where in published.requests if method == "GET" and "/resolve/" in where]
    assert all(f"/resolve/{before}/" in where or "/resolve/main/config.json" in where for where in downloads[:3])


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


def test_a_flipped_byte_in_the_cache_is_refused_where_the_hub_is_not_there(published: Hub) -> None:
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


def test_an_id_is_computed_anew_whatever_the_cache_and_the_hub_say(published: Hub) -> None:
    repository = published.repositories[f"me/{NAME}"]
    identity, *_ = repository.tags
    fetched(HuggingFaceHub("me"), NAME, identity)
    other = tamper(cached(store.CONFIG))
    link = next(Path(constants.HF_HUB_CACHE).glob(f"models--me--{NAME}/snapshots/*/{store.CONFIG}"))
    link.unlink()
    link.write_bytes(other)  # no link: its name says nothing of its bytes
    with pytest.raises(HashMismatch, match=f"is not revision {identity[:12]}; remove it and load"):
        HuggingFaceHub("me").resolve(NAME, identity)
    link.unlink()
    files = {**repository.commits[-1].files, store.CONFIG: File(other, lfs=False)}
    repository.tags[identity] = repository.commit("move the tag", files).oid
    with pytest.raises(HashMismatch, match=f"is not revision {identity[:12]}; "):
        fetched(HuggingFaceHub("me"), NAME, identity)


def test_a_revision_is_found_by_its_first_digits_where_they_are_one_revisions(
    published: Hub, trained: Path, model_folder: Path
) -> None:
    repository = published.repositories[f"me/{NAME}"]
    publish(HuggingFaceHub("me"), another(model_folder))
    for identity, commit in repository.tags.items():
        for revision in (identity, identity[:12], commit[:12]):
            assert fetched(HuggingFaceHub("me"), NAME, revision).name == commit
    with pytest.raises(NotFound, match="has no revision 0123456789"):
        fetched(HuggingFaceHub("me"), NAME, "0123456789")
    first, second = repository.tags
    repository.tags[first[:32] + second[32:]] = repository.tags[second]
    with pytest.raises(NotFound, match=f"has several revisions that begin with '{first[:12]}'; give more digits"):
        fetched(HuggingFaceHub("me"), NAME, first[:12])


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


# -- facts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "files"),
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
    published: Hub, tmp_path: Path, ask: Callable[[Path], object], files: set[str]
) -> None:
    ask(tmp_path / "plot.svg")
    assert {where.rpartition("/")[2] for _, where in published.requests if "/resolve/" in where} == files


def test_only_commits_with_a_model_are_revisions_also_of_a_squashed_history(published: Hub) -> None:
    commits = published.repositories[f"me/{NAME}"].commits
    assert HuggingFaceHub("me").revisions(NAME) == [commits[1].oid]
    del commits[0]
    assert HuggingFaceHub("me").revisions(NAME) == [commits[0].oid]


# -- a Hub that can't be asked ---------------------------------------------------------------------


def expired(hub: Hub) -> None:
    del hub.accounts["hf_writer"]


def private(hub: Hub) -> None:
    hub.repositories[f"me/{NAME}"].private = True
    hub.accounts["hf_writer"] = Account("you")


def failing(code: int) -> Callable[[Hub], None]:
    return lambda hub: hub.fail("HEAD", "/resolve/", Status(code))


FAILURES: dict[str, tuple[Callable[[Hub], None], str]] = {
    "expired token": (expired, "the Hub does not accept the token"),
    "forbidden": (failing(403), "the token may not do that"),
    "made private": (private, "is not there, or is private"),
    "too many requests": (failing(429), "too many requests"),
    "unavailable": (failing(503), "the server failed"),
    "connection refused": (Hub.stop, "can't be reached"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_where_the_hub_fails_the_cache_is_used_with_a_warning_and_never_called_the_newest(
    published: Hub, tmp_path: Path, failure: str
) -> None:
    commit = fetched(HuggingFaceHub("me"), NAME).name
    fail, reason = FAILURES[failure]
    fail(published)
    expected = f"{reason}.* using revision {commit[:12]} from the cache, downloaded on {date.today()}"
    asks: list[Callable[[], object]] = [
        lambda: zoo.load(f"hf://me/{NAME}", pretrained=True),
        lambda: zoo.transforms(NAME, hub="hf://me"),
        lambda: zoo.info(f"hf://me/{NAME}"),
        lambda: zoo.info(NAME, hub="hf://me"),
        lambda: api.plot([f"hf://me/{NAME}"], tmp_path / "plot.svg"),
    ]
    for ask in asks:
        with pytest.warns(HubWarning, match=expected) as said:
            ask()
        assert len(said) == 1
    attempts: list[Callable[[], object]] = [
        lambda: api.pull(f"hf://me/{NAME}", out=tmp_path / "pulled"),
        lambda: api.verify(f"hf://me/{NAME}"),
    ]
    for attempt in attempts:
        with pytest.raises(HubError, match=reason):
            attempt()
    assert not (tmp_path / "pulled").exists()


@pytest.mark.parametrize("failure", FAILURES)
def test_where_the_hub_fails_a_push_fails(published: Hub, model_folder: Path, failure: str) -> None:
    fetched(HuggingFaceHub("me"), NAME)
    fail, _ = FAILURES[failure]
    fail(published)
    with pytest.raises(HubError):
        api.push(another(model_folder), hub="hf://me")


@pytest.mark.parametrize("digits", [None, 12])
def test_offline_the_cache_is_used_in_silence(
    published: Hub, monkeypatch: pytest.MonkeyPatch, digits: int | None
) -> None:
    commit = fetched(HuggingFaceHub("me"), NAME).name
    identity, *_ = published.repositories[f"me/{NAME}"].tags
    published.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for revision in (commit[:digits], identity[:digits]) if digits else (None,):
        assert not zoo.load(f"hf://me/{NAME}", pretrained=True, revision=revision).training
    assert published.requests == []


# -- find ------------------------------------------------------------------------------------------


def test_a_namespace_is_listed_with_results_in_one_request(published: Hub, trained: Path) -> None:
    published.repositories["me/other"] = published.repositories[f"me/{NAME}"].__class__("me/other")
    published.repositories["me/other"].commit("initial commit", {})
    (one,) = api.overview(hub="hf://me")
    config = trained_record(trained)
    assert (one.name, one.parameters) == (NAME, 75_002)
    assert one.top1 == pytest.approx(config.results.test_top1, abs=1e-4)
    assert one.weights == f"hf://me/{NAME}"
    assert [method for method, _ in published.requests] == ["GET"]


def with_card_of(hub: Hub, **changes: object) -> None:
    """Another repository, with the card of the model but for these fields: of the zoo's facts, or of the whole."""
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


ODD: dict[str, tuple[object, ...]] = {
    "parameters": ("many", None, -1, 2**63, 1.5, True),
    "model_index": (*map(metric, ("high", None, 101, float("nan"))), None, [], "x", [3], [{"name": "x"}]),
    "license": (["mit"], "A" * 100_000, "mit\nresnet99"),
    "dataset": (None, "\x1b[31m"),
    "plugin": (["zoo"],),
}


@pytest.mark.parametrize(("field", "value"), [(field, one) for field in ODD for one in ODD[field]])
def test_a_strangers_card_of_odd_facts_is_one_warning_and_the_others_are_listed(
    published: Hub, field: str, value: object
) -> None:
    with_card_of(published, **{field: value})
    asks: tuple[Callable[[], list[api.Row]], ...] = (lambda: api.overview(hub="hf://me"), lambda: api.search("digits"))
    for ask in asks:
        with pytest.warns(HubWarning, match="hf://me/odd_digits is not listed, because its card is invalid: ") as said:
            assert [one.name for one in ask()] == [NAME]
        assert len(said) == 1
        assert len(str(said[0].message)) < 500


def test_a_repository_under_another_models_name_is_not_listed_with_its_accuracy(published: Hub) -> None:
    (own,) = metric(92.0)
    with_card_of(published, model_index=[{**own, "name": NAME}])
    with pytest.warns(HubWarning, match=f"hf://me/odd_digits is not listed.*it is the card of '{NAME}'"):
        assert [one.name for one in api.overview(hub="hf://me")] == [NAME]


@pytest.mark.parametrize("zoo_facts", [None, []])
def test_a_card_with_the_tag_that_is_not_the_zoos_is_passed_over_in_silence(published: Hub, zoo_facts: object) -> None:
    with_card_of(published, zoo=zoo_facts)
    assert [one.name for one in api.overview(hub="hf://me")] == [NAME]


def test_a_listing_goes_on_to_the_next_page_at_the_same_host_only(published: Hub) -> None:
    published.next_page = "/api/models?page=2&cardData=true"
    assert len(api.search("digits")) == 2
    elsewhere = Hub()
    elsewhere.start()
    published.next_page = f"{elsewhere.endpoint}/api/models?page=2"
    with pytest.warns(HubWarning, match=r"its next page is at another host, 127\.0\.0\.1:"):
        assert len(api.search("digits")) == 1
    assert elsewhere.requests == []
    elsewhere.stop()


def test_a_hub_that_is_down_is_one_line_for_a_listing_too(published: Hub, run_here: Run) -> None:
    published.stop()
    for words in (["list", "--hub", "hf://me"], ["search", "resnet8"]):
        finished = run_here(*words)
        assert finished.returncode == 1
        assert "can't be reached; check the network" in finished.stderr
        assert finished.stderr.count("\n") == 1


def test_the_whole_hub_is_searched_by_text(published: Hub, run_here: Run) -> None:
    assert [one.weights for one in api.search("resnet8")] == [f"hf://me/{NAME}"]
    assert [one.weights for one in api.search("resnet8", hub="hf://me")] == [f"hf://me/{NAME}"]
    assert api.search("resnet999") == api.search("resnet8", hub="hf://you") == []
    assert f"hf://me/{NAME}" in run_here("search", "digits").stdout


def test_a_model_whose_plugin_is_not_installed_is_listed_and_says_whose_it_is(hub: Hub, model_folder: Path) -> None:
    config = json.loads((model_folder / store.CONFIG).read_text())
    config["job"]["versions"]["plugin"], config["job"]["architecture"] = "zoo-other 2.0", "other"
    (model_folder / store.CONFIG).write_text(json.dumps({**config, "name": "other_digits", "architecture": "other"}))
    card = model_folder / store.README
    card.write_text(card.read_text().replace("name: resnet8_digits", "name: other_digits"))
    publish(HuggingFaceHub("me"), model_folder)
    (one,) = api.overview(hub="hf://me")
    assert not one.installed
    with pytest.raises(zoo.ZooError, match=r"needs the architecture other, .* install the distribution 'zoo-other'"):
        zoo.load("hf://me/other_digits", pretrained=True)


# -- end to end ------------------------------------------------------------------------------------


def test_train_and_push_then_load_in_a_fresh_cache(hub: Hub, run_here: Run, tmp_path: Path) -> None:
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
