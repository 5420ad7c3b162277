"""A training leaves the state of the calling process unchanged."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

STATE = """
import hashlib, json, os, random, resource, signal, sys, warnings
from pathlib import Path

import matplotlib
import numpy
import torch
import torch._dynamo.config
import torch._inductor.config

from zoo import api
from zoo.training.environment import keep_memory

def returns_pages():
    # Whether freed memory goes back to the operating system.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(30):
        torch.ones(10 * 2**20)  # 40 MiB, 10,240 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before > 200_000

def text(value):
    return hashlib.sha256(repr(value).encode()).hexdigest()

def state():
    return {
        **{f"variable {name}": value for name, value in os.environ.items()},
        "filters": repr(warnings.filters),
        "showwarning": repr(warnings.showwarning),
        "signals": repr([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]),
        "random": text(random.getstate()),
        "numpy": text(numpy.random.get_state()),
        "torch": text(torch.get_rng_state().tolist()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "cudnn": repr([getattr(torch.backends.cudnn, flag) for flag in ("enabled", "benchmark", "deterministic")]),
        "tf32": torch.backends.cudnn.allow_tf32,
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "default type": str(torch.get_default_dtype()),
        "dynamo": text(torch._dynamo.config.get_config_copy()),
        "inductor": text(torch._inductor.config.get_config_copy()),
        "matplotlib": text(dict(matplotlib.rcParams)),
        "backend": matplotlib.get_backend(auto_select=False),
        "returns pages": returns_pages(),
        "folder": os.getcwd(),
    }
"""

TRAINED = """
torch.use_deterministic_algorithms(True, warn_only=True)
torch.manual_seed(3)
before = state()
common = {"epochs": 1, "limit_train": 128, "threads": 1}
done = api.train("resnet8", out=Path("model"), compile=sys.argv[1], seeds=2, settings={"batch_size": "64"}, **common)
taught = {"teacher": str(done.folder.resolve())}
api.train("resnet8", out=Path("taught"), settings=taught, deterministic=False, dtype="fp16", **common)
api.verify(done.folder)
api.report(api.evaluate(done.folder), Path("report"))
api.plot([done.folder], Path("plot.png"))
after = state()
keep_memory()
print(json.dumps([before, after, done.config.job.compile, returns_pages()]))
"""


def run(code: str, folder: Path, *words: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "compiled",
    [
        "none",
        pytest.param(
            "default",
            marks=[pytest.mark.slow, pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")],
        ),
    ],
)
def test_a_training_leaves_the_process_unchanged(tmp_path: Path, compiled: str) -> None:
    before, after, how, returns_pages = json.loads(run(STATE + TRAINED, tmp_path, compiled))
    assert how == compiled
    if platform.libc_ver()[0] == "glibc":
        assert (before["returns pages"], returns_pages) == (True, False)  # keep_memory() keeps freed memory
    assert {name: (before.get(name), value) for name, value in after.items() if before.get(name) != value} == {}
    assert before.keys() == after.keys()


COMMAND = """
from zoo.cli.app import load
words = ["resnet8", "--epochs", "1", "--limit-train", "64", "--quiet"]
load("train").main(words, standalone_mode=False)
print(returns_pages())
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_the_train_command_keeps_freed_memory(tmp_path: Path) -> None:
    assert run(STATE + COMMAND, tmp_path).splitlines()[-1] == "False"
