"""The places of a worker pool: bounded, and free again whatever happens."""

from __future__ import annotations

import asyncio
import threading

import pytest

from cnnkit.serving.pool import WorkerPool
from cnnkit.serving.refusals import Refusal


def test_places_are_bounded_and_come_back():
    pool = WorkerPool(1, 2)
    first, second = pool.place(), pool.place()
    with pytest.raises(Refusal) as caught:
        pool.place()
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (503, "1")
    with first, pytest.raises(ValueError, match="of a request"), second:
        raise ValueError("of a request")
    assert pool.taken == 0
    pool.close()


def test_a_request_that_timed_out_keeps_its_place_until_its_thread_is_free():
    pool, go = WorkerPool(1, 3), threading.Event()

    async def request(work, seconds):
        with pool.place() as place:
            async with asyncio.timeout(seconds):
                return await place.run(work)

    async def scene():
        with pytest.raises(TimeoutError):
            await request(go.wait, 0.05)
        assert pool.taken == 1  # its thread still runs
        with pytest.raises(TimeoutError):
            await request(lambda: "never begun", 0.05)
        assert pool.taken == 1  # dropped from the queue
        go.set()
        assert await request(lambda: "an answer", 5) == "an answer"

    asyncio.run(scene())
    pool.close()
    assert pool.taken == 0


def test_quick_requests_wait_for_no_slow_one():
    pool, go = WorkerPool(1, 4), threading.Event()

    async def request(work, slow):
        with pool.place(slow) as place:
            return await place.run(work)

    async def scene():
        slow = [asyncio.create_task(request(go.wait, True)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Refusal):  # half of the places
            await request(go.wait, True)
        assert pool.taken == 2
        assert await asyncio.wait_for(request(lambda: "quick", False), 20) == "quick"
        go.set()
        assert await asyncio.gather(*slow) == [True, True]
        assert await request(go.wait, True)

    asyncio.run(scene())
    pool.close()
    assert pool.taken == 0
