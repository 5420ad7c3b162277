from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from torch.distributed import HashStore, Store  # type: ignore[attr-defined]

from zoo.training import meeting


def meet(pool: ThreadPoolExecutor, store: Store, *ranks: int) -> list[Future[Store]]:
    return [pool.submit(meeting.part_of, store, rank, 2) for rank in ranks]


@pytest.mark.parametrize("ranks", [(0, 1), (1, 0)])
def test_those_who_meet_share_a_part_in_which_nothing_was_written_before(ranks: tuple[int, int]) -> None:
    store = HashStore()
    with ThreadPoolExecutor() as pool:
        for attempt in ("first", "second"):
            parts = [future.result(10) for future in meet(pool, store, *ranks)]
            assert not parts[0].check(["address"])
            parts[0].set("address", attempt)
            assert parts[1].get("address") == attempt.encode()


def test_a_process_waits_for_no_dead_one() -> None:
    """The first one called a meeting and was killed; the other one, started again, comes before the new first one."""
    store = HashStore()
    store.set(meeting.MEETING, "left open")
    with ThreadPoolExecutor() as pool:
        others = meet(pool, store, 1)
        store.wait(["left 1"])
        first, other = [future.result(10) for future in (*meet(pool, store, 0), *others)]
    first.set("address", "new")
    assert other.get("address") == b"new"
