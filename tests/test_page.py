"""`zoo page`: the files of a site, malicious records, models to try, and folders that are refused."""

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
from typing import Any

import msgspec
import numpy as np
import PIL
import pytest
from PIL import Image

from zoo import api
from zoo.data.preprocessing import to_pixels
from zoo.errors import HubWarning, PageError
from zoo.hub.catalogue import catalogue
from zoo.page import models, site
from zoo.page.runtime import read
from zoo.record import store
from zoo.spec import PLAIN, Resizing

from .conftest import CHECKOUT, Run
from .folders import config_of, hashed, trained_record
from .loopback_hub import Hub

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"
VOID = {"meta", "link", "img", "source", "input", "br", "wbr"}


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
    """The files of the catalogue's site, by path."""
    return dict(site.pages(models.read(None, with_files=False), None))


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A folder with the files of npm's package onnxruntime-web, without their contents."""
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


def hub_of(folder: Path, folder_name: str, tmp_path: Path, **fields: object) -> str:
    """A hub with a copy of a model folder, with these fields changed in its record."""
    target = Path(shutil.copytree(folder, tmp_path / "hub" / folder_name))
    config_of(target, **fields)
    return f"file:{tmp_path / 'hub'}"


def pages(hub: str) -> dict[str, bytes]:
    return dict(site.pages(models.read(hub, with_files=False), None))


# The files of a site.


def test_the_site_has_a_page_for_each_model_of_the_catalogue(shipped: dict[str, bytes]) -> None:
    names = [row.name for row in api.overview(pretrained=True)]
    assert [name for name in shipped if name.endswith(".html")] == [
        "index.html",
        *(f"models/{name}.html" for name in names),
    ]
    links = Page(shipped["index.html"]).all("a", "href")
    assert set(links) == {f"models/{name}.html" for name in names}


def test_every_linked_file_is_in_the_site(shipped: dict[str, bytes]) -> None:
    for name, content in shipped.items():
        if name.endswith(".html"):
            page = Page(content)
            assert page.open == []
            folder = Path("/", name).parent
            links = [
                *page.all("script", "src"),
                *page.all("img", "src"),
                *page.all("source", "srcset"),
                *page.all("link", "href"),
                *page.all("a", "href"),
            ]
            for link in links:
                if not link.startswith(("https:", "data:")):
                    assert str((folder / link).resolve()).lstrip("/") in shipped, link


def test_the_index_has_the_parameters_and_accuracy_of_each_model(shipped: dict[str, bytes]) -> None:
    text = Page(shipped["index.html"]).text
    for row in api.overview(pretrained=True):
        assert f"{row.parameters:,}" in text
        assert row.top1 is None or f"{row.top1:.2f}%" in text
    assert "claimed" not in text  # the catalogue has measured every model


def test_a_models_page_has_the_results_and_the_recipe_of_its_card(trained: Path, tmp_path: Path) -> None:
    made = pages(hub_of(trained, "resnet8_digits", tmp_path))
    text, config = Page(made["models/resnet8_digits.html"]).text, trained_record(trained)
    card = (trained / store.README).read_text()
    results = config.results
    command = re.search(r"^zoo train .*$", card, re.MULTILINE)
    assert command
    for value in (
        f"{results.test_top1:.2f}%",
        f"{results.test_loss:.4f}",
        config.weights.sha256,
        config.environment.device,
        command[0],
    ):
        assert value in card
        assert value in text
    recipe = [line.strip() for line in text.partition("Every hyper-parameter")[2].splitlines()]
    assert all(f"{name}{json.dumps(value)}" in recipe for name, value in config.job.recipe.to_json().items())
    assert b"</svg>" in made["models/resnet8_digits.svg"]


def test_imported_weights_name_their_author_before_the_results(shipped: dict[str, bytes]) -> None:
    page = Page(shipped["models/resnet56_cifar10.akamaster.html"])
    before, author, after = page.text.partition("Trained by akamaster, not by the zoo")
    assert author
    assert "Results" not in before
    assert "Results" in after
    assert "models/resnet56_cifar10.akamaster.svg" not in shipped


def test_a_model_without_its_plugin_is_described_by_its_record(trained: Path, tmp_path: Path) -> None:
    job = json.loads((trained / store.CONFIG).read_text())["job"]
    job["architecture"] = "unknown"
    job["versions"]["plugin"] = "zoo-unknown 1.0"
    made = pages(hub_of(trained, "unknown_digits", tmp_path, name="unknown_digits", architecture="unknown", job=job))
    text = Page(made["models/unknown_digits.html"]).text
    assert "unknown, trained on digits" in text
    assert "The architecture comes with the plugin zoo-unknown" in text


# Other hosts.


def test_a_page_loads_nothing_from_other_hosts_and_allows_no_inline_scripts(shipped: dict[str, bytes]) -> None:
    for name, content in shipped.items():
        if name.endswith(".html"):
            page = Page(content)
            for tag, attributes in page.tags:
                for attribute in ("src", "href", "action", "data", "poster", "srcset"):
                    value = attributes.get(attribute, "")
                    assert tag == "a" or not re.match(r"(?i)[a-z]+:|//", value) or value == "data:,", (name, tag, value)
            (policy,) = [values["content"] for tag, values in page.tags if "http-equiv" in values]
            assert policy.startswith("default-src 'none'; ")
            assert "unsafe-inline" not in policy
            assert "http" not in policy
        elif name.endswith((".css", ".js")):
            assert not re.search(rb"https?:|url\(|@import|fetch\(|XMLHttpRequest|WebSocket", content), name


# Malicious and damaged records.


def test_malicious_text_in_a_trained_record_is_escaped(trained: Path, tmp_path: Path) -> None:
    environment = json.loads((trained / store.CONFIG).read_text())["environment"]
    hub = hub_of(
        trained,
        "resnet8_digits",
        tmp_path,
        license=EVIL,
        paper="javascript:alert(1)",
        classes=[f"{number}{EVIL}" for number in range(10)],
        environment={**environment, "device": EVIL},
    )
    for name, content in pages(hub).items():
        if name.endswith(".html"):
            page = Page(content)
            assert EVIL in page.text
            assert page.all("img", "src") in ([], ["resnet8_digits.svg"])
            assert page.all("script", "src") in ([], ["table.js"])
            assert [tag for tag, _ in page.tags].count("script") == len(page.all("script", "src"))
            assert not [attribute for _, values in page.tags for attribute in values if attribute.startswith("on")]
            assert not [link for link in page.all("a", "href") if not re.match(r"models/|\.\./|https://", link)]


def test_malicious_text_in_an_imported_record_is_escaped(tmp_path: Path) -> None:
    name = "resnet56_cifar10.akamaster"
    source = json.loads((catalogue().path / name / store.CONFIG).read_text())["source"]
    evil = {"by": EVIL, "citation": EVIL, "claim": {"test_top1": 1.0, "meaning": EVIL}}
    hub = hub_of(catalogue().path / name, name, tmp_path, source={**source, **evil}, results=None)
    made = pages(hub)
    page = Page(made[f"models/{name}.html"])
    index = Page(made["index.html"]).text
    assert "claimed 1.00%" in index
    assert "was not measured here" in index
    assert page.text.count(EVIL) >= 3
    assert "script" not in [tag for tag, _ in page.tags]


def test_a_curve_is_drawn_from_the_log_and_not_copied_from_the_folder(trained: Path, tmp_path: Path) -> None:
    hub = hub_of(trained, "resnet8_digits", tmp_path)
    curve = tmp_path / "hub" / "resnet8_digits" / store.CURVE
    before = curve.read_bytes()
    curve.write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    assert pages(hub)["models/resnet8_digits.svg"] == before


def test_a_damaged_model_is_left_out_with_a_warning(trained: Path, tmp_path: Path) -> None:
    hub_of(trained, "resnet8_digits", tmp_path)
    hub = hub_of(catalogue().path / "resnet20_cifar10", "resnet20_cifar10", tmp_path)
    (tmp_path / "hub" / "resnet20_cifar10" / store.LOG).unlink()
    with pytest.warns(HubWarning, match=r"resnet20_cifar10 is left out: .*log\.jsonl"):
        made = pages(hub)
    assert [name for name in made if name.endswith(".html")] == ["index.html", "models/resnet8_digits.html"]


def test_a_hub_without_a_readable_model_gives_no_site(trained: Path, tmp_path: Path) -> None:
    hub = hub_of(trained, "resnet8_digits", tmp_path)
    (tmp_path / "hub" / "resnet8_digits" / store.LOG).unlink()
    with pytest.warns(HubWarning), pytest.raises(PageError, match="none of the 1 models can be read"):
        api.page(tmp_path / "site", hub=hub)
    assert not (tmp_path / "site").exists()


# Charts of accuracy.


def test_models_on_different_datasets_are_in_different_charts(shipped: dict[str, bytes]) -> None:
    charts = Page(shipped["index.html"]).all("img", "src")
    assert charts == ["accuracy-cifar10.svg", "accuracy-cifar100.svg"]  # there is one model on digits
    for row in api.overview(pretrained=True):
        if row.top1 is not None and "digits" not in row.name:
            dataset = next(name for name in ("cifar100", "cifar10") if f"_{name}" in row.name)
            assert f">{row.name.replace(f'_{dataset}', '')}<".encode() in shipped[f"accuracy-{dataset}.svg"]


# Models to try.


def embedded(script: bytes) -> dict[str, bytes]:
    """The contents that a script has in base64, by name."""
    contents = re.findall(r'^embedded\["(\w+)"\] = "([\w+/=]*)";$', script.decode(), re.MULTILINE)
    return {name: base64.b64decode(text) for name, text in contents}


def test_a_site_with_a_runtime_embeds_the_runtime_and_the_onnx_files(
    exported: str, runtime: Path, tmp_path: Path
) -> None:
    written = api.page(tmp_path / "site", hub=exported, runtime=runtime.parent)  # the folder that contains `package`
    assert (written.models, written.tried) == (1, 1)
    folder = written.folder
    onnx = api.find("resnet8_digits", hub=exported) / "onnx" / "model.onnx"
    assert embedded((folder / "models" / "resnet8_digits.js").read_bytes()) == {"model": onnx.read_bytes()}
    parts = embedded((folder / "runtime" / "parts.js").read_bytes())
    assert parts == {"glue": b"ort-wasm-simd-threaded.mjs", "wasm": b"ort-wasm-simd-threaded.wasm"}
    assert (folder / "runtime" / "ort.wasm.min.js").read_bytes() == b"ort.wasm.min.js"
    page = Page((folder / "models" / "resnet8_digits.html").read_bytes())
    assert "onnxruntime-web 1.30.0" in page.text
    (data,) = page.all("section", "data-model")
    assert json.loads(data) == {"size": [1, 8, 8], "classes": list("0123456789"), "resizing": None}


def test_a_page_says_why_its_model_cannot_be_tried(trained: Path, exported: str, runtime: Path, tmp_path: Path) -> None:
    made = pages(exported)
    page = Page(made["models/resnet8_digits.html"])
    assert "Exported files" in page.text
    assert (
        "The model can't be tried in this page. This site has no onnxruntime-web; zoo page --try adds it." in page.text
    )
    assert page.all("script", "src") == []
    assert not [name for name in made if name.startswith("runtime/")]

    hub = hub_of(trained, "resnet8_digits", tmp_path)
    made = dict(site.pages(models.read(hub, with_files=True), read(runtime)))
    text = Page(made["models/resnet8_digits.html"]).text
    assert (
        "The model can't be tried in this page. It has no ONNX file; zoo export resnet8_digits --to onnx makes one."
        in text
    )
    assert not [name for name in made if name.startswith("runtime/")]  # no model of the site can be tried


def test_a_page_has_the_resizing_of_its_model(exported: str, runtime: Path, tmp_path: Path) -> None:
    folder = api.pull("resnet8_digits", hub=exported, out=tmp_path / "hub" / "resnet8_digits")
    resizing = {"crop_pct": 0.875, "interpolation": "bicubic", "crop_mode": "center"}
    config_of(folder, resizing=resizing)
    made = site.pages(models.read(f"file:{tmp_path / 'hub'}", with_files=True), read(runtime))
    page = Page(made["models/resnet8_digits.html"])
    (data,) = page.all("section", "data-model")
    assert json.loads(data)["resizing"] == {**resizing, "border": [round(255 * 0.3054)]}
    assert "crop_pct 0.875, crop_mode center, interpolation bicubic" in page.text


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.parametrize("crop_mode", ["squash", "center", "border", None])
def test_the_page_resizes_images_as_predict_does(crop_mode: Any) -> None:
    random = np.random.default_rng(0)
    cases: list[object] = []
    expected: list[list[int]] = []
    kinds: tuple[Any, ...] = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")
    for kind in kinds if crop_mode else kinds[1:2]:
        resizing = Resizing(0.875, kind, crop_mode) if crop_mode else PLAIN
        for height, width in ((1, 1), (9, 9), (7, 31), (64, 9), (61, 40)):
            for channels, size in ((1, (8, 8)), (3, (9, 14))):
                rgb = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
                mean = (0.3, 0.5, 0.7)[:channels]
                border = [round(255 * value) for value in mean]
                words = {**msgspec.structs.asdict(resizing), "border": border} if crop_mode else None
                rgba = np.dstack([rgb, np.full((height, width), 255, np.uint8)]).flatten().tolist()
                cases.append([rgba, channels, [height, width, channels], size, words])
                seen = to_pixels((channels, *size), resizing, mean)(Image.fromarray(rgb))
                expected.append(seen.permute(1, 2, 0).flatten().tolist())
    script = (
        (Path(site.__file__).parent / "templates" / "pixels.js").read_text()
        + """
const cases = JSON.parse(require("fs").readFileSync(0));
const made = cases.map(([rgba, channels, before, size, words]) =>
  [...prepared(channelsOf(rgba, channels), before, size, words)]);
console.log(JSON.stringify(made));
"""
    )
    done = subprocess.run(["node", "-e", script], input=json.dumps(cases), capture_output=True, text=True, check=True)
    for row, pixels in zip(json.loads(done.stdout), expected, strict=True):
        difference = np.abs(np.subtract(row, pixels))
        # Equal with Pillow 13. Older versions always resize the width first, and round other pixels.
        assert difference.max() <= (0 if crop_mode is None or int(PIL.__version__.partition(".")[0]) >= 13 else 12)


# Downloads and curves.


def test_weights_and_exported_files_of_a_folder_hub_are_in_the_site(exported: str) -> None:
    made, folder = pages(exported), api.find("resnet8_digits", hub=exported)
    links = Page(made["models/resnet8_digits.html"]).all("a", "href")
    for file in (store.WEIGHTS, "onnx/model.onnx"):
        assert f"../files/resnet8_digits/{file}" in links
        assert made[f"files/resnet8_digits/{file}"] == (folder / file).read_bytes()


def test_weights_on_the_hugging_face_hub_are_linked_at_their_revision_and_not_downloaded(
    trained: Path, hub: Hub
) -> None:
    commit = api.push(trained, hub="hf://me").revision
    cached = Path(os.environ["HF_HOME"]) / "hub"
    shutil.rmtree(cached, ignore_errors=True)
    made = pages("hf://me")
    (link,) = [url for url in Page(made["models/resnet8_digits.html"]).all("a", "href") if url.endswith(store.WEIGHTS)]
    assert link == f"{hub.endpoint}/me/resnet8_digits/resolve/{commit}/{store.WEIGHTS}"
    assert "models/resnet8_digits.svg" in made
    assert not [name for name in made if name.startswith("files/")]
    assert not list(cached.rglob(store.WEIGHTS))


def test_the_code_on_a_page_loads_the_model_from_its_hub(
    trained: Path, shipped: dict[str, bytes], tmp_path: Path
) -> None:
    hub = hub_of(trained, "resnet8_digits", tmp_path)
    text = Page(pages(hub)["models/resnet8_digits.html"]).text
    assert f'zoo.load("{hub}/resnet8_digits", pretrained=True)' in text
    assert 'zoo.load("resnet8_digits", pretrained=True)' in Page(shipped["models/resnet8_digits.html"]).text


def test_a_curve_has_a_narrow_version_and_a_run_of_one_epoch_has_no_curve(trained: Path, tmp_path: Path) -> None:
    hub = hub_of(trained, "resnet8_digits", tmp_path)
    made = pages(hub)
    page = Page(made["models/resnet8_digits.html"])
    assert page.all("source", "srcset") == ["narrow/resnet8_digits.svg"]
    width = re.search(rb'<svg [^>]*?width="([0-9.]+)pt"', made["models/narrow/resnet8_digits.svg"])
    assert width
    assert float(width[1]) * 96 / 72 < 390 + 40  # points to pixels of a phone
    folder = tmp_path / "hub" / "resnet8_digits"
    (folder / store.LOG).write_text((folder / store.LOG).read_text().splitlines()[-1] + "\n")
    hashed(folder)
    made = pages(hub)
    page = Page(made["models/resnet8_digits.html"])
    assert "Training curve" not in page.text
    assert not page.all("img", "src")
    assert "Accuracy against parameters" not in Page(made["index.html"]).text


# Writing a site.


def test_a_new_site_replaces_the_old_one(trained: Path, tmp_path: Path) -> None:
    out, hub = tmp_path / "site", hub_of(trained, "resnet8_digits", tmp_path)
    api.page(out, hub=hub_of(catalogue().path / "resnet20_cifar10", "resnet20_cifar10", tmp_path))
    shutil.rmtree(tmp_path / "hub" / "resnet20_cifar10")
    api.page(out, hub=hub)
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert written == {*json.loads((out / "zoo-page.json").read_text())["files"], "zoo-page.json"}
    assert "models/resnet8_digits.html" in written
    assert "models/resnet20_cifar10.html" not in written


@pytest.mark.parametrize("what", ["a folder", "a site with another file", "a file", "a link"])
def test_a_path_with_other_files_is_refused_and_not_changed(trained: Path, tmp_path: Path, what: str) -> None:
    hub, out = hub_of(trained, "resnet8_digits", tmp_path), tmp_path / "out"
    if what == "a site with another file":
        api.page(out, hub=hub)
        (out / "models" / "CNAME").write_text("mine")
    elif what == "a folder":
        out.mkdir()
        (out / "mine").write_text("mine")
    elif what == "a file":
        out.write_text("mine")
    else:
        (tmp_path / "target").mkdir()
        out.symlink_to(tmp_path / "target")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(PageError, match="name another"):
        api.page(out, hub=hub)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_without_a_runtime_is_refused_with_the_command_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(PageError, match=r"it lacks package\.json; get it with: npm pack onnxruntime-web"):
        api.page(tmp_path / "site", runtime=tmp_path)
    (tmp_path / "package.json").write_text('{"version": "1"}')
    with pytest.raises(PageError, match=r"it lacks ort\.wasm\.min\.js"):
        api.page(tmp_path / "site", runtime=tmp_path)
    (tmp_path / "package.json").write_text("[]")
    with pytest.raises(PageError, match=r"a valid package\.json"):
        api.page(tmp_path / "site", runtime=tmp_path)
    assert not (tmp_path / "site").exists()


def test_the_command_prints_the_path_of_the_site_or_a_single_line_about_the_error(
    trained: Path, tmp_path: Path, run_here: Run
) -> None:
    finished = run_here("page", "--hub", hub_of(trained, "resnet8_digits", tmp_path))
    assert finished.returncode == 0, finished.stderr
    expected = r"1 model in \S+/site, 0 of them to try in the browser; open \S+/site/index\.html\n"
    assert re.fullmatch(expected, finished.stdout)
    for words in (["--try", "missing"], ["--hub", "file:missing"], ["--out", ".."]):
        finished = run_here("page", *words)
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
