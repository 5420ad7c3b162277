"""Injects every fault in the first table of docs/hub-faults.md and compares the message with the table."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo
from zoo import api
from zoo.hub.hugging_face import HuggingFaceHub
from zoo.record import store

from .conftest import CHECKOUT
from .folders import config_of, fetched, hashed, publish, without_weights
from .loopback_hub import Account, Cut, File, Hang, Hub, Repository, Status

NAME = "resnet8_digits"
ADDRESS = f"hf://me/{NAME}"
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (CHECKOUT / "docs" / "hub-faults.md").read_text().partition("\n## ")[0].splitlines()
    if line.startswith("| ") and not line.startswith("| fault")
]


@dataclass
class Scene:
    """A Hub with the trained model and an empty cache, and a copy of the model folder. Changes return the scene."""

    hub: Hub
    folder: Path
    tmp_path: Path
    monkeypatch: pytest.MonkeyPatch

    @property
    def repository(self) -> Repository:
        return self.hub.repositories[f"me/{NAME}"]

    def pull(self, name: str = NAME, revision: str | None = None) -> None:
        zoo.load(f"hf://me/{name}", pretrained=True, revision=revision)

    def load(self) -> None:
        zoo.load(self.folder, pretrained=True)

    def train_and_push(self, hub: str = "hf://me") -> None:
        api.train("resnet8", epochs=1, limit_train=64, push=True, hub=hub, out=self.tmp_path / "out")

    def push(self) -> None:
        api.push(self.folder, hub="hf://me")

    def logged_in(self, token: str | None, account: Account | None = None) -> Scene:
        if token is None:
            self.monkeypatch.delenv("HF_TOKEN")
        else:
            self.monkeypatch.setenv("HF_TOKEN", token)
        if token is not None and account is not None:
            self.hub.accounts[token] = account
        return self

    def variable(self, name: str, value: str) -> Scene:
        self.monkeypatch.setenv(name, value)
        return self

    def answering(self, method: str, path: str, action: Status | Cut | Hang) -> Scene:
        self.hub.fail(method, path, action)
        return self

    def repository_is(self, **state: bool) -> Scene:
        for name, value in state.items():
            setattr(self.repository, name, value)
        return self

    def committed(self, change: Callable[[dict[str, File]], object]) -> Scene:
        files = dict(self.repository.commits[-1].files)
        change(files)
        self.repository.commit("change files", files)
        return self

    def weights(self, change: Callable[[dict[str, torch.Tensor]], object]) -> Scene:
        """Change the folder's weights and their recorded hash."""
        tensors = load_file(self.folder / store.WEIGHTS)
        change(tensors)
        save_file(tensors, self.folder / store.WEIGHTS)
        hashed(self.folder)
        return self

    def config(self, text: str | None = None, **fields: object) -> Scene:
        if text is not None:
            (self.folder / store.CONFIG).write_text(text)
        else:
            config_of(self.folder, **fields)
        return self

    def field(self, name: str) -> Any:
        """A field of the folder's record."""
        return json.loads((self.folder / store.CONFIG).read_text())[name]

    def without_weights(self) -> Scene:
        without_weights(self.folder, f"{ADDRESS}/model.safetensors")
        return self

    def pull_in_a_process(self, **environment: str) -> None:
        """Pull in a process with another environment, and raise its error here."""
        command = [sys.executable, "-m", "zoo", "pull", ADDRESS, "--out", str(self.tmp_path / "pulled")]
        finished = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
        assert finished.returncode == 1
        raise zoo.ZooError(finished.stderr.removeprefix("zoo: ").removesuffix("\n"))


@pytest.fixture
def scene(hub: Hub, trained: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    publish(HuggingFaceHub("me"), trained)
    return Scene(hub, model_folder, tmp_path, monkeypatch)


def time_out(at: Scene) -> None:
    at.monkeypatch.setattr("zoo.hub.hugging_face.TIMEOUT", 0.5)
    at.answering("HEAD", "/resolve/", Hang()).pull()


def moving_head(at: Scene) -> None:
    at.repository.commits.pop()
    at.answering("POST", "/commit/", Status(412)).push()


def flip_weights(files: dict[str, File]) -> None:
    content = files[store.WEIGHTS].content
    files[store.WEIGHTS] = File(content[:-1] + bytes([content[-1] ^ 1]), lfs=True)


def disk_full(at: Scene) -> None:
    def no_room(*arguments: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    at.monkeypatch.setattr("huggingface_hub.file_download.http_get", no_room)  # stands for a full disk
    at.pull()


def lying_header(at: Scene) -> None:
    content = (at.folder / store.WEIGHTS).read_bytes()
    (at.folder / store.WEIGHTS).write_bytes((2**40).to_bytes(8, "little") + content[8:])
    hashed(at.folder)
    at.load()


def config_changed_in_cache(at: Scene) -> None:
    commit = at.repository.commits[-1].oid
    at.pull(revision=commit)
    config_of(fetched(HuggingFaceHub("me"), NAME, commit), license="mine")
    at.hub.stop()
    at.pull(revision=commit)


def server_down(at: Scene) -> None:
    at.hub.stop()
    at.pull()


def digits_of_two(at: Scene) -> None:
    at.repository.tags |= {f"aaaa{digit * 60}": at.repository.commits[-1].oid for digit in "bc"}
    at.pull(revision="aaaa")


def link_out(at: Scene) -> None:
    (at.folder / store.LOG).rename(at.tmp_path / "secret")
    (at.folder / store.LOG).symlink_to(at.tmp_path / "secret")
    at.push()


def missing_plugin(at: Scene) -> None:
    job = at.field("job") | {"architecture": "other"}
    at.config(name="other_digits", architecture="other", job=job).load()


def teacher_here(at: Scene) -> None:
    teacher = {"address": "./teacher", "sha256": "0" * 64}
    at.config(job=at.field("job") | {"teacher": teacher}).push()


def config_with_a_path(at: Scene) -> None:
    files = at.field("files")
    at.config(files=files | {"../../secret": files[store.LOG]}).load()


def refused_card(at: Scene) -> None:
    at.config(license="mine")
    api.push(at.folder, hub="hf://me")


def other_order(at: Scene) -> None:
    at.config(classes=list("9876543210"))
    api.push(at.folder, hub="hf://me")


def not_finite(at: Scene) -> None:
    at.weights(lambda tensors: tensors.update({"fc.bias": torch.full((10,), torch.nan)}))
    api.push(at.folder, hub="hf://me")


def half_written_revision(at: Scene) -> None:
    hub = f"file:{at.tmp_path / 'hub'}"
    api.push(at.folder, hub=hub)
    (api.find(f"{hub}/{NAME}") / store.WEIGHTS).unlink()
    api.pull(NAME, hub=hub, out=at.tmp_path / "pulled")


INJECTED: dict[str, Callable[[Scene], None]] = {
    "no token": lambda at: at.logged_in(None).train_and_push(),
    "bad token": lambda at: at.logged_in("hf_nobody").train_and_push(),
    "read-only token": lambda at: at.logged_in("hf_secret", Account("me", "read")).train_and_push(),
    "namespace of another account": lambda at: at.train_and_push("hf://you"),
    "invalid name": lambda at: HuggingFaceHub("me").require_writable("resnet--8_digits"),
    "private repository": lambda at: at.repository_is(private=True).logged_in(None).pull(),
    "gated repository": lambda at: at.repository_is(gated=True).logged_in("hf_secret", Account("you")).pull(),
    "missing repository": lambda at: at.pull("nothing_digits"),
    "missing revision": lambda at: at.pull(revision="v9"),
    "missing file": lambda at: at.committed(lambda files: files.pop(store.WEIGHTS)).pull(),
    "server down": server_down,
    "time-out": time_out,
    "429": lambda at: at.answering("HEAD", ".*", Status(429)).pull(),
    "500": lambda at: at.answering("HEAD", ".*", Status(500)).pull(),
    "broken connection": lambda at: at.answering("GET", r"/resolve/.*/model\.safetensors", Cut(1000)).pull(),
    "every commit refused": moving_head,
    "hash mismatch": lambda at: at.committed(flip_weights).pull(),
    "disk full": disk_full,
    "read-only cache": lambda at: at.pull_in_a_process(HF_HOME="/sys/zoo-cache"),  # not even root may write there
    "offline, not cached": lambda at: at.pull_in_a_process(HF_HUB_OFFLINE="1", HF_HOME=str(at.tmp_path / "empty")),
    "missing tensor": lambda at: at.weights(lambda tensors: tensors.pop("fc.bias")).load(),
    "extra tensor": lambda at: at.weights(lambda tensors: tensors.update(more=torch.zeros(1))).load(),
    "wrong tensor shape": lambda at: at.weights(lambda tensors: tensors.update({"fc.bias": torch.zeros(3)})).load(),
    "wrong header of the weights": lying_header,
    "invalid JSON": lambda at: at.config("{").load(),
    "missing fields": lambda at: at.config(json.dumps({"name": NAME})).load(),
    "path in config.json": config_with_a_path,
    "changed record in the cache": config_changed_in_cache,
    "ambiguous digits": digits_of_two,
    "token that is not ASCII": lambda at: at.logged_in("hf_é").pull(),
    "invalid endpoint": lambda at: at.variable("HF_ENDPOINT", "nonsense").pull(),
    "address that is not trusted": lambda at: at.without_weights().load(),
    "push without weights": lambda at: at.without_weights().push(),
    "link to another folder": link_out,
    "local teacher": teacher_here,
    "other classes": lambda at: at.config(classes=list("abcdefghij")).load(),
    "missing plugin": missing_plugin,
    "invalid card": refused_card,
    "classes in another order": other_order,
    "weights with NaN": not_finite,
    "incomplete revision": half_written_revision,
}


def test_every_row_has_a_fault_to_inject() -> None:
    assert [row[0] for row in ROWS] == list(INJECTED)


@pytest.mark.parametrize("page", ["hub-faults.md", "others.md"])
def test_every_test_that_a_page_names_exists(page: str) -> None:
    named = set(re.findall(r"`(test_\w+)`", (CHECKOUT / "docs" / page).read_text()))
    files = Path(__file__).parent.glob("test_*.py")
    written = {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text())}
    assert named
    assert named <= written


@pytest.mark.parametrize(("fault", "seen"), [(row[0], row[2]) for row in ROWS], ids=[row[0] for row in ROWS])
def test_the_message_is_that_of_the_table(scene: Scene, fault: str, seen: str) -> None:
    with pytest.raises(zoo.ZooError) as caught:
        INJECTED[fault](scene)
    message = str(caught.value)
    assert re.fullmatch(".+".join(map(re.escape, seen.split("…"))), message), message
    assert "hf_" not in message
    assert not (scene.tmp_path / "out.run").exists()
