"""The facts of a machine and of what runs on it, for a card."""

from __future__ import annotations

import platform
import subprocess

import torch

from zoo.folder.config import Environment
from zoo.nets.device import describe
from zoo.registry import checkout, core_version, provider
from zoo.spec import Architecture


def environment(device: torch.device, architecture: Architecture) -> Environment:
    """Where and with what an architecture was trained."""
    return Environment(
        device=describe(device),
        threads=torch.get_num_threads(),
        python=platform.python_version(),
        torch=str(torch.__version__),
        zoo=core_version(),
        plugin=provider(architecture),
        commit=_commit(),
    )


def _commit() -> str | None:
    """The commit of the checkout that the zoo runs from, "-dirty" where files differ from it."""
    root = checkout()
    if root is None or not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
