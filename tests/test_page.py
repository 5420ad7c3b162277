"""A hub as a site: what is on it, what a stranger can't do with it, and what is refused."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from zoo import api
from zoo.errors import FolderError, HubWarning, NotFound, PageError
from zoo.hub.catalogue import catalogue
from zoo.page import models, site
from zoo.page.runtime import Runtime, read
from zoo.record import store

from .conftest import CHECKOUT, Run
from .folders import config_of, trained_record
from .loopback_hub import Hub

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"
VOID = {"meta", "link", "img", "input", "br", "wbr"}


class Page(HTMLParser):
    """A page's tags with their attributes, its text, and the tags that are left open."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, attribute: str) -> list[str]:
        return [values[attribute] for name, values in self.tags if name == tag and attribute in values]


@pytest.fixture(scope="module")
def shipped() -> dict[str, bytes]:
    """The site of the catalogue, by file."""
    return dict(site.pages(models.shown(None, with_files=False), None))


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A folder such as npm's package onnxruntime-web, of little content."""
    package = tmp_path / "package"
    (package / "dist").mkdir(parents=True)
    (package / "package.json").write_text(json.dumps({"name": "onnxruntime-web", "version": "1.30.0"}))
    for name in ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"):
        (package / "dist" / name).write_bytes(name.encode())
    return package


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A hub with a model that has an ONNX file."""
    if any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")):
        pytest.skip("needs onnx, onnxscript and onnxruntime: pip install 'residual-zoo[export]'")
    folder = tmp_path_factory.mktemp("exported")
    api.push(api.export(trained, out=folder / "model")[0], hub=f"file:{folder / 'hub'}")
    return f"file:{folder / 'hub'}"


def hub_of(folder: Path, called: str, tmp_path: Path, **facts: object) -> str:
    """A hub with one model folder, which says these things of itself."""
    target = Path(shutil.copytree(folder, tmp_path / "hub" / called))
    config_of(target, **facts)
    return f"file:{tmp_path / 'hub'}"


def pages(hub: str) -> dict[str, bytes]:
    return dict(site.pages(models.shown(hub, with_files=False), None))


# What is on it.


def test_it_has_a_page_for_every_model_of_the_catalogue_and_no_other(shipped: dict[str, bytes]) -> None:
    names = [one.name for one in catalogue().models()]
    assert [name for name in shipped if name.endswith(".html")] == [
        "index.html",
        *(f"models/{one}.html" for one in names),
    ]
    links = Page(shipped["index.html"]).all("a", "href")
    assert set(links) == {f"models/{one}.html" for one in names}


def test_every_file_that_it_names_is_in_it(shipped: dict[str, bytes]) -> None:
    for name, content in shipped.items():
        if name.endswith(".html"):
            page = Page(content)
            assert page.open == []
            here = Path("/", name).parent
            named = [
                *page.all("script", "src"),
                *page.all("img", "src"),
                *page.all("link", "href"),
                *page.all("a", "href"),
            ]
            for one in named:
                if not one.startswith(("https:", "data:")):
                    assert str((here / one).resolve()).lstrip("/") in shipped, one


def test_the_index_has_what_a_listing_has(shipped: dict[str, bytes]) -> None:
    text = Page(shipped["index.html"]).text
    for row in api.overview(pretrained=True):
        assert f"{row.parameters:,}" in text
        assert row.top1 is None or f"{row.top1:.2f}%" in text


def test_a_models_page_has_what_its_card_has(trained: Path, tmp_path: Path) -> None:
    made = pages(hub_of(trained, "resnet8_digits", tmp_path))
    text, config = Page(made["models/resnet8_digits.html"]).text, trained_record(trained)
    card = (trained / store.README).read_text()
    results = config.results
    for fact in (
        f"{results.test_top1:.2f}%",
        f"{results.test_loss:.4f}",
        config.weights.sha256,
        config.environment.device,
        'model = zoo.load("resnet8_digits", pretrained=True)',
        'torch.hub.load("PATH/TO/CHECKOUT", "resnet8_digits", source="local", pretrained=True)',
        re.search(r"^zoo train .*$", card, re.MULTILINE),
    ):
        said = fact if isinstance(fact, str) else fact[0] if fact else ""
        assert said in card
        assert said in text
    recipe = [line.strip() for line in text.partition("Every hyper-parameter")[2].splitlines()]
    assert all(f"{name}{json.dumps(value)}" in recipe for name, value in config.job.recipe.to_json().items())
    assert b"</svg>" in made["models/resnet8_digits.svg"]


def test_somebody_elses_model_says_so_before_anything_else(shipped: dict[str, bytes]) -> None:
    page = Page(shipped["models/resnet56_cifar10.akamaster.html"])
    before, said, after = page.text.partition("Trained by akamaster, not by the zoo")
    assert said
    assert "Results" not in before
    assert "Results" in after
    assert "models/resnet56_cifar10.akamaster.svg" not in shipped


def test_a_model_whose_plugin_is_not_here_is_shown_by_its_facts(trained: Path, tmp_path: Path) -> None:
    job = json.loads((trained / store.CONFIG).read_text())["job"]
    job["architecture"] = "unheard"
    job["versions"]["plugin"] = "zoo-unheard 1.0"
    made = pages(hub_of(trained, "unheard_digits", tmp_path, name="unheard_digits", architecture="unheard", job=job))
    text = Page(made["models/unheard_digits.html"]).text
    assert "unheard, trained on digits" in text
    assert "The architecture comes with the plugin zoo-unheard" in text


def test_a_hub_on_the_network_is_shown_without_fetching_weights(trained: Path, tmp_path: Path, hub: Hub) -> None:
    api.push(trained, hub="hf://me")
    shutil.rmtree(Path(os.environ["HF_HOME"]) / "hub", ignore_errors=True)
    written = api.page(tmp_path / "site", hub="hf://me")
    assert (written.models, (written.folder / "models" / "resnet8_digits.svg").is_file()) == (1, True)
    assert not list((Path(os.environ["HF_HOME"]) / "hub").rglob(store.WEIGHTS))


def test_the_same_models_give_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    hub = hub_of(trained, "resnet8_digits", tmp_path)
    assert pages(hub) == pages(hub)


# Nobody is asked for anything.


def test_no_page_loads_anything_from_another_host(shipped: dict[str, bytes]) -> None:
    for name, content in shipped.items():
        if name.endswith(".html"):
            for tag, attributes in Page(content).tags:
                for attribute in ("src", "href", "action", "data", "poster", "srcset"):
                    value = attributes.get(attribute, "")
                    assert tag == "a" or not re.match(r"(?i)[a-z]+:|//", value) or value == "data:,", (name, tag, value)
        elif name.endswith((".css", ".js")):
            assert not re.search(rb"https?:|url\(|@import|fetch\(|XMLHttpRequest|WebSocket", content), name


def test_a_page_tells_the_browser_to_ask_nobody_and_to_run_nothing_of_a_strangers(shipped: dict[str, bytes]) -> None:
    for name, content in shipped.items():
        if name.endswith(".html"):
            (policy,) = [values["content"] for tag, values in Page(content).tags if "http-equiv" in values]
            assert policy.startswith("default-src 'none'; ")
            assert "unsafe-inline" not in policy
            assert "http" not in policy


# A stranger's card is text.


def test_what_a_strangers_folder_says_is_shown_and_does_nothing(trained: Path, tmp_path: Path) -> None:
    said = json.loads((trained / store.CONFIG).read_text())
    hub = hub_of(
        trained,
        "resnet8_digits",
        tmp_path,
        license=EVIL,
        paper="javascript:alert(1)",
        classes=[f"{number}{EVIL}" for number in range(10)],
        environment={**said["environment"], "device": EVIL},
    )
    for name, content in pages(hub).items():
        if name.endswith(".html"):
            page = Page(content)
            assert EVIL in page.text
            assert page.all("img", "src") in (["accuracy-digits.svg"], ["resnet8_digits.svg"])
            assert page.all("script", "src") in ([], ["table.js"])
            assert [tag for tag, _ in page.tags].count("script") == len(page.all("script", "src"))
            assert not [one for _, values in page.tags for one in values if one.startswith("on")]
            assert not [one for one in page.all("a", "href") if not re.match(r"models/|\.\./|https://", one)]


def test_what_somebody_says_of_other_peoples_weights_is_text_too(tmp_path: Path) -> None:
    name = "resnet56_cifar10.akamaster"
    source = json.loads((catalogue().path / name / store.CONFIG).read_text())["source"]
    evil = {"by": EVIL, "citation": EVIL, "claim": {"test_top1": 1.0, "meaning": EVIL}}
    hub = hub_of(catalogue().path / name, name, tmp_path, source={**source, **evil}, results=None)
    made = pages(hub)
    page = Page(made[f"models/{name}.html"])
    assert "says 1.00%" in Page(made["index.html"]).text
    assert page.text.count(EVIL) >= 3
    assert "script" not in [tag for tag, _ in page.tags]


def test_a_curve_is_drawn_anew_and_not_the_strangers(trained: Path, tmp_path: Path) -> None:
    hub = hub_of(trained, "resnet8_digits", tmp_path)
    curve = tmp_path / "hub" / "resnet8_digits" / store.CURVE
    before = curve.read_bytes()
    curve.write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    assert pages(hub)["models/resnet8_digits.svg"] == before


@pytest.mark.parametrize("said", [{"epoch": 10**400}, {"epoch": 0}, {"train_loss": 1e308}, {"test_top1": -1e300}])
def test_a_log_that_could_not_be_drawn_is_none(model_folder: Path, said: dict[str, float]) -> None:
    log = model_folder / store.LOG
    log.write_text(json.dumps({**json.loads(log.read_text().splitlines()[0]), **said}) + "\n")
    with pytest.raises(
        FolderError, match=r"log\.jsonl is not a training log: line 1: (epoch|train_loss|test_top1) should be"
    ):
        store.read_log(model_folder)


def test_a_damaged_model_is_left_out_with_a_warning(trained: Path, tmp_path: Path) -> None:
    hub_of(trained, "resnet8_digits", tmp_path)
    hub = hub_of(catalogue().path / "resnet20_cifar10", "resnet20_cifar10", tmp_path)
    (tmp_path / "hub" / "resnet20_cifar10" / store.LOG).unlink()
    with pytest.warns(HubWarning, match=r"resnet20_cifar10 is left out: .*log\.jsonl"):
        made = pages(hub)
    assert [name for name in made if name.endswith(".html")] == ["index.html", "models/resnet8_digits.html"]


def test_where_no_model_can_be_read_there_is_no_site(trained: Path, tmp_path: Path) -> None:
    hub = hub_of(trained, "resnet8_digits", tmp_path)
    (tmp_path / "hub" / "resnet8_digits" / store.LOG).unlink()
    with pytest.warns(HubWarning), pytest.raises(PageError, match="none of the 1 models can be read"):
        api.page(tmp_path / "site", hub=hub)
    assert not (tmp_path / "site").exists()


# Pictures of accuracy.


def test_models_on_different_data_sets_are_in_different_pictures(shipped: dict[str, bytes]) -> None:
    pictures = Page(shipped["index.html"]).all("img", "src")
    assert pictures == ["accuracy-cifar10.svg", "accuracy-cifar100.svg", "accuracy-digits.svg"]
    for row in api.overview(pretrained=True):
        if row.top1 is not None:
            dataset = next(name for name in ("cifar100", "cifar10", "digits") if f"_{name}" in row.name)
            assert f">{row.name.replace(f'_{dataset}', '')}<".encode() in shipped[f"accuracy-{dataset}.svg"]


# To be tried.


def embedded(script: bytes) -> dict[str, bytes]:
    """What a script leaves in base64, by name."""
    found = re.findall(r'^embedded\["(\w+)"\] = "([\w+/=]*)";$', script.decode(), re.MULTILINE)
    return {name: base64.b64decode(text) for name, text in found}


def test_a_model_with_an_onnx_file_brings_it_and_the_runtime(exported: str, runtime: Path, tmp_path: Path) -> None:
    written = api.page(tmp_path / "site", hub=exported, runtime=runtime)
    assert (written.models, written.tried) == (1, 1)
    folder = written.folder
    onnx = api.find("resnet8_digits", hub=exported) / "onnx" / "model.onnx"
    assert embedded((folder / "models" / "resnet8_digits.js").read_bytes()) == {"model": onnx.read_bytes()}
    parts = embedded((folder / "runtime" / "parts.js").read_bytes())
    assert parts == {"glue": b"ort-wasm-simd-threaded.mjs", "wasm": b"ort-wasm-simd-threaded.wasm"}
    assert (folder / "runtime" / "ort.wasm.min.js").read_bytes() == b"ort.wasm.min.js"
    page = Page((folder / "models" / "resnet8_digits.html").read_bytes())
    assert "onnxruntime-web 1.30.0" in page.text
    (told,) = page.all("section", "data-model")
    assert json.loads(told) == {"size": [1, 8, 8], "classes": list("0123456789")}


def test_without_a_runtime_the_page_shows_all_but_that(exported: str) -> None:
    made = pages(exported)
    page = Page(made["models/resnet8_digits.html"])
    assert "Out of Python" in page.text
    assert "onnx/model.onnx" in page.text
    assert "Try it" not in page.text
    assert page.all("script", "src") == []
    assert not [name for name in made if name.startswith("runtime/")]


def test_a_model_without_an_onnx_file_has_nothing_to_try(trained: Path, runtime: Path, tmp_path: Path) -> None:
    hub = hub_of(trained, "resnet8_digits", tmp_path)
    made = site.pages(models.shown(hub, with_files=True), read(runtime))
    assert "Try it" not in Page(made["models/resnet8_digits.html"]).text


def test_a_model_whose_pictures_are_resized_otherwise_is_not_tried_with_others(
    exported: str, runtime: Path, tmp_path: Path
) -> None:
    folder = api.pull("resnet8_digits", hub=exported, out=tmp_path / "hub" / "resnet8_digits")
    config_of(folder, resizing={"crop_pct": 0.875, "interpolation": "bicubic", "crop_mode": "center"})
    made = site.pages(models.shown(f"file:{tmp_path / 'hub'}", with_files=True), read(runtime))
    text = Page(made["models/resnet8_digits.html"]).text
    assert "Try it" not in text
    assert "crop_pct 0.875, crop_mode center, interpolation bicubic" in text


def test_a_runtime_is_found_in_what_npm_pack_leaves_when_it_is_unpacked(runtime: Path) -> None:
    assert read(runtime) == read(runtime.parent) == Runtime("1.30.0", read(runtime).files)


# Written, and what is refused.


def test_a_site_is_replaced_by_the_next_one(trained: Path, tmp_path: Path) -> None:
    out, hub = tmp_path / "site", hub_of(trained, "resnet8_digits", tmp_path)
    api.page(out, hub=hub_of(catalogue().path / "resnet20_cifar10", "resnet20_cifar10", tmp_path))
    shutil.rmtree(tmp_path / "hub" / "resnet20_cifar10")
    api.page(out, hub=hub)
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert there == {*json.loads((out / "zoo-page.json").read_text())["files"], "zoo-page.json"}
    assert "models/resnet8_digits.html" in there
    assert "models/resnet20_cifar10.html" not in there


@pytest.mark.parametrize("what", ["a folder of somebody's", "a folder with another file", "a file", "a link"])
def test_a_place_that_holds_anything_else_is_left_alone(trained: Path, tmp_path: Path, what: str) -> None:
    hub, out = hub_of(trained, "resnet8_digits", tmp_path), tmp_path / "out"
    if what == "a folder with another file":
        api.page(out, hub=hub)
        (out / "models" / "CNAME").write_text("mine")
    elif what == "a folder of somebody's":
        out.mkdir()
        (out / "mine").write_text("mine")
    elif what == "a file":
        out.write_text("mine")
    else:
        (tmp_path / "elsewhere").mkdir()
        out.symlink_to(tmp_path / "elsewhere")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(PageError, match="name another"):
        api.page(out, hub=hub)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_is_no_runtime_is_named_with_how_to_have_one(tmp_path: Path) -> None:
    with pytest.raises(PageError, match=r"it lacks package\.json; have it with: npm pack onnxruntime-web"):
        api.page(tmp_path / "site", runtime=tmp_path)
    (tmp_path / "package.json").write_text('{"version": "1"}')
    with pytest.raises(PageError, match=r"it lacks ort\.wasm\.min\.js"):
        api.page(tmp_path / "site", runtime=tmp_path)
    (tmp_path / "package.json").write_text("[]")
    with pytest.raises(PageError, match=r"a sound package\.json"):
        api.page(tmp_path / "site", runtime=tmp_path)
    assert not (tmp_path / "site").exists()


def test_a_hub_without_models_has_no_page(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="has no models"):
        api.page(tmp_path / "site", hub=f"file:{tmp_path / 'hub'}")


def test_the_command_says_where_it_is_and_what_is_wrong_in_one_line(
    trained: Path, tmp_path: Path, run_zoo: Run
) -> None:
    finished = run_zoo("page", "--hub", hub_of(trained, "resnet8_digits", tmp_path))
    assert finished.returncode == 0, finished.stderr
    expected = r"1 model in \S+/site, 0 of them to be tried; open \S+/site/index\.html\n"
    assert re.fullmatch(expected, finished.stdout)
    for words in (["--try", "nowhere"], ["--hub", "file:nowhere"], ["--out", ".."]):
        finished = run_zoo("page", *words)
        assert finished.returncode == 1
        assert len(finished.stderr.splitlines()) == 1


def test_a_page_is_written_without_torch(poisoned: dict[str, str], tmp_path: Path) -> None:
    (Path(poisoned["PYTHONPATH"]) / "matplotlib.py").unlink()
    (Path(poisoned["PYTHONPATH"]) / "numpy.py").unlink()
    environment = {**poisoned, "PYTHONPATH": f"{poisoned['PYTHONPATH']}:{CHECKOUT}"}
    hub = hub_of(catalogue().path / "resnet8_digits", "resnet8_digits", tmp_path)
    command = [sys.executable, "-m", "zoo", "page", "--out", str(tmp_path / "site"), "--hub", hub]
    finished = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert finished.returncode == 0, finished.stderr
