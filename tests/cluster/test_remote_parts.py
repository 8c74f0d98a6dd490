"""A run on a cluster that leaves its parts in an object store: whole ones, made once."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

import cnnkit
from cnnkit.cluster import Cluster, EngineChoice, remote_parts
from cnnkit.cluster.engine import digest_of
from cnnkit.errors import CnnkitError, OutputError, UsageError
from cnnkit.folder_job import FolderJob, Outputs, Summary
from cnnkit.storage import writing
from cnnkit.writers.row_tables import ClassificationTable
from tests.cluster.local_pool import local_pools
from tests.cluster.test_engine import HEADER, INPUTS, opened, opened_other, rows_of

URL = "memory://b/out/"

pytestmark = pytest.mark.usefixtures("machine")


def run(
    *, inputs=INPUTS, pool=None, opens=opened, given="photos", limit=None, size=4, **flags
) -> Summary | None:
    """Run a job; with a limit, be interrupted after so many rows."""
    cluster = Cluster(EngineChoice(None, size), URL, digest_of([given]), **flags)
    cluster.order(opens, "abc")
    outputs = Outputs(prefix=URL, **flags)
    job = FolderJob(outputs, HEADER, table=ClassificationTable(), engine=cluster)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cnnkit.cluster.ray_pool.ray_pool", pool or local_pools())
        try:
            for number, (row, _) in enumerate(job.made(inputs, rows_of)):
                if number == limit:
                    return None
                job.record(row)
            return job.finish()
        finally:
            job.close()


def names(bucket) -> list[str]:
    return sorted(name.removeprefix("/b/out/") for name in bucket.find("b"))


def rows(bucket) -> list[dict]:
    parts = [name for name in names(bucket) if name.startswith("part-")]
    content = b"".join(bucket.cat_file(f"b/out/{name}") for name in parts)
    return [json.loads(line) for line in content.splitlines()]


EXPECTED = [row for row, _ in rows_of(INPUTS)]


def test_the_parts_have_the_rows_in_input_order(bucket, machine):
    summary = run()
    assert summary == Summary(len(INPUTS) - 2, 2, 0)
    assert rows(bucket) == EXPECTED
    found = names(bucket)
    assert found[0] == "finished.json" and found[-1] == "plan.jsonl" and len(found) == 9
    assert len({name.split("-")[2] for name in found[1:-1]}) == 1
    known = json.loads(bucket.cat_file("b/out/finished.json"))
    assert known["parts"] == 7 and f"-{known['run']}." in found[1]
    assert not list(machine("first").iterdir())


@pytest.mark.parametrize("limit", [0, 6, 24])
def test_an_interrupted_run_is_resumed_elsewhere_without_listing_again(bucket, machine, limit):
    run(limit=limit)
    before = {name: bucket.cat_file(f"b/out/{name}") for name in names(bucket)}
    assert "finished.json" not in before
    machine("second")
    pool = local_pools()
    run(inputs=(pytest.fail("listed") for _ in [0]), pool=pool, resume=True)
    assert rows(bucket) == EXPECTED
    assert len({one.shard for one in pool.pools[0].given}) == 7 - (len(before) - 1)
    assert all(bucket.cat_file(f"b/out/{name}") == content for name, content in before.items())


def test_what_is_there_is_not_overwritten(bucket):
    bucket.pipe_file("b/out/mine.txt", b"mine")
    run()
    with pytest.raises(UsageError, match=f"{URL} has a run already. Use `resume=True`"):
        run()
    assert run(resume=True) == Summary(len(INPUTS) - 2, 2, 0)
    with pytest.MonkeyPatch.context() as patch:  # killed while the old parts are removed
        left = [2]

        def remove(url: str) -> None:
            if not left[0]:
                raise OutputError("cut off")
            left[0] -= 1
            writing.remove_object(url)

        patch.setattr(remote_parts, "remove_object", remove)
        with pytest.raises(OutputError, match="cut off"):
            run(overwrite=True, size=20)
    assert "plan.jsonl" in names(bucket) and len(names(bucket)) == 8
    run(overwrite=True, size=20)
    assert rows(bucket) == EXPECTED and len(names(bucket)) == 5
    assert bucket.cat_file("b/out/mine.txt") == b"mine"


def test_other_runs_are_refused(bucket):
    run(limit=6)
    for told, options in {
        "same inputs": {"given": "elsewhere"},
        "same shard_size": {"size": 5},
        "the model is another one": {"opens": opened_other},
    }.items():
        with pytest.raises(CnnkitError, match=told):
            run(resume=True, **options)
    plan = bucket.cat_file("b/out/plan.jsonl")
    bucket.pipe_file("b/out/plan.jsonl", plan.replace(b'"run": "', b'"run": "../'))
    with pytest.raises(UsageError, match="must be the plan"):
        run(resume=True)


def test_parts_that_were_changed_are_made_again(bucket):
    run(limit=20)
    parts = [f"b/out/{name}" for name in names(bucket) if name.startswith("part-")]
    first, second = (bucket.cat_file(name) for name in parts[:2])
    bucket.pipe_file(parts[0], second)
    bucket.pipe_file(parts[1], second[:-9])
    bucket.pipe_file(parts[2], b"")
    run(resume=True)
    assert rows(bucket) == EXPECTED and bucket.cat_file(parts[0]) == first


def test_errors_are_made_again_on_demand(bucket):
    run()
    pool = local_pools()
    run(resume=True, retry_errors=True, pool=pool)
    assert {one.shard for one in pool.pools[0].given} == {0, 6}
    assert rows(bucket) == EXPECTED


def test_of_two_runs_one_ends(bucket, machine):
    def disturbing(ticket) -> bool:
        if ticket.shard == 3:
            with pytest.raises(UsageError, match="is being written by another run"):
                run(resume=True)  # here
            machine("second")
            with pytest.MonkeyPatch.context() as patch:  # both saw an empty place
                patch.setattr(remote_parts, "object_size", lambda url: None)
                with pytest.raises(OutputError, match="is being written by another run"):
                    run()
            if not resumed:
                resumed.append(run(resume=True))
            machine("first")
        return False

    resumed: list = []
    run(pool=local_pools(disturbing))
    assert resumed == [Summary(len(INPUTS) - 2, 2, 0)] and rows(bucket) == EXPECTED


def test_a_part_that_another_run_has_made_differently_ends_the_run(bucket):
    def disturbing(ticket) -> bool:
        if ticket.shard == 3:
            name = next(name for name in names(bucket) if name.startswith("part-"))
            bucket.pipe_file(f"b/out/part-00000003{name[13:]}", b"another")
        return False

    with pytest.raises(OutputError, match="is being written by another run"):
        run(pool=local_pools(disturbing))


def test_a_lost_network_ends_the_run_and_parts_are_kept(bucket, monkeypatch, caplog):
    pipe, left = type(bucket).pipe_file, [3]

    def fails(self, path, data, **options):
        left[0] -= 1
        if left[0] < 0:
            raise ConnectionError("no route")
        pipe(self, path, data, **options)

    waits = []
    with monkeypatch.context() as patch:
        patch.setattr(type(bucket), "pipe_file", fails)
        patch.setattr(remote_parts.time, "sleep", lambda seconds: waits.append(seconds))
        patch.setattr(remote_parts, "PATIENCE", 0.05)
        with caplog.at_level(logging.WARNING), pytest.raises(OutputError) as caught:
            run()
    assert "cannot be written: no route. The parts are kept. Fix the cause" in str(caught.value)
    assert waits and "It is tried again." in caplog.text
    assert len(rows(bucket)) == 12
    run(resume=True)
    assert rows(bucket) == EXPECTED


@pytest.mark.slow
def test_the_commands(bucket, examples, monkeypatch):
    monkeypatch.setattr("cnnkit.cluster.ray_pool.ray_pool", local_pools())
    files = [str(examples / name) for name in ("cat.jpg", "coffee.jpg")]
    page = Path("page.html")
    cnnkit.classify(files, output=URL, engine="ray", shard_size=1, report=page, threads=1)
    cnnkit.classify(files, output="rows.jsonl", threads=1)
    assert rows(bucket) == [json.loads(line) for line in Path("rows.jsonl").open()]
    assert len(names(bucket)) == 4 and page.is_file()


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("classify", {}, "ends with / requires `engine`"),
        ("classify", {"engine": "ray", "embeddings": "f.npy"}, "`embeddings` and an `output`"),
        ("classify", {"engine": "ray", "sort_into": "f"}, "`sort_into` and an `output`"),
        ("detect", {"engine": "ray", "where": "cat"}, "`where` and an `output`"),
        ("verify_pairs", {"engine": "ray"}, "`output` must name an object"),
        ("merge", {}, "`output` must name an object"),
    ],
)
def test_what_parts_cannot_do(name, options, told):
    given = {"verify_pairs": [[("a.jpg", "b.jpg")]], "merge": [["x.jsonl"]]}.get(name, ["x.jpg"])
    with pytest.raises(UsageError, match=told):
        getattr(cnnkit, name)(*given, output=URL, **options)
