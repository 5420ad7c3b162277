"""Fault by fault, what a person sees: the first table of docs/hub-faults.md, each row injected and read back."""

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

import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo
from zoo import api
from zoo.hub.hugging_face import HuggingFaceHub
from zoo.record import store

from .conftest import CHECKOUT
from .folders import config_of, fetched, hashed, publish, without_weights
from .loopback_hub import Account, Cut, File, Hang, Hub, Status

NAME = "resnet8_digits"
PLACE = f"hf://me/{NAME}"
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (CHECKOUT / "docs" / "hub-faults.md").read_text().partition("\n## ")[0].splitlines()
    if line.startswith("| ") and not line.startswith("| fault")
]


@dataclass
class Scene:
    """Where a fault happens: a Hub with the trained model in it and nothing cached, and a copy of the folder."""

    hub: Hub
    folder: Path
    tmp_path: Path
    monkeypatch: pytest.MonkeyPatch

    def pull(self, name: str = NAME, revision: str | None = None) -> None:
        zoo.load(f"hf://me/{name}", pretrained=True, revision=revision)

    def load(self) -> None:
        zoo.load(self.folder, pretrained=True)

    def push(self, hub: str = "hf://me") -> None:
        api.train("resnet8", epochs=1, limit_train=64, push=True, hub=hub, out=self.tmp_path / "out")

    def token(self, account: Account | None) -> None:
        if account is None:
            self.monkeypatch.delenv("HF_TOKEN")
        else:
            self.hub.accounts["hf_secret"] = account
            self.monkeypatch.setenv("HF_TOKEN", "hf_secret")

    def weights(self, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
        """Give the folder other weights, hashed as they should be."""
        tensors = load_file(self.folder / store.WEIGHTS)
        change(tensors)
        save_file(tensors, self.folder / store.WEIGHTS)
        self.hash_again()

    def hash_again(self) -> None:
        hashed(self.folder)

    def config(self, **fields: object) -> None:
        config_of(self.folder, **fields)

    def in_a_process(self, **environment: str) -> None:
        """Load in a process with another environment, and fail here as it failed there."""
        command = [sys.executable, "-m", "zoo", "pull", PLACE, "--out", str(self.tmp_path / "pulled")]
        finished = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
        assert finished.returncode == 1
        raise zoo.ZooError(finished.stderr.removeprefix("zoo: ").removesuffix("\n"))


@pytest.fixture
def scene(hub: Hub, trained: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    publish(HuggingFaceHub("me"), trained)
    return Scene(hub, model_folder, tmp_path, monkeypatch)


def no_token(at: Scene) -> None:
    at.token(None)
    at.push()


def bad_token(at: Scene) -> None:
    at.monkeypatch.setenv("HF_TOKEN", "hf_nobody")
    at.push()


def read_only_token(at: Scene) -> None:
    at.token(Account("me", "read"))
    at.push()


def anothers_namespace(at: Scene) -> None:
    at.push("hf://you")


def refused_name(at: Scene) -> None:
    HuggingFaceHub("me").require_writable("resnet--8_digits")


def private_repository(at: Scene) -> None:
    at.hub.repositories[f"me/{NAME}"].private = True
    at.token(None)
    at.pull()


def gated_repository(at: Scene) -> None:
    at.hub.repositories[f"me/{NAME}"].gated = True
    at.token(Account("you"))
    at.pull()


def missing_repository(at: Scene) -> None:
    at.pull("nothing_digits")


def missing_revision(at: Scene) -> None:
    at.pull(revision="v9")


def missing_file(at: Scene) -> None:
    repository = at.hub.repositories[f"me/{NAME}"]
    repository.commit("lose them", {k: v for k, v in repository.commits[-1].files.items() if k != store.WEIGHTS})
    at.pull()


def server_down(at: Scene) -> None:
    at.hub.stop()
    at.pull()


def time_out(at: Scene) -> None:
    at.monkeypatch.setattr("zoo.hub.hugging_face.TIMEOUT", 0.5)
    at.hub.fail("HEAD", "/resolve/", Hang())
    at.pull()


def too_many_requests(at: Scene) -> None:
    at.hub.fail("HEAD", ".*", Status(429))
    at.pull()


def server_error(at: Scene) -> None:
    at.hub.fail("HEAD", ".*", Status(500))
    at.pull()


def cut_off(at: Scene) -> None:
    at.hub.fail("GET", r"/resolve/.*/model\.safetensors", Cut(1000))
    at.pull()


def moving_head(at: Scene) -> None:
    at.hub.repositories[f"me/{NAME}"].commits.pop()
    at.hub.fail("POST", "/commit/", Status(412))
    api.push(at.folder, hub="hf://me")


def hash_mismatch(at: Scene) -> None:
    repository = at.hub.repositories[f"me/{NAME}"]
    files = dict(repository.commits[-1].files)
    content = files[store.WEIGHTS].content
    files[store.WEIGHTS] = File(content[:-1] + bytes([content[-1] ^ 1]), lfs=True)
    repository.commit("damage the weights", files)
    at.pull()


def disk_full(at: Scene) -> None:
    def no_room(*arguments: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    at.monkeypatch.setattr("huggingface_hub.file_download.http_get", no_room)  # a full disk can't be had here
    at.pull()


def read_only_cache(at: Scene) -> None:
    at.in_a_process(HF_HOME="/sys/zoo-cache")  # where not even root may make a folder


def offline(at: Scene) -> None:
    at.in_a_process(HF_HUB_OFFLINE="1", HF_HOME=str(at.tmp_path / "empty"))


def missing_tensor(at: Scene) -> None:
    at.weights(lambda tensors: tensors.__delitem__("fc.bias"))
    at.load()


def extra_tensor(at: Scene) -> None:
    at.weights(lambda tensors: tensors.update(more=torch.zeros(1)))
    at.load()


def misshaped_tensor(at: Scene) -> None:
    at.weights(lambda tensors: tensors.update({"fc.bias": torch.zeros(3)}))
    at.load()


def lying_header(at: Scene) -> None:
    content = (at.folder / store.WEIGHTS).read_bytes()
    (at.folder / store.WEIGHTS).write_bytes((2**40).to_bytes(8, "little") + content[8:])
    at.hash_again()
    at.load()


def config_not_json(at: Scene) -> None:
    (at.folder / store.CONFIG).write_text("{")
    at.load()


def config_without_fields(at: Scene) -> None:
    (at.folder / store.CONFIG).write_text(json.dumps({"name": NAME}))
    at.load()


def config_with_a_path(at: Scene) -> None:
    files = json.loads((at.folder / store.CONFIG).read_text())["files"]
    at.config(files={**files, "../../secret": files[store.LOG]})
    at.load()


def config_changed_in_cache(at: Scene) -> None:
    commit = at.hub.repositories[f"me/{NAME}"].commits[-1].oid
    at.pull(revision=commit)
    config_of(fetched(HuggingFaceHub("me"), NAME, commit), license="mine")
    at.hub.stop()
    at.pull(revision=commit)


def digits_of_two(at: Scene) -> None:
    repository = at.hub.repositories[f"me/{NAME}"]
    repository.tags |= {f"aaaa{digit * 60}": repository.commits[-1].oid for digit in "bc"}
    at.pull(revision="aaaa")


def odd_token(at: Scene) -> None:
    at.monkeypatch.setenv("HF_TOKEN", "hf_é")
    at.pull()


def endpoint_that_is_none(at: Scene) -> None:
    at.monkeypatch.setenv("HF_ENDPOINT", "nonsense")
    at.pull()


def address_unallowed(at: Scene) -> None:
    without_weights(at.folder, f"{PLACE}/model.safetensors")
    at.load()


def push_without_weights(at: Scene) -> None:
    without_weights(at.folder, f"{PLACE}/model.safetensors")
    api.push(at.folder, hub="hf://me")


def link_out(at: Scene) -> None:
    (at.folder / store.LOG).rename(at.tmp_path / "secret")
    (at.folder / store.LOG).symlink_to(at.tmp_path / "secret")
    api.push(at.folder, hub="hf://me")


def teacher_here(at: Scene) -> None:
    job = json.loads((at.folder / store.CONFIG).read_text())["job"]
    at.config(job={**job, "teacher": {"address": "./teacher", "sha256": "0" * 64}})
    api.push(at.folder, hub="hf://me")


def other_classes(at: Scene) -> None:
    at.config(classes=list("abcdefghij"))
    at.load()


def missing_plugin(at: Scene) -> None:
    job = json.loads((at.folder / store.CONFIG).read_text())["job"]
    at.config(name="other_digits", architecture="other", job={**job, "architecture": "other"})
    at.load()


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
    "no token": no_token,
    "bad token": bad_token,
    "read-only token": read_only_token,
    "another's namespace": anothers_namespace,
    "name that the Hub refuses": refused_name,
    "private repository": private_repository,
    "gated repository": gated_repository,
    "missing repository": missing_repository,
    "missing revision": missing_revision,
    "missing file": missing_file,
    "server down": server_down,
    "time-out": time_out,
    "429": too_many_requests,
    "500": server_error,
    "cut-off in mid-file": cut_off,
    "head that keeps moving": moving_head,
    "hash mismatch": hash_mismatch,
    "disk full": disk_full,
    "read-only cache": read_only_cache,
    "offline, not cached": offline,
    "missing tensor": missing_tensor,
    "extra tensor": extra_tensor,
    "mis-shaped tensor": misshaped_tensor,
    "lying header": lying_header,
    "config.json that is not JSON": config_not_json,
    "config.json without fields": config_without_fields,
    "config.json with a path": config_with_a_path,
    "config.json changed in the cache": config_changed_in_cache,
    "digits of two revisions": digits_of_two,
    "token of odd characters": odd_token,
    "endpoint that is none": endpoint_that_is_none,
    "address that nobody allowed": address_unallowed,
    "push without weights": push_without_weights,
    "link out of the folder": link_out,
    "teacher on this machine": teacher_here,
    "classes of another data set": other_classes,
    "plugin that is not installed": missing_plugin,
    "card that the Hub refuses": refused_card,
    "classes in another order": other_order,
    "weights that are not finite": not_finite,
    "half-written revision": half_written_revision,
}


def test_every_row_is_injected() -> None:
    assert [row[0] for row in ROWS] == list(INJECTED)


@pytest.mark.parametrize("page", ["hub-faults.md", "others.md"])
def test_every_test_that_a_page_names_is_one(page: str) -> None:
    named = set(re.findall(r"`(test_\w+)`", (CHECKOUT / "docs" / page).read_text()))
    files = Path(__file__).parent.glob("test_*.py")
    written = {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text())}
    assert named
    assert named <= written


@pytest.mark.parametrize(("fault", "seen"), [(row[0], row[2]) for row in ROWS], ids=[row[0] for row in ROWS])
def test_the_fault_is_seen_as_the_table_says(scene: Scene, fault: str, seen: str) -> None:
    with pytest.raises(zoo.ZooError) as caught:
        INJECTED[fault](scene)
    message = str(caught.value)
    assert re.fullmatch(".+".join(map(re.escape, seen.split("…"))), message), message
    assert "\n" not in message
    assert "hf_" not in message
    assert not (scene.tmp_path / "out.run").exists()
