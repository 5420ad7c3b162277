"""The facts of a machine and of what runs on it, for a card."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Final

import torch

from zoo.nets.device import describe
from zoo.plugins import checkout
from zoo.record.types import Environment
from zoo.spec import Architecture

DESCRIBE: Final = ("--always", "--dirty", "--abbrev=12", "--exclude=*")


def environment(device: torch.device, architecture: Architecture) -> Environment:
    """Where a model of that architecture was trained."""
    return Environment(
        device=describe(device),
        python=platform.python_version(),
        commit=_commit(),
        plugin_commit=_commit_of_plugin(architecture),
    )


def _commit() -> str | None:
    """The commit of the checkout that the zoo runs from, "-dirty" where files differ from it.

    Where only the files were copied, ZOO_COMMIT can name it.
    """
    if named := os.environ.get("ZOO_COMMIT"):
        return named
    root = checkout()
    return _git(root, "describe", *DESCRIBE) if root is not None and (root / ".git").exists() else None


def _commit_of_plugin(architecture: Architecture) -> str | None:
    """The commit of the checkout that builds the net, where it is not the zoo's own; None where it is no checkout's.

    An environment inside of somebody's checkout is none: its files are not in git.
    """
    module = sys.modules.get(str(getattr(architecture.build, "__module__", None)))
    file = getattr(module, "__file__", None)
    if file is None or ((root := checkout()) is not None and Path(file).resolve().is_relative_to(root)):
        return None
    folder = Path(file).resolve().parent
    if _git(folder, "ls-files", "--error-unmatch", file) is None:
        return None
    return _git(folder, "describe", *DESCRIBE)


def _git(folder: Path, *words: str) -> str | None:
    """What git answers in a folder; None where it fails, or isn't there."""
    command = ["git", "-C", str(folder), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
