"""Where the processes of one training find each other, also those that torchrun starts again in place of killed ones.

torchrun gives all of them one store, in which the later ones find what the earlier ones wrote, and gloo takes the
addresses of dead processes for those of its peers (pytorch/pytorch#135712). The number of the restart doesn't tell
them apart: every node has its own. So each meeting has a part of the store to itself, whose name is new every time.
"""

from __future__ import annotations

import time
import uuid

from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]  # documented, not re-exported

MEETING = "meeting"  # the key of the last meeting that was called: its name, and whether all are there
SECONDS_BETWEEN_LOOKS = 0.01


def part_of(store: Store, rank: int, world: int) -> Store:
    """A part of the `store` for the `world` processes that call this now; returns when all have."""
    name = _called(store, world) if rank == 0 else _joined(store, rank)
    return PrefixStore(name, store)


def _called(store: Store, world: int) -> str:
    name = uuid.uuid4().hex
    store.set(MEETING, f"{name} open")
    store.wait([f"{name} {rank}" for rank in range(1, world)])
    store.set(MEETING, f"{name} complete")
    return name


def _joined(store: Store, rank: int) -> str:
    """Join every meeting that is called: one may be of a first process that is dead, and is never complete."""
    joined = ""
    while True:
        name, state = store.get(MEETING).decode().split()
        if name == joined and state == "complete":
            return name
        if name != joined and state == "open":
            store.set(f"{name} {rank}", "here")
            joined = name
        time.sleep(SECONDS_BETWEEN_LOOKS)
