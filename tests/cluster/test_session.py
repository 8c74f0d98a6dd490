"""Jobs that share the processes of a cluster: how long these stay, and how much each takes."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest

from cnnkit.cluster import EngineChoice, OpenedModel
from cnnkit.cluster.plan import PlannedInput
from cnnkit.cluster.session import ClusterSession, shard_size_of
from cnnkit.cluster.worker import WorkOrder
from cnnkit.results import path_fields
from tests.cluster.local_pool import local_pools


def tasks_of(found):
    for one in found:
        yield path_fields(one.path) | {"status": "ok", "task": one.task}, np.zeros(1, np.float32)


def opened() -> OpenedModel:
    return OpenedModel("abc", tasks_of)


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch):
    """Workers of this process, and how often a cluster was reached and left."""
    made = local_pools()
    made.connections = []

    @contextlib.contextmanager
    def connected(address):
        made.connections.append("begin")
        yield
        made.connections.append("end")

    monkeypatch.setattr("cnnkit.cluster.ray_pool.ray_pool", made)
    monkeypatch.setattr("cnnkit.runtime.ray_session.ray_session", connected)
    return made


def test_processes_stay_for_the_jobs_of_one_order(pool, tmp_path: Path) -> None:
    session, kept = ClusterSession(EngineChoice(None, 3)), []
    orders = [WorkOrder(opened, "abc", str(tmp_path)) for _ in range(2)]
    for order, view in ((orders[0], 0), (orders[0], 1), (orders[1], 2)):
        inputs = [PlannedInput(f"{n}", None, n, {"view": view}) for n in range(5)]
        session.run(order, inputs, lambda *one: kept.append(one))
    assert len(pool.pools) == 2 and [one.ended for one in pool.pools] == [True, False]
    rows = [(one.path, json.loads(line)) for i, made in kept for one, line in lines_of(i, made)]
    assert sorted((row["task"]["view"], path) for path, row in rows) == [
        (view, f"{n}") for view in range(3) for n in range(5)
    ]
    assert all(row["path"] == path for path, row in rows)
    assert pool.connections == ["begin"]
    session.close()
    assert pool.pools[1].ended and pool.connections == ["begin", "end"]


def lines_of(inputs, made):
    return zip(inputs, made.text.splitlines(), strict=True)


def test_a_job_that_fails_ends_the_processes_and_another_may_follow(pool, tmp_path: Path) -> None:
    session = ClusterSession(EngineChoice(None, 3))
    order, inputs = WorkOrder(opened, "abc", str(tmp_path)), [PlannedInput("a", None, 0, {})]

    def full(*made) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk"):
        session.run(order, inputs, full)
    assert pool.pools[0].ended and pool.connections == ["begin", "end"]
    session.run(order, inputs, lambda *made: None)
    session.close()
    assert pool.connections == ["begin", "end"] * 2


@pytest.mark.parametrize(("count", "size"), [(1, 32), (942, 32), (10_000, 313), (10**6, 1_000)])
def test_of_few_images_every_machine_gets_some(count: int, size: int) -> None:
    assert shard_size_of(count, 1_000) == size
    assert shard_size_of(count, 5) == 5
