"""Wrong paths, endpoints and tokens: each is an error of one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import zoo
from zoo import api
from zoo.errors import FolderError, HubError, UnknownModel, ZooError
from zoo.record import store

from .loopback_hub import Hub

NAME = "resnet8_digits"
LONG = "a" * 300

ASK: dict[str, Callable[[str], object]] = {
    "load": lambda path: zoo.load(path, pretrained=True),
    "info": zoo.info,
    "plot": lambda path: api.plot([path], Path("plot.svg")),
    "pull": api.pull,
    "push": lambda path: api.push(Path(path), hub="file:hub"),
    "find in a hub": lambda path: api.find(NAME, hub=f"file:{path}"),
    "find by address": lambda path: api.find(f"file:{path}/{NAME}"),
    "push to a hub": lambda path: api.push(api.find(NAME), hub=f"file:{path}"),
    "pull to": lambda path: api.pull(NAME, out=Path(path)),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("dangling").symlink_to("nothing")


@pytest.mark.parametrize("ask", ASK)
@pytest.mark.parametrize(
    "path", ["~nosuchuser/x", f"./{LONG}", "./a\0b", "/proc/x/y", "/dev/null/x", "./file/sub", "./dangling", "/sys/x"]
)
def test_an_impossible_or_missing_path_is_one_line(ask: str, path: str) -> None:
    with pytest.raises(ZooError) as caught:
        ASK[ask](path)
    assert "\n" not in str(caught.value)
    assert sorted(entry.name for entry in Path().iterdir()) == ["dangling", "file"]


def test_every_path_may_be_a_string(trained: Path, tmp_path: Path) -> None:
    photo = str(Path(__file__).parent / "photo.png")
    single, several = [*zoo.predict(str(trained), photo)], [*zoo.predict(trained, [photo, photo])]
    assert single[0].path == Path(photo)
    assert [prediction.guesses for prediction in several] == [single[0].guesses] * 2
    evaluated = zoo.evaluate(str(trained), weights=str(trained / store.WEIGHTS), data=str(tmp_path))
    assert api.report(evaluated, str(tmp_path / "report"))
    assert api.plot([str(trained)], str(tmp_path / "plot.svg")).is_file()
    assert zoo.pull(NAME, out=str(tmp_path / "pulled")).is_dir()
    assert zoo.push(str(tmp_path / "pulled"), hub=f"file:{tmp_path / 'hub'}").revision
    assert api.page(str(tmp_path / "site"), hub=f"file:{tmp_path / 'hub'}").models == 1
    assert zoo.export(NAME, to="pt2", out=str(tmp_path / "exported"))[0].is_dir()


@pytest.mark.parametrize("path", ["~nosuchuser/x", LONG, "a\0b"])
def test_listing_an_impossible_folder_is_one_line(path: str) -> None:
    with pytest.raises(FolderError, match=r"begins with the home folder|more than 255 bytes|has a NUL in it"):
        api.overview(hub=f"file:{path}")


def test_an_error_shortens_a_very_long_name(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel) as caught:
        zoo.load(LONG)
    assert len(str(caught.value)) < 200
    with pytest.raises(HubError, match="can't be a model's name") as refused:
        api.find(LONG, hub=f"file:{tmp_path}")
    assert len(str(refused.value)) < 250


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_folder_without_read_permission_is_one_line(model_folder: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    model_folder.rename(closed / NAME)
    closed.chmod(0o000)
    asks: tuple[Callable[[], object], ...] = (
        lambda: zoo.load(closed / NAME),
        lambda: api.overview(hub=f"file:{closed}"),
        lambda: api.pull(NAME, hub=f"file:{closed}"),
    )
    for ask in asks:
        with pytest.raises(ZooError):
            ask()
    closed.chmod(0o700)


@pytest.mark.parametrize("endpoint", ["nonsense", "http://[::bad", "ftp://x", "https://"])
def test_an_invalid_endpoint_is_one_line(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    for ask in (lambda: zoo.load(f"hf://me/{NAME}"), lambda: api.overview(hub="hf://me")):
        with pytest.raises(HubError, match="HF_ENDPOINT is not the URL of a Hub; set it to https://HOST"):
            ask()


def test_an_invalid_token_is_one_line_that_does_not_show_it(
    hub: Hub, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_é")
    asks: tuple[Callable[[], object], ...] = (
        lambda: zoo.load(f"hf://me/{NAME}"),
        lambda: api.overview(hub="hf://me"),
        lambda: api.search("resnet8"),
        lambda: api.push(trained, hub="hf://me"),
    )
    for ask in asks:
        with pytest.raises(HubError, match="the token has characters that are not ASCII; log in") as caught:
            ask()
        assert "é" not in str(caught.value)
    assert store.check(trained)
