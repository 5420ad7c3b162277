"""A hypothesis state machine of ordinary use: training, pushing, pulling, damaging, renaming and resuming models.

The rules of `Journey` are actions of a person. It keeps the expected state in plain values, and its invariants compare
folders and hubs with them after each rule.
"""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import safetensors.torch
import torch
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)
from hypothesis.stateful import consumes as taken_from
from torch import nn

import zoo
from zoo import api
from zoo.errors import Interrupted
from zoo.hub.resolve import published
from zoo.training.reporting import Report

from .conftest import Run
from .test_train import StopAfter

NAME: Final = "resnet8_digits"
WEIGHTS: Final = "model.safetensors"
NOTES: Final = ("notes.txt", "pictures/cat.txt")  # files that the person adds
Config = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """The options that determine the weights of a training, and the address of its start weights."""

    seed: int
    start: str = ""
    start_sha256: str = ""

    @property
    def options(self) -> tuple[int, str]:
        return self.seed, self.start

    def train(
        self,
        out: Path,
        *,
        resume: bool = False,
        overwrite: bool = False,
        stop: bool = False,
        report: Report | None = None,
    ) -> api.Trained:
        """Train; with `stop`, interrupt the training after two of four steps."""
        return zoo.train(
            NAME,
            out=out,
            seed=self.seed,
            start=self.start or None,
            epochs=1,
            limit_train=64,
            settings={"batch_size": 16},
            device="cpu",
            amp=False,
            resume=resume,
            overwrite=overwrite,
            report=StopAfter(2) if stop else report,
        )


JOBS: Final = tuple(Job(seed) for seed in range(4))


class Reference:
    """The weights of every job, from its first training."""

    def __init__(self, folder: Path) -> None:
        self.folders = [job.train(folder / f"seed{job.seed}").folder for job in JOBS]
        self._weights: dict[tuple[int, str], bytes] = {}
        for job, trained in zip(JOBS, self.folders, strict=True):
            self.require(job, trained)

    def require(self, job: Job, folder: Path) -> None:
        """Require that a folder has the weights of a job, byte for byte."""
        content = (folder / WEIGHTS).read_bytes()
        assert self._weights.setdefault((job.seed, job.start_sha256), content) == content, f"{job} gave other weights"

    def require_net(self, net: nn.Module, config: Config) -> None:
        """Require that a net has the weights of a record."""
        named = config["files"][WEIGHTS]["sha256"]
        content = next(weights for weights in self._weights.values() if sha256(weights) == named)
        state = net.state_dict()
        assert all(torch.equal(state[name], tensor) for name, tensor in safetensors.torch.load(content).items())


@dataclass
class Folder:
    """The expected content of a model folder: its job, its record, and files that the person added."""

    job: Job
    config: Config
    own: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Hub:
    """The expected content of a folder hub: pushed revisions, newest last, and files that the person added."""

    path: Path
    pushed: dict[str, tuple[Job, Config]] = field(default_factory=dict)  # by id
    own: dict[str, bytes] = field(default_factory=dict)
    damaged: bool = False  # whether the copy of the newest revision was changed

    @property
    def address(self) -> str:
        return f"file:{self.path}"

    @property
    def model(self) -> str:
        return f"{self.address}/{NAME}"

    @property
    def copy(self) -> Path:
        return self.path / NAME

    @property
    def head(self) -> Config:
        return next(reversed(self.pushed.values()))[1]

    def revision(self, number: int) -> str:
        """The id of a pushed revision; 0 is the newest."""
        revisions = list(reversed(self.pushed))
        return revisions[number % len(revisions)]


@dataclass(frozen=True)
class Unfinished:
    """An unfinished run: its job, the license of its start, and its checkpoint's hash."""

    job: Job
    license: str
    checkpoint: str


HUBS: Final = ("here", "there")
folders: Bundle[str] = Bundle("folders")
hubs: Final = st.sampled_from(HUBS)
numbers: Final = st.integers(0, 5)
by_command: Final = st.booleans()


class Journey(RuleBasedStateMachine):
    """Starts with three trained model folders, pushed to two hubs."""

    steps = 0  # in all journeys

    def __init__(self, root: Path, reference: Reference, zoo_command: Run) -> None:
        super().__init__()
        self.root, self.reference, self.command = root, reference, zoo_command
        self.folders: dict[str, Folder] = {}
        self.hubs = {name: Hub(root / name) for name in HUBS}
        self.earlier: list[Hub] = []  # hubs that were copied and are no longer pushed to
        self.runs: dict[str, Unfinished] = {}
        self.made = 0
        root.mkdir()

    @initialize(target=folders)
    def trained_and_pushed_before(self) -> MultipleResults[str]:
        names = []
        for job, source in zip(JOBS[:3], self.reference.folders, strict=False):
            name = f"seed{job.seed}"
            shutil.copytree(source, self.root / name)
            self.folders[name] = Folder(job, read(self.root / name))
            names.append(name)
        for name, hub in zip(names, ("here", "here", "there"), strict=True):
            self.push(name, hub)
        return multiple(*names)

    # -- publishing --------------------------------------------------------------------------------

    @rule(folder=folders, hub=hubs, license=st.sampled_from([None, "mit", "cc0-1.0"]), by_command=by_command)
    def push_a_folder(self, folder: str, hub: str, license: str | None, by_command: bool) -> None:
        self.push(folder, hub, license, by_command=by_command)

    def push(self, folder: str, hub: str, license: str | None = None, *, by_command: bool = False) -> None:
        source, target = self.folders[folder], self.hubs[hub]
        if license is not None:
            source.config = {**source.config, "license": license}
        revision = identity(source.config)
        if by_command:
            words = ["--license", license] if license else []
            self.run("push", self.root / folder, "--hub", target.address, *words)
        else:
            assert zoo.push(self.root / folder, hub=target.address, license=license).revision == revision
        target.pushed.pop(revision, None)
        target.pushed[revision] = source.job, source.config
        target.damaged = False

    @rule(folder=folders, hub=hubs, file=st.sampled_from([WEIGHTS, "config.json", "log.jsonl"]))
    def push_a_damaged_folder(self, folder: str, hub: str, file: str) -> None:
        path = self.root / folder / file
        content = path.read_bytes()
        damage(path)
        refused(lambda: zoo.push(self.root / folder, hub=self.hubs[hub].address))
        refused(lambda: zoo.push(self.root / folder, hub=self.hubs[hub].address, license="mit"))
        path.write_bytes(content)

    @rule(hub=hubs, file=st.sampled_from([WEIGHTS, "config.json", "log.jsonl", "curve.svg"]), removed=st.booleans())
    def damage_the_copy_in_a_hub(self, hub: str, file: str, removed: bool) -> None:
        path = self.hubs[hub].copy / file
        if path.exists():
            path.unlink() if removed else damage(path)
            self.hubs[hub].damaged = True

    @rule(hub=hubs, number=numbers, file=st.sampled_from([WEIGHTS, "config.json", "log.jsonl"]))
    def damage_a_revision_and_push_it_again(self, hub: str, number: int, file: str) -> None:
        target = self.hubs[hub]
        revision, name = target.revision(number), self.new_name("repaired")
        zoo.pull(target.model, revision=revision, out=self.root / name)
        damage(target.copy / ".revisions" / revision / file)
        refused(partial(zoo.verify, target.model, revision=revision))
        self.folders[name] = Folder(*target.pushed[revision])
        self.push(name, hub)
        shutil.rmtree(self.root / name)
        del self.folders[name]

    @precondition(lambda self: len(self.earlier) < 2)
    @rule(hub=hubs)
    def copy_a_hub_and_use_the_copy(self, hub: str) -> None:
        before = self.hubs[hub]
        after = self.hubs[hub] = copy.deepcopy(before)
        after.path = self.root / self.new_name(hub)
        shutil.copytree(before.path, after.path)
        self.earlier.append(before)

    # -- reading -----------------------------------------------------------------------------------

    @rule(target=folders, hub=hubs, number=numbers, digits=st.sampled_from([12, 64]), by_command=by_command)
    def pull(self, hub: str, number: int, digits: int, by_command: bool) -> str:
        source = self.hubs[hub]
        revision, name = source.revision(number), self.new_name("pulled")
        if by_command:
            self.run("pull", f"{source.model}@{revision[:digits]}", "--out", self.root / name)
        else:
            zoo.pull(source.model, revision=revision[:digits] if number else None, out=self.root / name)
        self.folders[name] = Folder(*source.pushed[revision])
        return name

    @rule(folder=folders, hub=hubs, number=numbers)
    def pull_over_a_folder(self, folder: str, hub: str, number: int) -> None:
        revision = self.hubs[hub].revision(number)
        pull = partial(zoo.pull, self.hubs[hub].model, revision=revision, out=self.root / folder)
        if identity(self.folders[folder].config) == revision:
            pull()
        else:
            refused(pull)

    @rule(hub=hubs, number=numbers, threads=st.sampled_from([1, 4]))
    def load(self, hub: str, number: int, threads: int) -> None:
        source, revision = self.hubs[hub], self.hubs[hub].revision(number)
        with ThreadPoolExecutor(threads) as pool:
            calls = [pool.submit(zoo.load, source.model, True, revision=revision) for _ in range(threads)]
        for call in calls:
            self.reference.require_net(call.result(), source.pushed[revision][1])
        refused(lambda: zoo.load(source.model, True, revision="ffff"))

    @rule(folder=folders)
    def load_a_folder(self, folder: str) -> None:
        self.reference.require_net(zoo.load(self.root / folder, pretrained=True), self.folders[folder].config)

    @rule(folder=folders, hub=hubs)
    def push_while_another_person_loads(self, folder: str, hub: str) -> None:
        config, model = self.hubs[hub].head, published(self.hubs[hub].model)
        self.push(folder, hub)
        self.reference.require_net(model.net(), config)
        assert sha256(model.read("log.jsonl")) == config["files"]["log.jsonl"]["sha256"]

    @rule(hub=hubs)
    def list_by_command(self, hub: str) -> None:
        assert f"{top1_of(self.hubs[hub].head):.2f}%" in self.run("list", "--hub", self.hubs[hub].address)

    @rule(hub=hubs, number=numbers)
    def info(self, hub: str, number: int) -> None:
        source, revision = self.hubs[hub], self.hubs[hub].revision(number)
        config, (_, expected) = zoo.info(f"{source.model}@{revision}").config, source.pushed[revision]
        assert config is not None
        assert config.results is not None
        assert (config.results.test_top1, config.license) == (top1_of(expected), expected["license"])

    @rule(hub=hubs, by_command=by_command)
    def verify(self, hub: str, by_command: bool) -> None:
        if by_command:
            self.run("verify", self.hubs[hub].model)
        else:
            assert zoo.verify(self.hubs[hub].model).outcome == "as published"

    # -- files -------------------------------------------------------------------------------------

    @rule(folder=folders, file=st.sampled_from(NOTES))
    def put_a_file_into_a_folder(self, folder: str, file: str) -> None:
        self.folders[folder].own[file] = written(self.root / folder / file)

    @rule(hub=hubs, file=st.sampled_from(NOTES))
    def put_a_file_into_a_hub(self, hub: str, file: str) -> None:
        self.hubs[hub].own[file] = written(self.hubs[hub].copy / file)

    @rule(folder=folders)
    def take_the_files_out_again(self, folder: str) -> None:
        for file in self.folders[folder].own:
            (self.root / folder / file).unlink()
        shutil.rmtree(self.root / folder / "pictures", ignore_errors=True)
        self.folders[folder].own.clear()

    @rule(target=folders, folder=taken_from(folders))
    def rename(self, folder: str) -> str:
        name = self.new_name("renamed")
        (self.root / folder).rename(self.root / name)
        self.folders[name] = self.folders.pop(folder)
        return name

    @rule(target=folders, folder=folders)
    def copy_a_folder(self, folder: str) -> str:
        name = self.new_name("copied")
        shutil.copytree(self.root / folder, self.root / name)
        self.folders[name] = copy.deepcopy(self.folders[folder])
        return name

    # -- training ----------------------------------------------------------------------------------

    @rule(folder=folders)
    def resume_what_is_finished(self, folder: str) -> None:
        job, begun = self.folders[folder].job, self.runs.get(folder)
        resume = partial(job.train, self.root / folder, resume=True)
        if self.folders[folder].own:
            refused(resume)
        elif begun is not None and begun.job != job and begun.job.options == job.options:
            self.complete(folder)  # with another revision of the start weights
        else:
            resume()
            if begun is not None and begun.job == job:
                del self.runs[folder]

    @rule(folder=folders, job=st.sampled_from(JOBS[2:]))
    def begin_again_and_interrupt(self, folder: str, job: Job) -> None:
        self.interrupt(folder, job, self.folders[folder].config["license"])

    @rule(folder=folders, hub=hubs)
    def begin_a_fine_tuning_and_interrupt(self, folder: str, hub: str) -> None:
        model, config = self.hubs[hub].model, self.hubs[hub].head
        self.interrupt(folder, Job(0, model, config["files"][WEIGHTS]["sha256"]), config["license"])

    def interrupt(self, folder: str, job: Job, license: str) -> None:
        begin = partial(job.train, self.root / folder, overwrite=True, stop=True)
        if self.folders[folder].own:
            refused(begin)
        else:
            with pytest.raises(Interrupted):
                begin()
            self.runs[folder] = Unfinished(job, license, self.checkpoint(folder))

    @precondition(lambda self: self.runs)
    @rule(target=folders, number=numbers)
    def complete_a_run(self, number: int) -> MultipleResults[str]:
        return self.complete(sorted(self.runs)[number % len(self.runs)])

    @precondition(lambda self: any(begun.job.start for begun in self.runs.values()))
    @rule(target=folders, number=numbers, folder=folders)
    def complete_a_fine_tuning_after_a_push_to_its_start(self, number: int, folder: str) -> MultipleResults[str]:
        fine_tunings = sorted(name for name, begun in self.runs.items() if begun.job.start)
        name = fine_tunings[number % len(fine_tunings)]
        for hub in HUBS:
            if self.hubs[hub].model == self.runs[name].job.start:
                self.push(folder, hub)
        return self.complete(name)

    def complete(self, name: str) -> MultipleResults[str]:
        begun, before = self.runs[name], self.folders.get(name)
        if before is not None and before.own:
            refused(lambda: begun.job.train(self.root / name, resume=True))
            return multiple()
        begun.job.train(self.root / name, resume=True)
        del self.runs[name]
        config = read(self.root / name)
        self.reference.require(begun.job, self.root / name)
        if begun.job.start:
            assert config["license"] == begun.license
        self.folders[name] = Folder(begun.job, config)
        return multiple() if before is not None else multiple(name)

    @rule(target=folders, job=st.sampled_from(JOBS))
    def train_twice_at_once(self, job: Job) -> str:
        name, other = self.new_name("trained"), self.root / self.new_name("refused")
        report = Meanwhile(lambda: JOBS[1].train(other))
        job.train(self.root / name, report=report)
        assert isinstance(report.error, zoo.ZooError), "a second training at once was not refused"
        self.reference.require(job, self.root / name)
        self.folders[name] = Folder(job, read(self.root / name))
        return name

    @rule(target=folders, hub=hubs, number=numbers)
    def reproduce(self, hub: str, number: int) -> MultipleResults[str]:
        source, revision = self.hubs[hub], self.hubs[hub].revision(number)
        name = self.new_name("reproduced")
        job, config = source.pushed[revision]
        again = partial(zoo.reproduce, source.model, revision=revision, out=self.root / name, device="cpu")
        if job.start:  # the address in a record is used only if ZOO_TRUST lists it
            refused(again)
            return multiple()
        again()
        self.folders[name] = Folder(job, read(self.root / name))
        assert self.folders[name].config["license"] == config["license"]
        return multiple(name)

    # -- invariants --------------------------------------------------------------------------------

    @invariant()
    def hubs_have_what_was_pushed(self) -> None:
        for hub in (*self.hubs.values(), *self.earlier):
            rows = api.overview(hub=hub.address)
            assert [(row.name, row.top1, row.license) for row in rows] == [
                (NAME, top1_of(hub.head), hub.head["license"])
            ]
            assert zoo.hub.open_hub(hub.address).revisions(NAME) == list(reversed(hub.pushed))
            for revision, (job, config) in hub.pushed.items():
                model = published(hub.model, revision=revision)
                require_whole(model.folder, config)
                self.reference.require(job, model.folder)
            if not hub.damaged:
                require_whole(hub.copy, hub.head)
            require_files(hub.copy, hub.own)
            assert listed(hub.path) == [NAME]

    @invariant()
    def folders_have_their_models_and_the_persons_files(self) -> None:
        for name, expected in self.folders.items():
            require_whole(self.root / name, expected.config)
            self.reference.require(expected.job, self.root / name)
            require_files(self.root / name, expected.own)

    @invariant()
    def checkpoints_wait_for_their_training(self) -> None:
        for name, begun in self.runs.items():
            assert self.checkpoint(name) == begun.checkpoint

    @invariant()
    def nothing_else_is_there(self) -> None:
        used = [hub.path.name for hub in (*self.hubs.values(), *self.earlier)]
        assert listed(self.root) == sorted([*self.folders, *(f"{name}.run" for name in self.runs), *used])

    @invariant()
    def one_step_more(self) -> None:
        Journey.steps += 1

    # -- helpers -----------------------------------------------------------------------------------

    def new_name(self, kind: str) -> str:
        self.made += 1
        return f"{kind}-{self.made}"

    def run(self, *words: str | Path) -> str:
        process = self.command(*words)
        assert process.returncode == 0, process.stderr
        return process.stdout

    def checkpoint(self, name: str) -> str:
        return sha256((self.root / f"{name}.run" / "checkpoint.pt").read_bytes())

    def teardown(self) -> None:
        shutil.rmtree(self.root)


class Meanwhile(Report):
    """Runs a call in another thread when a training begins."""

    def __init__(self, other: Callable[[], object]) -> None:
        self.other = other
        self.error: BaseException | None = None

    def start(self, epochs: int, images: int, finished: int) -> None:
        with ThreadPoolExecutor(1) as pool:
            self.error = pool.submit(self.other).exception()


def refused(call: Callable[[], object]) -> None:
    """Require that a call is refused."""
    with pytest.raises(zoo.ZooError) as error:
        call()
    assert not isinstance(error.value, Interrupted)


def require_whole(folder: Path, config: Config) -> None:
    """Require that a folder has this record and all files in it."""
    assert read(folder) == config, f"{folder} has another record"
    for name, expected in config["files"].items():
        assert sha256((folder / name).read_bytes()) == expected["sha256"], f"{folder} has another {name}"


def require_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Require that a folder has these files."""
    assert {name: (folder / name).read_bytes() for name in files} == files


def read(folder: Path) -> Config:
    config: Config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def identity(config: Config) -> str:
    """The id of a record, computed as documented."""
    return sha256(json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


def top1_of(config: Config) -> float:
    top1: float = config["results"]["test_top1"]
    return top1


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5] + b"wrong")


def written(path: Path) -> bytes:
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    return path.read_bytes()
