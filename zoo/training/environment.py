"""The facts of a machine and of what runs on it, for a card."""

from __future__ import annotations

import os
import platform
import subprocess

import torch

from zoo.folder.config import Environment
from zoo.nets.device import describe
from zoo.plugins import checkout


def environment(device: torch.device) -> Environment:
    """Where a model was trained."""
    return Environment(
        device=describe(device),
        python=platform.python_version(),
        commit=_commit(),
    )


def _commit() -> str | None:
    """The commit of the checkout that the zoo runs from, "-dirty" where files differ from it.

    Where only the files were copied, ZOO_COMMIT can name it.
    """
    if named := os.environ.get("ZOO_COMMIT"):
        return named
    root = checkout()
    if root is None or not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
