"""The site in Debian's Chromium, headless: `make test-browser`.

ZOO_TRY is the path of an unpacked npm package onnxruntime-web.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from zoo import api
from zoo.hub.catalogue import catalogue

from .conftest import CHECKOUT

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
TRY = Path(os.environ.get("ZOO_TRY", "/missing"))
PHOTO = CHECKOUT / "tests" / "photo.png"

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER and importlib.util.find_spec("selenium")),
    reason="needs chromium, chromium-driver and selenium: make test-browser",
)
has_runtime = pytest.mark.skipif(
    not (TRY / "dist").is_dir()
    or any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="needs onnxruntime-web (ZOO_TRY) and the extra export: make test-browser",
)


@dataclass(frozen=True)
class Browser:
    """A browser with the actions of the tests."""

    driver: Any

    def open(self, address: str) -> None:
        self.requested()  # forgets the requests of the previous page
        self.driver.get(address)

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def press(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def wait(self, condition: Callable[[], object]) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, 60, poll_frequency=0.05).until(lambda _: condition())

    def screen(self, width: int, *, dark: bool = False) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def requested(self) -> list[str]:
        """The URLs that were requested since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]

    def names(self) -> list[str]:
        """The names of the visible models in the table, from top to bottom."""
        names: list[str] = self.run(
            "return [...document.querySelectorAll('#models tbody tr')].filter(row => !row.hidden)"
            ".map(row => row.cells[0].dataset.value)"
        )
        return names

    def give(self, image: Path) -> str:
        """Choose an image in the page, and return the message below it."""
        field = self.find("#image")
        self.run("document.getElementById('state').textContent = ''; arguments[0].value = ''", field)
        field.send_keys(str(image))
        self.wait(
            lambda: self.find("#state").text and not self.find("#state").text.startswith(("Loading", "Predicting"))
        )
        text: str = self.find("#state").text
        return text

    def guesses(self) -> dict[str, float]:
        items = self.driver.find_elements("css selector", "#guesses li")
        return {item.get_attribute("data-label"): float(item.get_attribute("data-probability")) for item in items}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = Chrome(options=options, service=Service(DRIVER))
    yield Browser(driver)
    driver.quit()


@pytest.fixture(scope="module")
def catalogue_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return api.page(tmp_path_factory.mktemp("catalogue") / "site").folder


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A hub with two models that have an ONNX file: one for grayscale and one for color images."""
    folder = tmp_path_factory.mktemp("hub")
    for name in ("resnet8_digits", "resnet20_cifar10"):
        exported, _ = api.export(catalogue().path / name, out=folder / name, data=folder / "no data")
        api.push(exported, hub=f"file:{folder / 'hub'}")
    return f"file:{folder / 'hub'}"


@pytest.fixture(scope="module")
def tried_site(hub: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return api.page(tmp_path_factory.mktemp("tried") / "site", hub=hub, runtime=TRY).folder


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *values: object) -> None:
        pass


@pytest.fixture(params=["file", "http"])
def at(request: pytest.FixtureRequest) -> Iterator[Callable[[Path], str]]:
    """A function that returns the address of a folder: a file, or a URL on a local server."""
    servers: list[ThreadingHTTPServer] = []

    def address(folder: Path) -> str:
        return f"file://{folder}" if request.param == "file" else served(folder, servers)

    yield address
    for server in servers:
        server.shutdown()
        server.server_close()


def served(folder: Path, servers: list[ThreadingHTTPServer]) -> str:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    servers.append(server)
    return f"http://127.0.0.1:{server.server_port}"


# The table.

LARGEST = max(api.overview(pretrained=True), key=lambda row: row.parameters or 0).name


def test_the_table_sorts_and_filters(browser: Browser, catalogue_site: Path, at: Callable[[Path], str]) -> None:
    browser.screen(1280)
    browser.open(f"{at(catalogue_site)}/index.html")
    everything = [row.name for row in api.overview(pretrained=True)]
    assert browser.names() == everything
    head = "#models thead th:nth-child({}) button"
    browser.find(head.format(3)).click()
    assert browser.names()[0] == LARGEST
    browser.find(head.format(3)).click()
    assert browser.names()[0] == "resnet8_digits"
    assert browser.find("#models thead th:nth-child(3)").get_attribute("aria-sort") == "ascending"
    browser.find(head.format(4)).click()
    measured = [row for row in api.overview(pretrained=True) if row.top1 is not None]
    best = [row.name for row in sorted(measured, key=lambda row: -(row.top1 or 0))]
    assert browser.names()[: len(best)] == best
    browser.find("#text").send_keys("akamaster 56")
    assert browser.names() == ["resnet56_cifar10.akamaster"]
    assert browser.find("#count").text == f"1 of {len(everything)} models"
    browser.find("#text").clear()
    browser.find("#dataset").send_keys("digits")
    assert browser.names() == ["resnet8_digits"]


def test_the_table_can_be_used_by_keyboard(browser: Browser, catalogue_site: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.screen(1280)
    browser.open(f"file://{catalogue_site}/index.html")
    focused = "return document.activeElement.id || document.activeElement.textContent.trim()"
    order = []
    for _ in range(5):
        browser.press(Keys.TAB)
        order.append(browser.run(focused))
    assert order == ["text", "dataset", "Model", "Dataset", "Parameters"]
    assert browser.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press(Keys.ENTER)
    assert browser.names()[0] == LARGEST
    for _ in range(4):
        browser.press(Keys.TAB)
    assert browser.run(focused) == LARGEST
    browser.press(Keys.ENTER)
    browser.wait(lambda: browser.driver.title == LARGEST)


# The layout.


def test_no_page_is_wider_than_a_phone(browser: Browser, catalogue_site: Path) -> None:
    browser.screen(390)
    names = json.loads((catalogue_site / "zoo-page.json").read_text())["files"]
    for name in (name for name in names if name.endswith(".html")):
        browser.open(f"file://{catalogue_site / name}")
        assert browser.run("return document.documentElement.scrollWidth") <= 390, name


# Trying a model.


@has_runtime
@pytest.mark.parametrize("name", ["resnet8_digits", "resnet20_cifar10"])
def test_an_image_gets_the_same_probabilities_as_from_predict(
    browser: Browser, tried_site: Path, hub: str, at: Callable[[Path], str], name: str
) -> None:
    browser.screen(1280)
    browser.open(f"{at(tried_site)}/models/{name}.html")
    assert browser.give(PHOTO).startswith("Prediction for photo.png, resized to ")
    (prediction,) = api.predict(name, [PHOTO], hub=hub, runtime="onnx")
    assert browser.guesses() == {
        guess.label: pytest.approx(guess.probability, abs=1e-4) for guess in prediction.guesses
    }


@has_runtime
def test_no_page_makes_a_request_to_another_host(browser: Browser, tried_site: Path, at: Callable[[Path], str]) -> None:
    base = at(tried_site)
    browser.open(f"{base}/index.html")
    requests = browser.requested()
    browser.open(f"{base}/models/resnet8_digits.html")
    browser.give(PHOTO)
    requests += browser.requested()
    assert len([url for url in requests if url.startswith(base)]) >= 8
    assert [url for url in requests if not url.startswith((base, "data:", "blob:"))] == []
    assert [entry["message"] for entry in browser.driver.get_log("browser") if entry["level"] == "SEVERE"] == []


@has_runtime
def test_a_file_that_is_no_image_gives_a_message_and_the_next_image_is_classified(
    browser: Browser, tried_site: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.png").write_text("no image")
    browser.open(f"file://{tried_site}/models/resnet8_digits.html")
    browser.give(PHOTO)
    assert browser.give(tmp_path / "notes.png") == "notes.png can't be read as an image by this browser."
    assert browser.guesses() == {}
    assert browser.give(PHOTO).startswith("Prediction for photo.png")
    assert len(browser.guesses()) == 5


@has_runtime
def test_malicious_class_names_are_escaped_in_the_guesses(browser: Browser, hub: str, tmp_path: Path) -> None:
    from .folders import config_of

    folder = api.pull("resnet8_digits", hub=hub, out=tmp_path / "hub" / "resnet8_digits")
    config_of(folder, classes=[f"{number}<img src=x onerror=alert(1)>" for number in range(10)])
    site = api.page(tmp_path / "site", hub=f"file:{tmp_path / 'hub'}", runtime=TRY).folder
    browser.open(f"file://{site}/models/resnet8_digits.html")
    browser.give(PHOTO)
    assert next(iter(browser.guesses())).endswith("<img src=x onerror=alert(1)>")
    assert browser.run("return document.querySelectorAll('img:not(.drawn)').length") == 0


@has_runtime
@pytest.mark.parametrize("name", ["resnet8_digits", "resnet20_cifar10"])
def test_the_example_page_gives_the_same_probabilities_as_predict(
    browser: Browser, hub: str, tmp_path: Path, name: str
) -> None:
    api.pull(name, hub=hub, out=tmp_path / "model")
    (tmp_path / "package").symlink_to(TRY)
    shutil.copy(CHECKOUT / "examples" / "predict_in_browser.html", tmp_path)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    channels, *size = config["input_size"]
    # The image has the model's size, because a canvas resizes differently.
    Image.open(PHOTO).convert("L" if channels == 1 else "RGB").resize(size).save(tmp_path / "image.png")
    servers: list[ThreadingHTTPServer] = []
    browser.open(f"{served(tmp_path, servers)}/predict_in_browser.html")
    browser.find("input").send_keys(str(tmp_path / "image.png"))
    browser.wait(lambda: browser.find("pre").text)
    lines = [line.split(maxsplit=1) for line in browser.find("pre").text.splitlines()]
    servers[0].shutdown()
    servers[0].server_close()
    (expected,) = api.predict(name, [tmp_path / "image.png"], hub=hub, runtime="onnx")
    assert {label: float(share) for share, label in lines} == {
        guess.label: pytest.approx(guess.probability, abs=1e-4) for guess in expected.guesses
    }
