"""Fixtures: an isolated environment, a trained model, a Hub on this machine, and ways to run the command line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from .loopback_hub import Account, Hub

# Trainings run on the CPU, where they are reproducible; only `pytest -m gpu` uses a GPU.
if "gpu" not in " ".join(sys.argv):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

# huggingface_hub reads these when it is imported: a Hub on this machine, an empty cache, no account of the person who
# runs the tests, and short timeouts.
HUB = Hub()
HUB.start()
os.environ |= {
    "HF_HOME": tempfile.mkdtemp(prefix="zoo-tests-hf-"),
    "HF_ENDPOINT": HUB.endpoint,
    "HF_HUB_ETAG_TIMEOUT": "1",
    "HF_HUB_DOWNLOAD_TIMEOUT": "1",
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
for _name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "ZOO_HUB"):
    os.environ.pop(_name, None)

CHECKOUT = Path(__file__).resolve().parent.parent
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_sessionfinish() -> None:
    HUB.stop()
    shutil.rmtree(os.environ["HF_HOME"], ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    data = Path(os.environ.get("ZOO_DATA", "/nowhere")).expanduser()
    has_cifar = (data / "cifar-10-batches-py").is_dir() and (data / "cifar-100-python").is_dir()
    for item in items:
        if item.get_closest_marker("cifar") and not has_cifar:
            item.add_marker(pytest.mark.skip(reason="needs the real CIFAR data: set ZOO_DATA to its folder"))
        if item.get_closest_marker("slow") and "ZOO_SLOW" not in os.environ:
            item.add_marker(pytest.mark.skip(reason="slow: run make test-slow"))
        if item.get_closest_marker("gpu"):
            import torch

            if not torch.cuda.is_available():
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder of resnet8_digits after three epochs. Tests must not change it."""
    from zoo import api

    out = tmp_path_factory.mktemp("trained") / "resnet8_digits"
    return api.train("resnet8_digits", epochs=3, out=out, amp=False).folder


@pytest.fixture
def model_folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained model folder, which a test may change."""
    return Path(shutil.copytree(trained, tmp_path / "model"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty Hub with the account `me` logged in, and an empty cache."""
    HUB.reset()
    HUB.accounts["hf_writer"] = Account("me", "write")
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    shutil.rmtree(Path(os.environ["HF_HOME"]) / "hub", ignore_errors=True)
    yield HUB
    HUB.reset()
    if not HUB.is_up:
        HUB.start()


@pytest.fixture(autouse=True)
def retries_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry requests without a pause."""
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture
def report_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training calls its report after every step."""
    monkeypatch.setattr("zoo.training.loop.REPORT_SECONDS", 0.0)


@pytest.fixture
def run_zoo(tmp_path: Path) -> Run:
    """Run the command line in a new process, in an empty folder."""

    def run(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        return subprocess.run(
            [sys.executable, "-m", "zoo", *map(str, words)],
            capture_output=True,
            text=True,
            cwd=work,
            env={**os.environ, "COLUMNS": "160", **environment},
        )

    return run


@pytest.fixture
def run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process, in an empty folder. Faster than `run_zoo`, which imports torch again."""
    from zoo.cli import app

    def run(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "work").mkdir(exist_ok=True)
        capsys.readouterr()
        code = 0
        with monkeypatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.simplefilter("ignore", DeprecationWarning)  # Python's default outside of tests
            patch.chdir(tmp_path / "work")
            patch.setattr(sys, "argv", ["zoo", *map(str, words)])
            for name, value in {"COLUMNS": "160", **environment}.items():
                patch.setenv(name, value)
            try:
                app.main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        output = capsys.readouterr()
        return subprocess.CompletedProcess(["zoo", *map(str, words)], code, output.out, output.err)

    return run


@pytest.fixture
def poisoned(tmp_path: Path) -> dict[str, str]:
    """Environment variables with which importing a heavy library fails."""
    poison = tmp_path / "poison"
    poison.mkdir()
    for module in ("torch", "torchvision", "huggingface_hub", "matplotlib", "numpy"):
        (poison / f"{module}.py").write_text(f"raise RuntimeError('{module} was imported')\n")
    return {**os.environ, "PYTHONPATH": str(poison)}


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a virtual environment with the zoo's dependencies, but without the zoo."""
    return make_bare_python(tmp_path_factory.mktemp("bare"))


def make_bare_python(folder: Path) -> Path:
    """Make a virtual environment that links to all packages of this one except the zoo and its plugins."""
    venv.create(folder, with_pip=False)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        if "zoo" not in package.name and package.suffix != ".pth":
            (packages / package.name).symlink_to(package)
    return folder / "bin" / "python"


def write_plugin(site: Path, distribution: str, entry_points: dict[str, str], group: str = "zoo.models") -> Path:
    """Write the metadata of an installed distribution with entry points into the folder `site`."""
    info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {value}\n" for name, value in entry_points.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
    return site


@pytest.fixture(autouse=True)
def isolated_plugins() -> Iterator[None]:
    """Isolate a test from plugins that other tests install."""
    forget_declarations()
    yield
    forget_declarations()


def forget_declarations() -> None:
    """Clear the caches of installed plugins, as in a new process."""
    from zoo import plugins, registry

    plugins.installed.cache_clear()
    plugins.declared.cache_clear()
    registry.entries.cache_clear()


@pytest.fixture
def fake_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Install distributions with entry points for the duration of a test."""
    made: list[str] = []

    def install(
        distribution: str,
        entry_points: dict[str, str],
        module: str = "",
        code: str = "",
        *,
        group: str = "zoo.models",
    ) -> Path:
        site = write_plugin(tmp_path / "site" / distribution, distribution, entry_points, group)
        if module:
            (site / f"{module}.py").write_text(code)
            made.append(module)
        monkeypatch.syspath_prepend(str(site))
        forget_declarations()
        return site

    yield install
    forget_declarations()
    for module in made:
        sys.modules.pop(module, None)
