"""No POSIX-only module or function is needed: they are hidden, and a model is loaded, published and pulled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import CHECKOUT

HIDDEN = ("fcntl", "pwd", "grp", "resource", "termios")
FUNCTIONS = ("O_NOFOLLOW", "fchmod", "geteuid", "getuid")


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh process without them; torch itself, which has other code for Windows, is imported before."""
    hide = (
        "import os, sys\nimport torch, torch.nn.functional, torch.distributed, huggingface_hub, filelock\n"
        f"for name in {HIDDEN}: sys.modules[name] = None\n"
        f"for name in {FUNCTIONS}: delattr(os, name)\n"
        "assert 'zoo' not in sys.modules\n"
    )
    return subprocess.run(
        [sys.executable, "-c", hide + code], capture_output=True, text=True, cwd=folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )  # fmt: skip


def test_a_model_of_the_catalogue_is_loaded_published_and_pulled(tmp_path: Path) -> None:
    code = """
import zoo
from zoo import api
assert not zoo.load("resnet8_digits", pretrained=True).training
api.push(api.find("resnet8_digits"), hub="file:hub")
assert not zoo.load("file:hub/resnet8_digits", pretrained=True).training
api.pull("file:hub/resnet8_digits", out="pulled")
print([row.name for row in api.overview(hub="file:hub")])
"""
    done = run(code, tmp_path)
    assert (done.stdout, done.stderr) == ("['resnet8_digits']\n", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hub", "pulled"]


@pytest.mark.parametrize("module", ["zoo.api", "zoo.cli.app", "zoo.cli.train", "zoo.training.run", "zoo.testing"])
def test_every_part_is_imported(module: str, tmp_path: Path) -> None:
    done = run(f"import {module}", tmp_path)
    assert done.returncode == 0, done.stderr
