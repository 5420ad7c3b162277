"""How a name, path or address is resolved, and in which order hubs are searched."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import zoo
from zoo import api, registry
from zoo.errors import HubError, HubWarning, NameWarning, NotFound, NotPublished, UnknownModel
from zoo.hub.address import Address, Name, parse
from zoo.record import store

from . import loopback_hub
from .conftest import CHECKOUT, Run
from .folders import config_of, trained_record

NAME = "resnet8_digits"


@pytest.fixture
def own(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The hub that ZOO_HUB names, with a newly trained model."""
    address = f"file:{tmp_path / 'own'}"
    api.push(trained, hub=address)
    monkeypatch.setenv("ZOO_HUB", address)
    return address


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with copies of the trained model under its own name and as `mine`."""
    for name in (NAME, "mine"):
        shutil.copytree(trained, tmp_path / "here" / name)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def shipped() -> Path:
    return CHECKOUT / "hub_cards" / NAME


# -- names, paths and addresses --------------------------------------------------------------------


@pytest.mark.parametrize("text", ["./x", "../x", ".", "..", "a/b", "/a", "~", "~/x", "~me/x", "x/"])
def test_a_path_has_a_separator_or_begins_with_a_dot_or_a_tilde(text: str) -> None:
    assert parse(text) == parse(Path(text)) == Path(text)


@pytest.mark.parametrize("text", ["resnet8", NAME, "Mine", "model.run", "with space", ""])
def test_any_other_text_but_an_address_is_a_name(text: str) -> None:
    assert parse(text) == Name(text)
    assert parse(f"file:a/b{text}") == Address("file", "a", f"b{text}")


def test_a_name_that_is_also_a_local_folder_means_the_catalogue_with_a_warning(
    here: Path,
) -> None:
    with pytest.warns(NameWarning, match=rf"^{NAME} is a model and also a folder; to use the folder, write \./{NAME}$"):
        folder = api.find(NAME)
    assert store.identity(folder) == store.identity(shipped())
    assert api.find(f"./{NAME}") == api.find(Path(NAME)) == Path(NAME)


@pytest.mark.parametrize(
    "call",
    [
        lambda name: zoo.load(name, pretrained=True),
        zoo.load,
        zoo.info,
        lambda name: api.plot([name], Path("plot.svg")),
    ],
    ids=["load", "untrained load", "info", "plot"],
)
def test_an_unknown_name_of_a_local_folder_is_refused_with_its_path(here: Path, call: Callable[[str], object]) -> None:
    with pytest.raises(UnknownModel, match=r"no model 'mine'; .*; to use the folder of that name, write \./mine$"):
        call("mine")


def test_info_accepts_a_path_and_an_address(here: Path, own: str) -> None:
    for name in ("./mine", f"{own}/{NAME}"):
        info = zoo.info(name)
        assert (info.name, info.weights) == (NAME, name)
        assert info.config == store.read_record(here / "mine")
        assert info.classes == tuple("0123456789")
    assert zoo.info(Path("mine")).license == "apache-2.0"


@pytest.mark.parametrize("options", [{"hub": "file:x"}, {"revision": "v1"}], ids=str)
def test_a_path_has_no_hub_and_no_revision(here: Path, options: dict[str, str]) -> None:
    for name in ("./mine", here / "mine"):
        with pytest.raises(HubError, match=r"mine is a path, which has no hub and no revision; leave out"):
            zoo.load(name, pretrained=True, **options)  # type: ignore[arg-type]


def test_a_net_without_weights_has_no_revision() -> None:
    with pytest.raises(HubError, match="revision v1 names published weights; load them with pretrained=True"):
        zoo.load(NAME, revision="v1")


def test_an_untrained_net_is_built_from_the_record_in_a_hub(own: str) -> None:
    assert zoo.load(NAME, hub=own).training
    with pytest.raises(NotFound, match="own has no model resnet20_cifar10"):
        zoo.load("resnet20", hub=own)


# -- order of search -------------------------------------------------------------------------------


def test_zoo_hub_is_searched_before_the_catalogue(own: str, trained: Path) -> None:
    assert store.identity(api.find(NAME)) == store.identity(trained)
    info = zoo.info(NAME)
    assert (info.model, info.weights) == (registry.load(NAME), f"{own}/{NAME}")
    untrained = zoo.info("plain56_cifar100")
    assert (untrained.weights, untrained.config) == (None, None)


def test_a_revision_is_found_in_zoo_hub_and_in_the_catalogue(own: str, trained: Path) -> None:
    for folder in (trained, shipped()):
        revision = store.identity(folder)
        assert store.identity(api.find(NAME, revision=revision[:12])) == revision
    with pytest.raises(NotFound, match=f"own/{NAME} has no revision 'v9'"):
        api.find(NAME, revision="v9")


def test_an_unreachable_zoo_hub_is_an_error_for_a_name(hub: loopback_hub.Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_HUB", "hf://me")
    hub.stop()
    for call in (api.find, zoo.transforms, zoo.info):
        with pytest.raises(HubError, match="can't be reached"):
            call(NAME)


@pytest.mark.parametrize("kind", ["missing", "file", "closed"])
def test_an_unreadable_zoo_hub_is_an_error_for_a_name(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / kind
    if kind == "file":
        folder.touch()
    elif kind == "closed":
        if os.geteuid() == 0:
            pytest.skip("root may read everywhere")
        folder.mkdir(mode=0)
    monkeypatch.setenv("ZOO_HUB", f"file:{folder}")
    for call in (lambda name: zoo.load(name, pretrained=True), zoo.transforms, zoo.info, api.pull, api.verify):
        with pytest.raises(HubError, match=rf"^ZOO_HUB names file:.*{kind}, which can't be read") as refused:
            call(NAME)
        assert not isinstance(refused.value, NotFound)
    with pytest.warns(HubWarning, match=rf"ZOO_HUB names .*{kind}, which can't be read.*only the catalogue's are"):
        assert api.overview(NAME)
    with pytest.raises(NotFound, match=f"has no model {NAME}"):
        api.find(f"file:{folder.with_name('other')}/{NAME}")


def test_transforms_of_a_dataset_are_used_only_without_a_hub_and_a_revision(
    hub: loopback_hub.Hub, trained: Path, own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ZOO_HUB")
    assert zoo.transforms("plain20_cifar10")
    with pytest.raises(NotPublished, match="the catalogue has no weights of plain20_cifar10; set hub"):
        api.find("plain20_cifar10")
    with pytest.raises(NotFound, match="no weights of plain20_cifar10 at revision v1"):
        zoo.transforms("plain20_cifar10", revision="v1")
    with pytest.raises(NotFound, match="has no revision 'v9'"):
        zoo.transforms(NAME, revision="v9")
    with pytest.raises(NotFound, match="has no model plain20_cifar10"):
        zoo.transforms("plain20_cifar10", hub=own)
    monkeypatch.setenv("ZOO_HUB", "hf://me")
    with pytest.raises(NotFound, match="is not there, or is private"):
        zoo.transforms("plain20_cifar10")


# -- listings --------------------------------------------------------------------------------------


def test_a_listing_shows_the_weights_that_load_would_use(own: str, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "own" / "other_digits")
    job = json.loads((trained / store.CONFIG).read_text())["job"] | {"architecture": "other"}
    config_of(tmp_path / "own" / "other_digits", name="other_digits", architecture="other", job=job)
    rows = {row.name: row for row in api.overview()}
    assert rows[NAME].weights == f"{own}/{NAME}"
    assert rows[NAME].top1 == trained_record(trained).results.test_top1
    assert rows["other_digits"].weights == f"{own}/other_digits"
    assert rows["resnet20_cifar10"].weights == "catalogue"
    assert rows["plain20_cifar10"].weights is None
    assert {row.name for row in api.overview(pretrained=True)} >= {NAME, "other_digits", "resnet20_cifar10"}
    assert NAME not in {row.name for row in api.overview(pretrained=False)}


def test_an_unreachable_zoo_hub_is_one_warning_and_the_catalogue_is_listed(
    hub: loopback_hub.Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ZOO_HUB", raising=False)
    wanted = api.overview()
    monkeypatch.setenv("ZOO_HUB", "hf://me")
    hub.stop()
    with pytest.warns(HubWarning, match="can't be reached.*only the catalogue's are listed") as warned:
        assert api.overview() == wanted
    assert len(warned) == 1


def test_verify_all_refuses_a_folder_of_a_hub_named_like_an_architecture(
    trained: Path, tmp_path: Path, run_here: Run
) -> None:
    """`resnet8` means resnet8 on its default dataset, so no folder of a hub may have that name."""
    shutil.copytree(trained, tmp_path / "hub" / NAME)
    shutil.copytree(trained, tmp_path / "hub" / "resnet8")
    finished = run_here("verify", "--all", "--hub", f"file:{tmp_path / 'hub'}")
    assert finished.returncode == 1
    assert finished.stderr.endswith(f"hub/resnet8 contains the model {NAME}, expected resnet8; rename the folder\n")
