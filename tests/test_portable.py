"""No POSIX-only module or function is needed: they are hidden, and a model is trained, published, loaded and pulled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .conftest import CHECKOUT

HIDDEN = ("fcntl", "pwd", "grp", "resource", "termios")
FUNCTIONS = ("O_NOFOLLOW", "fchmod", "geteuid", "getuid")


CODE = f"""
import os, sys
import torch, torch.nn.functional, torch.distributed, huggingface_hub, filelock
for name in {HIDDEN}: sys.modules[name] = None
for name in {FUNCTIONS}: delattr(os, name)
assert "zoo" not in sys.modules

import zoo, zoo.cli.app, zoo.cli.train, zoo.training.run, zoo.testing
from zoo import api
assert not zoo.load("resnet8_digits", pretrained=True).training
api.push(api.find("resnet8_digits"), hub="file:hub")
assert not zoo.load("file:hub/resnet8_digits", pretrained=True).training
api.train("resnet8_digits", epochs=1, limit_train=64, amp=False, out="trained", push=True, hub="file:hub")
api.page("page", hub="file:hub")
api.pull("file:hub/resnet8_digits", out="pulled")
print([row.name for row in api.overview(hub="file:hub")])
"""


def test_a_model_is_trained_published_loaded_and_pulled_and_a_site_is_written(tmp_path: Path) -> None:
    # torch itself, which has other code for Windows, is imported before the modules are hidden.
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("['resnet8_digits']\n", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hub", "page", "pulled", "trained"]
