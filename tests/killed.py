"""Kill commands before their file operations, and give each again.

    python -m tests.killed FOLDER COMMAND=N...

Each command runs in forks of one process. An audit hook kills a fork with SIGKILL before its first operation that
changes a file, and before every N-th after that. Prints a line of JSON for each kill: the outcome of the next command.
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
    """What is there before, what is run, what is run after the kill, and what is compared."""

    before: Callable[[Path], None]
    given: Callable[[Path], object]
    again: Callable[[Path], object]
    state: Callable[[Path], object]


def _train(place: Path, **options: Any) -> None:
    api.train(NAME, out=place / "m", epochs=2, amp=False, limit_train=64, eval_every=9, **options)


def _models(place: Path) -> object:
    """What every model folder is, but for the seconds that it took, and whatever else lies there."""
    found: dict[str, object] = {"names": sorted(path.name for path in place.iterdir())}
    for folder in (path for path in place.iterdir() if path.is_dir()):
        config = require_trained(store.check(folder))
        rows = [msgspec.structs.replace(row, train_seconds=0.0) for row in store.read_log(folder)]
        found[folder.name] = (
            config.weights.sha256,
            config.job.to_json(),
            [msgspec.structs.asdict(row) for row in rows],
        )
        found[f"{folder.name} seeds"] = msgspec.to_builtins(config.seeds)
    return found


def _files(place: Path) -> object:
    """Every file's bytes by its name."""
    return {
        str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }


def _nothing(place: Path) -> None:
    place.mkdir()


def _trained(place: Path) -> None:
    place.mkdir()
    _train(place)


def _two_seeds(place: Path) -> None:
    """Two finished seeds, of which no card speaks yet."""
    place.mkdir()
    _train(place)
    api.train(NAME, out=place / "m-seed1", epochs=2, amp=False, limit_train=64, eval_every=9, seed=1)


def _hub(place: Path) -> None:
    """A hub with one revision of a model, and the folder of another one."""
    place.mkdir()
    _train(place)
    _push(place)
    _train(place, overwrite=True, seed=1)


def _push(place: Path) -> None:
    api.push(place / "m", hub=f"file:{place / 'hub'}")


def _published(place: Path) -> None:
    place.mkdir()
    _train(place)
    _push(place)
    shutil.rmtree(place / "m")


def _pull(place: Path) -> None:
    api.pull(NAME, hub=f"file:{place / 'hub'}", out=place / "m")


COMMANDS = {
    "train": Command(_nothing, _train, lambda place: _train(place, resume=True), _models),
    "overwrite": Command(
        _trained,
        lambda place: _train(place, overwrite=True, seed=1),
        lambda place: _train(place, overwrite=True, seed=1),
        _models,
    ),
    "seeds": Command(
        _two_seeds,
        lambda place: _train(place, resume=True, seeds=2),
        lambda place: _train(place, resume=True, seeds=2),
        _models,
    ),
    "push": Command(_hub, _push, _push, _files),
    "pull": Command(_published, _pull, _pull, _files),
}


def forked(work: Callable[[], object], *, operations: int | None = None) -> int:
    """Run something in a fork that is killed before it changes a file for the N-th time; its wait status."""
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
    """End this process before its N-th change of a file."""
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
        count()  # what was written may not have left this process
        sync(descriptor)

    os.fsync = counted  # type: ignore[assignment]
    sys.addaudithook(hook)


def kill_repeatedly(name: str, scratch: Path, every: int) -> None:
    """Kill a command before its first operation and every N-th after it, until it comes to its end."""
    command, start, place = COMMANDS[name], scratch / "start", scratch / "place"
    assert forked(lambda: command.before(start)) == 0
    shutil.copytree(start, place)
    assert forked(lambda: command.given(place)) == 0
    expected, operation = command.state(place), 0
    while True:
        shutil.rmtree(place)
        shutil.copytree(start, place)
        status = forked(functools.partial(command.given, place), operations=operation)
        if status == 0:
            break
        killed = os.WTERMSIG(status) == signal.SIGKILL
        again = forked(functools.partial(command.again, place)) == 0
        state = command.state(place) if again else None
        print(json.dumps({"command": name, "killed": killed, "again": again, "same": state == expected}), flush=True)
        if state != expected:
            print(f"killed before operation {operation}: expected {expected}, not {state}", file=sys.stderr)
        operation += every


def main() -> None:
    """Kill each of the commands that are named."""
    registry.load(NAME)
    scratch = Path(sys.argv[1])
    for words in sys.argv[2:]:
        name, _, every = words.partition("=")
        (scratch / name).mkdir()
        kill_repeatedly(name, scratch / name, int(every))


if __name__ == "__main__":
    main()
