"""What a training leaves of the process that asked for it: all as it was."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import CHECKOUT

STATE = """
import ctypes, hashlib, json, os, random, signal, sys, warnings
from pathlib import Path

import matplotlib
import numpy
import torch
import torch._dynamo.config
import torch._inductor.config

from zoo import api

class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
    )]

def is_mapped(size):
    # Whether the allocator maps a block of that size by itself; it is kept, as a freed one moves the threshold.
    glibc = ctypes.CDLL(None)
    if not hasattr(glibc, "mallinfo2"):
        return True
    glibc.mallinfo2.restype, glibc.malloc.restype = Mallinfo, ctypes.c_void_p
    before = glibc.mallinfo2().hblks
    assert glibc.malloc(ctypes.c_size_t(size))
    return glibc.mallinfo2().hblks > before

def text(value):
    return hashlib.sha256(repr(value).encode()).hexdigest()

def state():
    return {
        **{f"variable {name}": value for name, value in os.environ.items()},
        "filters": repr(warnings.filters),
        "showwarning": repr(warnings.showwarning),
        "signals": repr([signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]),
        "random": text(random.getstate()),
        "numpy": text(numpy.random.get_state()),
        "torch": text(torch.get_rng_state().tolist()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "cudnn": repr([getattr(torch.backends.cudnn, one) for one in ("enabled", "benchmark", "deterministic")]),
        "tf32": torch.backends.cudnn.allow_tf32,
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "default type": str(torch.get_default_dtype()),
        "dynamo": text(torch._dynamo.config.get_config_copy()),
        "inductor": text(torch._inductor.config.get_config_copy()),
        "matplotlib": text(dict(matplotlib.rcParams)),
        "backend": matplotlib.get_backend(auto_select=False),
        "mapped": is_mapped(20_000_000),
        "folder": os.getcwd(),
    }
"""

TRAINED = """
torch.use_deterministic_algorithms(True, warn_only=True)
torch.manual_seed(3)
before = state()
common = {"epochs": 1, "limit_train": 128, "threads": 1, "seeds": 2}
done = api.train("resnet8", out=Path("model"), compile=sys.argv[1], settings={"batch_size": "64"}, **common)
taught = {"teacher": str(done.folder.resolve())}
api.train("resnet8", out=Path("taught"), settings=taught, deterministic=False, dtype="fp16", **common)
api.verify(done.folder)
api.report(api.evaluate(done.folder), Path("report"))
api.plot([done.folder], Path("plot.png"))
print(json.dumps([before, state(), done.config.job.compile]))
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
def test_the_process_is_left_as_it_was(tmp_path: Path, compiled: str) -> None:
    before, after, how = json.loads(run(STATE + TRAINED, tmp_path, compiled))
    assert how == compiled
    assert before["mapped"]
    assert {name: (before.get(name), value) for name, value in after.items() if before.get(name) != value} == {}
    assert before.keys() == after.keys()


COMMAND = """
from zoo.cli.app import load
words = ["resnet8", "--epochs", "1", "--limit-train", "64", "--quiet"]
load("train").main(words, standalone_mode=False)
print(is_mapped(20_000_000))
"""
QUEUE = """
sys.path.insert(0, sys.argv[1])
from examples import train_catalogue
train_catalogue.QUEUE = (train_catalogue.Entry("resnet8_digits", "quick"),)
sys.argv = ["train_catalogue.py", "train", "--epochs", "1", "--limit-train", "64", "--hub", "file:hub"]
try:
    train_catalogue.main()
except SystemExit as done:
    assert not done.code
print(is_mapped(20_000_000))
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
@pytest.mark.parametrize("alone", [COMMAND, QUEUE], ids=["the command line", "the catalogue's queue"])
def test_a_process_that_only_trains_keeps_its_memory(tmp_path: Path, alone: str) -> None:
    assert run(STATE + alone, tmp_path, str(CHECKOUT)).splitlines()[-1] == "False"
