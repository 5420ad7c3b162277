"""Kills commands before their file operations, and runs them again.

    python -m tests.killed FOLDER COMMAND=N...

Each command runs in forks of one process. An audit hook kills a fork with SIGKILL before its first operation that
changes a file, and before every N-th after that. Prints a line of JSON per kill with the outcome of the next run.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Imported before the forks, so that no fork spends seconds on it.
import jinja2  # noqa: F401
import matplotlib.pyplot  # noqa: F401
import msgspec
import rich.console  # noqa: F401
import sklearn.datasets  # noqa: F401
import torch._dynamo
import torch._inductor.config  # noqa: F401

from zoo import api, registry
from zoo.record import card, curve, replace, store  # noqa: F401
from zoo.record.types import require_trained
from zoo.training import run  # noqa: F401

NAME = "resnet8_digits"
CHANGES = (
    "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
)  # fmt: skip


@dataclass(frozen=True)
class Command:
    """A command; every function gets the working folder."""

    prepare: Callable[[Path], None]
    run: Callable[[Path], object]
    again: Callable[[Path], object]  # after a kill
    state: Callable[[Path], object]  # compared with the state after an undisturbed run


def _train(folder: Path, **options: Any) -> None:
    api.train(NAME, out=folder / "m", epochs=2, amp=False, limit_train=64, eval_every=9, **options)


def _models(folder: Path) -> object:
    """The names in a folder, and the records of its models without durations."""
    state: dict[str, object] = {"names": sorted(path.name for path in folder.iterdir())}
    for model in (path for path in folder.iterdir() if path.is_dir()):
        config = require_trained(store.check(model))
        rows = [msgspec.structs.replace(row, train_seconds=0.0) for row in store.read_log(model)]
        state[model.name] = (
            config.weights.sha256,
            config.job.to_json(),
            [msgspec.structs.asdict(row) for row in rows],
        )
        state[f"{model.name} seeds"] = msgspec.to_builtins(config.seeds)
    return state


def _files(folder: Path) -> object:
    """The hash of every file by its path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _nothing(folder: Path) -> None:
    folder.mkdir()


def _trained(folder: Path) -> None:
    folder.mkdir()
    _train(folder)


def _two_seeds(folder: Path) -> None:
    """Two trained seeds that are not yet on a card."""
    folder.mkdir()
    _train(folder)
    api.train(NAME, out=folder / "m-seed1", epochs=2, amp=False, limit_train=64, eval_every=9, seed=1)


def _hub(folder: Path) -> None:
    """A hub with a revision of a model, and the folder of another revision."""
    folder.mkdir()
    _train(folder)
    _push(folder)
    _train(folder, overwrite=True, seed=1)


def _push(folder: Path) -> None:
    api.push(folder / "m", hub=f"file:{folder / 'hub'}")


def _published(folder: Path) -> None:
    folder.mkdir()
    _train(folder)
    _push(folder)
    shutil.rmtree(folder / "m")


def _pull(folder: Path) -> None:
    api.pull(NAME, hub=f"file:{folder / 'hub'}", out=folder / "m")


COMMANDS = {
    "train": Command(_nothing, _train, lambda folder: _train(folder, resume=True), _models),
    "overwrite": Command(
        _trained,
        lambda folder: _train(folder, overwrite=True, seed=1),
        lambda folder: _train(folder, overwrite=True, seed=1),
        _models,
    ),
    "seeds": Command(
        _two_seeds,
        lambda folder: _train(folder, resume=True, seeds=2),
        lambda folder: _train(folder, resume=True, seeds=2),
        _models,
    ),
    "push": Command(_hub, _push, _push, _files),
    "pull": Command(_published, _pull, _pull, _files),
}


def forked(work: Callable[[], object], *, operations: int | None = None) -> int:
    """Run in a fork, which is killed before the N-th change of a file; returns its wait status."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if operations is not None:
                kill_before(operations)
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def kill_before(operation: int) -> None:
    """Kill this process before its N-th change of a file."""
    left = operation
    sync = os.fsync

    def count() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if opened or event in CHANGES:
            count()

    def counted(descriptor: int) -> None:
        count()  # data written before may still be in this process
        sync(descriptor)

    os.fsync = counted  # type: ignore[assignment]
    sys.addaudithook(hook)


def kill_repeatedly(name: str, scratch: Path, every: int) -> None:
    """Kill a command before its first operation and every N-th after it, until it completes."""
    command, start, folder = COMMANDS[name], scratch / "start", scratch / "folder"
    assert forked(lambda: command.prepare(start)) == 0
    shutil.copytree(start, folder)
    assert forked(lambda: command.run(folder)) == 0
    expected, operation = command.state(folder), 0
    while True:
        shutil.rmtree(folder)
        shutil.copytree(start, folder)
        status = forked(functools.partial(command.run, folder), operations=operation)
        if status == 0:
            break
        killed = os.WTERMSIG(status) == signal.SIGKILL
        again = forked(functools.partial(command.again, folder)) == 0
        state = command.state(folder) if again else None
        print(json.dumps({"command": name, "killed": killed, "again": again, "same": state == expected}), flush=True)
        if state != expected:
            print(f"killed before operation {operation}: expected {expected}, not {state}", file=sys.stderr)
        operation += every


def main() -> None:
    """Kill the commands in the arguments."""
    registry.load(NAME)
    scratch = Path(sys.argv[1])
    for words in sys.argv[2:]:
        name, _, every = words.partition("=")
        (scratch / name).mkdir()
        kill_repeatedly(name, scratch / name, int(every))


if __name__ == "__main__":
    main()
