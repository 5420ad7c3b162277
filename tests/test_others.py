"""Weights by other authors: imported from a file, or fetched over HTTP from a server on loopback."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors import safe_open

import zoo
from zoo import api
from zoo.errors import FolderError, HashMismatch, HubError, NotFound, NotPublished
from zoo.hub.catalogue import catalogue
from zoo.hub.local import FolderHub
from zoo.record import store
from zoo.record.types import Imported

from .conftest import CHECKOUT, Run
from .folders import config_of
from .test_download import Answer, Site

MODEL, NAME = "resnet8_digits", "resnet8_digits.somebody"
MEAN, STD = (0.25,), (0.5,)


def import_weights(model: str, source: str | Path, out: Path, *, rename: Sequence[tuple[str, str]] = ()) -> Path:
    """Import weights by Somebody, who claims 97.5%."""
    folder, _ = api.import_model(
        model, source, by="Somebody", license="mit", claim=97.5, claim_means="the best over test epochs",
        mean=MEAN if model == MODEL else None, std=STD if model == MODEL else None, rename=rename, out=out,
    )  # fmt: skip
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def content() -> bytes:
    """A checkpoint in torch's old format, with other parameter names and an accuracy."""
    state = zoo.load(MODEL, pretrained=True).state_dict()
    theirs = {f"module.{name.replace('fc.', 'linear.')}": tensor for name, tensor in state.items()}
    buffer = io.BytesIO()
    torch.save({"state_dict": theirs, "best_prec1": 97.5}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


@pytest.fixture
def site(content: bytes) -> Iterator[Site]:
    with Site().running() as site:
        site.answers = [Answer(content)]
        yield site


@pytest.fixture
def file(content: bytes, tmp_path: Path) -> Path:
    path = tmp_path / f"resnet8-{hashlib.sha256(content).hexdigest()[:8]}.th"
    path.write_bytes(content)
    return path


@pytest.fixture
def imported(file: Path, tmp_path: Path) -> Path:
    return import_weights(MODEL, file, tmp_path / NAME)


def ship(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderHub:
    """Make this folder without its weights the catalogue, and empty the cache."""
    shipped = tmp_path / "shipped"
    (shipped / NAME).mkdir(parents=True)
    store.copy_files(folder, shipped / NAME, weights=False)
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    monkeypatch.setattr("zoo.hub.catalogue._path", lambda: shipped)
    return catalogue()


@pytest.fixture
def pinned(site: Site, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderHub:
    """A catalogue whose record names a download instead of shipping the weights."""
    folder = import_weights(MODEL, f"{site}/{file.name}", tmp_path / "whole")
    site.requests.clear()
    return ship(folder, tmp_path, monkeypatch)


def test_an_imported_model_records_its_source_and_measured_results(imported: Path, content: bytes) -> None:
    config = store.check_whole(imported)
    assert isinstance(config, Imported)
    assert (config.name, config.source.by, config.download) == (NAME, "Somebody", None)
    with safe_open(imported / store.WEIGHTS, framework="pt") as opened:
        assert opened.metadata()["original_sha256"] == hashlib.sha256(content).hexdigest()
    assert config.source.mapped == "akamaster's names: linear. → fc."
    assert config.results is not None
    assert config.results.test_images == 360
    assert sorted(path.name for path in imported.iterdir()) == ["README.md", "config.json", "model.safetensors"]


def renamed(tmp_path: Path) -> Path:
    """A checkpoint of the same net with parameter names that no plugin converts."""
    state = zoo.load(MODEL, pretrained=True).state_dict()
    theirs = {re.sub(r"^layer(\d)", r"stage.\1", name).replace("fc.", "head."): t for name, t in state.items()}
    torch.save(theirs, tmp_path / "strange.pt")
    return tmp_path / "strange.pt"


def test_parameter_names_are_renamed_by_rules(tmp_path: Path, run_here: Run) -> None:
    words = ["import", MODEL, renamed(tmp_path), "--by", "Somebody", "--license", "mit", "--out", tmp_path / "out"]
    refused = run_here(*words)
    assert "do not fit the net" in refused.stderr
    finished = run_here(*words, "--rename", r"^stage\.(\d)=layer\1", "--rename", "(?=head)head=fc")
    assert finished.returncode == 0, finished.stderr
    record = store.read_record(tmp_path / "out")
    assert isinstance(record, Imported)
    assert record.source.mapped == "renamed: stage.1 → layer1, head → fc"
    own, taken = (zoo.load(model, pretrained=True).state_dict() for model in (MODEL, tmp_path / "out"))
    assert all(torch.equal(taken[name], tensor) for name, tensor in own.items())


def test_the_rename_rules_in_a_record_are_used_to_convert_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = [(r"^stage\.(\d)", r"layer\1"), ("(?=head)head", "fc")]
    with Site().running() as site:
        site.answers = [Answer(renamed(tmp_path).read_bytes())]
        folder, config = api.import_model(
            MODEL, f"{site}/strange.pt", by="Somebody", license="mit", rename=rules, out=tmp_path / "whole"
        )
        assert isinstance(config, Imported)
        assert config.source.rename == tuple(rules)
        ship(folder, tmp_path, monkeypatch)
        assert not zoo.load(NAME, pretrained=True).training


def test_the_card_of_an_imported_model_starts_with_its_author(imported: Path) -> None:
    text = (imported / store.README).read_text().partition("---\n\n")[2]
    lines = [line for line in text.splitlines() if line]
    assert lines[1] == "**Trained by Somebody, not by the zoo**."
    assert "Its author reports 97.50%, the best over test epochs." in text
    assert "How it was trained" not in text


def test_an_imported_model_is_evaluated_with_its_own_normalization(imported: Path) -> None:
    evaluated, config = api.evaluate(imported), store.read_record(imported)
    assert evaluated.results == config.results
    assert api.evaluate(MODEL, weights=imported / store.WEIGHTS).results == config.results
    assert api.verify(imported).outcome == "as published"


def test_an_imported_model_has_no_recipe_to_reproduce_and_no_curve_to_plot(imported: Path, tmp_path: Path) -> None:
    for call in (lambda: api.reproduce(imported), lambda: api.plot([imported], tmp_path / "plot.svg")):
        with pytest.raises(FolderError, match="no recipe and no log: the zoo did not train it, Somebody did"):
            call()


def test_an_imported_model_is_published_beside_the_model_of_the_zoo(
    imported: Path, trained: Path, tmp_path: Path
) -> None:
    hub = f"file:{tmp_path / 'hub'}"
    for folder in (imported, trained):
        api.push(folder, hub=hub)
    assert [row.name for row in api.overview("resnet8*", hub=hub)] == [MODEL, NAME]
    assert zoo.info(NAME, hub=hub).config == store.read_record(imported)
    for name in (NAME, "resnet8.somebody"):
        zoo.load(name, pretrained=True, hub=hub)
    assert store.check(api.pull(NAME, hub=hub, out=tmp_path / "pulled")) == store.read_record(imported)


def test_imported_weights_are_never_loaded_under_the_plain_name(pinned: FolderHub, site: Site) -> None:
    with pytest.raises(NotPublished, match=rf"no weights of {MODEL}, only imported weights: {NAME};"):
        zoo.load(MODEL, pretrained=True)
    with pytest.raises(NotFound, match=rf"^the catalogue has no weights of {MODEL}\.nobody; it has {NAME}$"):
        zoo.load(f"{MODEL}.nobody", pretrained=True)
    with pytest.raises(NotFound):
        zoo.transforms(f"{MODEL}.nobody")
    assert site.requests == []


def test_weights_are_downloaded_once(pinned: FolderHub, imported: Path, site: Site) -> None:
    first = zoo.load(NAME, pretrained=True).state_dict()
    assert len(site.requests) == 1
    site.stop()
    again = zoo.load(NAME, pretrained=True).state_dict()
    expected = zoo.load(imported, pretrained=True).state_dict()
    assert all(
        torch.equal(first[name], tensor) and torch.equal(again[name], tensor) for name, tensor in expected.items()
    )
    assert api.verify(NAME).outcome == "as published"


def test_listing_info_and_transforms_of_imported_weights_need_no_request(pinned: FolderHub, site: Site) -> None:
    assert zoo.list_models("resnet8*", pretrained=True) == [NAME]
    assert zoo.info(NAME).weights == "catalogue"
    assert zoo.transforms(NAME).transforms[-1].mean == list(MEAN)
    assert site.requests == []


def test_weights_that_cannot_be_downloaded_are_neither_loaded_nor_measured(pinned: FolderHub, site: Site) -> None:
    site.stop()
    with pytest.raises(HubError, match="can't be reached"):
        zoo.load(NAME, pretrained=True)
    verified = api.verify(NAME)
    assert (verified.outcome, verified.not_measured) == ("not measured", ("weights",))


def test_damaged_weights_in_the_cache_are_converted_again(pinned: FolderHub, site: Site, cache: Path) -> None:
    zoo.load(NAME, pretrained=True)
    (kept,) = (cache / "converted").glob("*/model.safetensors")
    kept.write_bytes(b"damaged")
    zoo.load(NAME, pretrained=True)
    assert len(site.requests) == 1


def test_threads_that_load_at_once_wait_for_one_conversion(pinned: FolderHub, site: Site) -> None:
    with ThreadPoolExecutor(4) as pool:
        nets = list(pool.map(lambda _: zoo.load(NAME, pretrained=True), range(8)))
    assert len(nets) == 8
    assert len(site.requests) == 1


def test_converted_weights_are_read_where_nothing_can_be_written(
    pinned: FolderHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo.load(NAME, pretrained=True)

    def refuse(*arguments: object, **more: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("zoo.record.lock._acquired", refuse)  # permissions do not stop root
    assert not zoo.load(NAME, pretrained=True).training


def test_an_address_in_a_record_is_fetched_only_if_it_is_trusted(
    pinned: FolderHub, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "strange").mkdir()
    folder = shutil.copytree(pinned.path / NAME, tmp_path / "strange" / NAME)
    with pytest.raises(HubError, match=f"the weights of {NAME} would be fetched from {site}/.*ZOO_TRUST"):
        zoo.load(folder, pretrained=True)
    assert site.requests == []
    monkeypatch.setenv("ZOO_TRUST", str(site))
    zoo.load(folder, pretrained=True)


def test_imported_weights_can_be_a_teacher(pinned: FolderHub, tmp_path: Path) -> None:
    settings = {"teacher": "resnet8.somebody"}
    done = api.train("resnet8", settings=settings, epochs=1, limit_train=64, amp=False, out=tmp_path / "out")
    assert done.config.job.teacher is not None
    assert done.config.job.teacher.address == "resnet8.somebody"


def test_a_copy_of_a_checkpoint_is_recognized_by_the_hash_of_its_tensors(
    content: bytes, site: Site, file: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address names the author's file by the first digits of its hash; the copy has the same tensors."""
    state = torch.load(io.BytesIO(content), weights_only=True)
    torch.save(state["state_dict"], tmp_path / "copy.pth")
    folder, config = api.import_model(
        MODEL,
        tmp_path / "copy.pth",
        by="Somebody",
        license="mit",
        address=f"{site}/{file.name}",
        out=tmp_path / "whole",
    )
    download = config.download
    assert download is not None
    assert (download.file, download.sha256, download.bytes) == (file.name, file.stem[-8:], None)
    shipped = ship(folder, tmp_path, monkeypatch).path
    assert api.verify(NAME).outcome == "as published"
    shutil.rmtree(cache)
    config_of(shipped / NAME, download={**msgspec.to_builtins(download), "tensors_sha256": "0" * 64})
    with pytest.raises(HashMismatch, match=r"has tensors with SHA-256 .*, expected 0{64}; it is another file"):
        zoo.load(NAME, pretrained=True)


# -- errors and commands ---------------------------------------------------------------------------


def test_a_download_with_another_hash_is_refused(pinned: FolderHub, site: Site) -> None:
    site.answers = [Answer(b"x" * 100)]
    with pytest.raises(HashMismatch, match=r"has SHA-256 .*expected"):
        zoo.load(NAME, pretrained=True)


def test_the_import_command_prints_the_results_and_publishes(run_here: Run, file: Path, tmp_path: Path) -> None:
    hub = f"file:{tmp_path / 'hub'}"
    done = run_here(
        "import", "resnet8", file, "--by", "somebody", "--license", "mit", "--mean", "0.3054", "--std", "0.3753",
        "--push", "--hub", hub,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{NAME}: top-1 98.06%")
    assert [row.name for row in api.overview(hub=hub)] == [NAME]


# -- docs/others.md --------------------------------------------------------------------------------


def test_the_code_of_the_page_runs(run_here: Run) -> None:
    page = (CHECKOUT / "docs" / "others.md").read_text()
    for line in re.findall(r"^zoo .*$", "".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL)), re.MULTILINE):
        _, command, *words = shlex.split(line)
        if command != "import":  # its files are not here; test_pages checks its options
            done = run_here(command, *words)
            assert done.returncode == 0, done.stderr
            assert ("chenyaofo" if "--dataset cifar100" in line else "resnet56_cifar10.akamaster") in done.stdout
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(code, {})


def test_info_shows_the_license_of_the_weights_or_the_code(pinned: FolderHub, run_here: Run) -> None:
    lines = run_here("info", NAME).stdout.splitlines()
    assert "  license     mit, of the weights by Somebody" in lines
    assert any(line.startswith("layer\ttype") for line in lines)
    shown = json.loads(run_here("info", NAME, "--json").stdout)
    assert (shown["license"], shown["layers"][0]["parameters"]) == ("mit", 75_002)
    assert (
        "  license     apache-2.0, of the code; there are no weights"
        in run_here("info", "plain20", "--no-layers").stdout.splitlines()
    )


def test_an_unmeasured_claim_is_listed_with_a_tilde(imported: Path, tmp_path: Path, run_here: Run) -> None:
    shutil.copytree(config_of(imported, results=None, environment=None), tmp_path / "hub" / NAME)
    hub = f"file:{tmp_path / 'hub'}"
    assert run_here("list", "--hub", hub).stdout.splitlines()[1].split("\t")[3] == "~97.50%"
    (row,) = json.loads(run_here("list", "--hub", hub, "--json").stdout)
    assert (row["top1"], row["claim"]) == (None, 97.5)
