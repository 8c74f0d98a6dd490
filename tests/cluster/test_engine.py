"""Rows made by workers: those of one process, whatever dies; what a resumed run must repeat."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from cnnkit.cluster import Cluster, EngineChoice, OpenedModel
from cnnkit.cluster.engine import digest_of
from cnnkit.cluster.parts import PartFolder, packed
from cnnkit.cluster.plan import input_fields, input_of
from cnnkit.errors import RuntimeUnavailableError, UsageError
from cnnkit.folder_job import FolderJob, Outputs
from cnnkit.images import Found
from cnnkit.results import Failure, make_pair_row, make_row, pair_key, path_fields
from cnnkit.storage.places import Member
from cnnkit.writers.row_tables import ClassificationTable
from tests.cluster.local_pool import LocalPool, local_pools

HEADER = {"command": "test", "model": "abc", "options": {"top_k": 5}}
NAMES = [
    *("=1.jpg", "caf\udce9.jpg", "two\nlines.jpg", "bad.jpg"),
    *(f"{number}.jpg" for number in range(19)),
]
INPUTS = [
    *map(Found, NAMES),
    Found(Member("x.tar", "a.jpg", 512, 3)),
    Found("none/", Failure("no-images", "no image in this folder")),
]
PARTS = Path("rows.jsonl.parts")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rows_of(found):
    """Rows and features of a model without images."""
    for one in found:
        if one.failure or one.path == "bad.jpg":
            yield make_row(one.path, one.failure or Failure("corrupt", "bad")), None
            continue
        assert getattr(one.path, "start", 512) == 512
        row = {"label": "cat", "score": 0.5, "predictions": []}
        yield path_fields(one.path) | {"status": "ok"} | row, np.full(3, len(one.path), np.float32)


def opened() -> OpenedModel:
    return OpenedModel("abc", rows_of)


def opened_other() -> OpenedModel:
    return OpenedModel("abd", rows_of)


def job_of(output: str, engine: Cluster | None, **flags: bool) -> FolderJob:
    features = Path(output).with_suffix(".npy")
    outputs = Outputs(Path(output), features, **flags)
    return FolderJob(outputs, HEADER, 3, ClassificationTable(), engine=engine)


def run(
    output: str, pool=None, *, inputs=INPUTS, opens=opened, given="photos", limit=None, **flags
) -> list[str]:
    """Run a job and return the paths of its new rows; with a limit, be killed after so many."""
    cluster = None
    if pool is not None:
        resuming = {name: flags[name] for name in ("resume", "retry_errors") if name in flags}
        choice = EngineChoice(None, 4)
        cluster = Cluster(choice, Path(output), digest_of([given]), **resuming)
        cluster.order(opens, "abc")
    job, new = job_of(output, cluster, **flags), []
    with pytest.MonkeyPatch.context() as patch:
        if pool is not None:
            patch.setattr("cnnkit.cluster.ray_pool.ray_pool", pool)
        try:
            for row, features in job.made(inputs, rows_of):
                if len(new) == limit:
                    return new
                job.record(row, features, lambda one: new.append(one["path"]))
            job.finish()
        finally:
            job.close()
    return new


def same(a: str, b: str) -> bool:
    ends = (".jsonl", ".npy")
    return all(
        Path(a).with_suffix(end).read_bytes() == Path(b).with_suffix(end).read_bytes()
        for end in ends
    )


def tree() -> list[str]:
    return sorted(os.fsdecode(path.name) for path in Path().iterdir())


def test_the_rows_are_those_of_one_process_in_input_order() -> None:
    run("plain.jsonl")
    pool = local_pools()
    run("rows.jsonl", pool)
    assert same("plain.jsonl", "rows.jsonl")
    assert [len(one.inputs) for one in pool.pools[0].given] == [4, 4, 4, 4, 4, 4, 1]
    assert tree() == ["plain.jsonl", "plain.npy", "rows.jsonl", "rows.npy"]


def test_a_worker_that_dies_once_loses_nothing() -> None:
    run("plain.jsonl")
    run("rows.jsonl", local_pools(lambda ticket: ticket.losses == 0))
    assert same("plain.jsonl", "rows.jsonl")


def test_an_image_that_kills_its_process_is_a_row_and_nothing_else_is_lost() -> None:
    run("plain.jsonl")
    pool = local_pools(lambda ticket: any(one.path == "7.jpg" for one in ticket.inputs))
    run("rows.jsonl", pool)
    plain, rows = (
        [json.loads(line) for line in Path(name).read_text().splitlines()]
        for name in ("plain.jsonl", "rows.jsonl")
    )
    place = NAMES.index("7.jpg")
    assert rows[place]["error"]["kind"] == "crashed"
    assert np.isnan(np.load("rows.npy")[place]).all()
    assert rows[:place] + rows[place + 1 :] == plain[:place] + plain[place + 1 :]
    fatal = [one for one in pool.pools[0].given if any(i.path == "7.jpg" for i in one.inputs)]
    assert [len(one.inputs) for one in fatal] == [4, 4, 1, 1]


def test_a_shard_is_split_until_the_image_is_alone() -> None:
    from cnnkit.cluster.plan import PlannedInput
    from cnnkit.cluster.scheduling import Ticket

    ticket = Ticket(3, 0, [PlannedInput(f"{n}", position=n) for n in range(1_000)])
    pieces = ticket.pieces()
    assert [len(one.inputs) for one in pieces] == [100] * 10
    assert [one.start for one in pieces] == list(range(0, 1_000, 100))
    singles = pieces[1].pieces()[0].pieces()
    assert [one.inputs[0].path for one in singles] == [str(n) for n in range(100, 110)]


def test_where_every_image_kills_its_process_the_run_ends_with_a_reason() -> None:
    with pytest.raises(RuntimeUnavailableError, match="10 of 10 images ended"):
        run("rows.jsonl", local_pools(lambda ticket: True))


@pytest.mark.parametrize("limit", [0, 1, 6, 24])
def test_a_killed_run_is_resumed_without_listing_again(limit: int) -> None:
    run("plain.jsonl")
    new = run("rows.jsonl", local_pools(), limit=limit)
    assert len(new) == limit and PARTS.is_dir()
    done = len(list(PARTS.glob("*.part")))
    pool = local_pools()
    run("rows.jsonl", pool, inputs=(pytest.fail("listed") for _ in [0]), resume=True)
    assert same("plain.jsonl", "rows.jsonl") and not PARTS.exists()
    made = {one.shard for one in pool.pools[0].given}
    assert len(made) == 7 - done


def test_the_workers_end_with_a_run_that_fails() -> None:
    pool = local_pools()
    run("rows.jsonl", pool)
    assert pool.pools[0].ended
    cluster = Cluster(EngineChoice(None, 4), Path("other.jsonl"), digest_of(["photos"]))
    cluster.order(opened, "abc")
    job = job_of("other.jsonl", cluster)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cnnkit.cluster.ray_pool.ray_pool", pool)
        rows = job.made(INPUTS, rows_of)
        job.record(*next(rows))
        assert not pool.pools[1].ended
        job.close()
        assert pool.pools[1].ended


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-5],
        lambda content: content.replace(b'"cat"', b'"cot"'),
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: content.split(b"\n")[0],
        lambda content: b"",
    ],
)
def test_a_damaged_part_is_made_again(damage) -> None:
    run("plain.jsonl")
    run("rows.jsonl", local_pools(), limit=0)
    for part in PARTS.glob("*.part"):
        part.write_bytes(damage(part.read_bytes()))
    run("rows.jsonl", local_pools(), resume=True)
    assert same("plain.jsonl", "rows.jsonl")


@pytest.mark.parametrize(("most", "seen"), [(100_000, 7), (4, 3)])
def test_no_worker_waits_while_finished_shards_are_looked_at(
    most: int, seen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("plain.jsonl")
    run("rows.jsonl", local_pools(), limit=24)
    (PARTS / "00000000.part").unlink()
    journal = Path("rows.jsonl.part")
    journal.write_bytes(journal.read_bytes().split(b"\n")[0] + b"\n")
    Path("rows.npy.part").unlink(missing_ok=True)
    events: list[str] = []
    wait, holds = LocalPool.wait, PartFolder.holds
    monkeypatch.setattr("cnnkit.cluster.scheduling.HELD_INPUTS", most)
    monkeypatch.setattr(LocalPool, "wait", lambda *a: events.append("wait") or wait(*a))
    monkeypatch.setattr(PartFolder, "holds", lambda *a: events.append("look") or holds(*a))
    run("rows.jsonl", local_pools(), resume=True)
    assert events.index("wait") == seen and events.count("look") == 7
    assert same("plain.jsonl", "rows.jsonl")


@pytest.mark.parametrize("flag", ["resume", "overwrite"])
def test_a_second_run_leaves_the_parts_of_the_first_alone(flag: str) -> None:
    run("plain.jsonl")

    def disturbing(ticket) -> bool:
        if ticket.shard == 3:
            with pytest.raises(UsageError, match="is being written by another run"):
                run("rows.jsonl", local_pools(), **{flag: True})
        return False

    run("rows.jsonl", local_pools(disturbing))
    assert same("plain.jsonl", "rows.jsonl")


def test_a_run_of_one_process_resumes_one_of_several_and_the_other_way_round() -> None:
    run("plain.jsonl")
    run("rows.jsonl", local_pools(), limit=6)
    run("rows.jsonl", resume=True)
    assert same("plain.jsonl", "rows.jsonl")
    run("back.jsonl", limit=6)
    run("back.jsonl", local_pools(), resume=True)
    assert same("plain.jsonl", "back.jsonl")


def test_parts_of_a_run_that_one_process_has_finished_are_not_resumed() -> None:
    run("rows.jsonl", local_pools(), limit=6)
    run("rows.jsonl", resume=True)
    assert PARTS.is_dir()
    Path("rows.jsonl").unlink()
    with pytest.raises(UsageError, match=r"rows\.npy exists already"):  # of what no run is left
        run("rows.jsonl", local_pools(), resume=True)
    Path("rows.npy").unlink()
    later = [*INPUTS[:4], Found("later.jpg"), *INPUTS[4:]]
    run("plain.jsonl", inputs=later)
    assert len(run("rows.jsonl", local_pools(), inputs=later, resume=True)) == len(later)
    assert same("plain.jsonl", "rows.jsonl") and not PARTS.exists()


def test_errors_are_retried_on_demand() -> None:
    run("plain.jsonl")
    run("rows.jsonl", local_pools(), limit=6)
    new = run("rows.jsonl", local_pools(), resume=True, retry_errors=True)
    assert new[0] == "bad.jpg" and len(new) == len(INPUTS) - 6 + 1
    assert same("plain.jsonl", "rows.jsonl")


def test_other_inputs_sizes_and_models_are_refused() -> None:
    run("rows.jsonl", local_pools(), limit=6)
    with pytest.raises(UsageError, match="same inputs"):
        run("rows.jsonl", local_pools(), given="elsewhere", resume=True)
    with pytest.raises(RuntimeUnavailableError, match="the model is another one"):
        run("rows.jsonl", local_pools(), opens=opened_other, resume=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(HEADER, "model", "abd")
        with pytest.raises(UsageError, match="requires the same model"):
            run("rows.jsonl", local_pools(), resume=True)
    run("rows.jsonl", local_pools(), given="elsewhere", overwrite=True)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"cnnkit_plan": 2}', '{"cnnkit_plan": 1, "run": 3}', "\0"]
)
def test_a_plan_that_is_none_is_refused(text: str) -> None:
    run("rows.jsonl", local_pools(), limit=6)
    (PARTS / "plan.jsonl").write_text(text)
    with pytest.raises(UsageError):
        run("rows.jsonl", local_pools(), resume=True)


def test_a_plan_with_a_line_less_is_refused() -> None:
    run("rows.jsonl", local_pools(), limit=6)
    plan = PARTS / "plan.jsonl"
    plan.write_text("\n".join(plan.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(UsageError, match="must be the plan"):
        run("rows.jsonl", local_pools(), resume=True)


def test_features_behind_the_rows_of_a_part_are_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnnkit.writers.journal.MAX_LINE_BYTES", 1_000)
    parts = PartFolder(PARTS)
    parts.make()
    inputs = [Found("a.jpg"), Found("b.jpg")]
    parts.commit(0, packed((row, np.zeros(500, np.float32)) for row, _ in rows_of(inputs)))
    assert parts.holds(0, inputs, False)
    assert [row["path"] for row, _ in parts.read(0, None)] == ["a.jpg", "b.jpg"]


def test_rows_of_other_images_in_a_part_are_not_taken() -> None:
    run("plain.jsonl")
    run("rows.jsonl", local_pools(), limit=0)
    parts = sorted(PARTS.glob("*.part"))
    parts[0].write_bytes(parts[1].read_bytes())
    run("rows.jsonl", local_pools(), resume=True)
    assert same("plain.jsonl", "rows.jsonl")


@pytest.mark.parametrize(
    ("engine", "address"),
    [("ray", None), ("ray:auto", "auto"), ("ray:10.0.0.1:6379", "10.0.0.1:6379")],
)
def test_addresses(engine: str, address: str | None) -> None:
    assert EngineChoice.of(engine, 10) == EngineChoice(address, 10)


@pytest.mark.parametrize("engine", ["", "dask", "ray:", "ray:ray://head:10001", "ray:host", "Ray"])
def test_what_is_no_engine_is_refused(engine: str) -> None:
    with pytest.raises(UsageError, match="`engine` must"):
        EngineChoice.of(engine, 10)


@pytest.mark.parametrize("size", [0, -1, 100_001, 1.5, True])
def test_sizes(size: int) -> None:
    with pytest.raises(UsageError, match="`shard_size` must be from 1"):
        EngineChoice.of(None, size)


def test_it_is_said_what_is_waited_for(caplog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnnkit.cluster.scheduling.PATIENCE", -1.0)
    waits = iter([True, True])
    end = LocalPool.wait

    def slow(pool: LocalPool, seconds: float) -> list:
        return [] if next(waits, False) else end(pool, seconds)

    monkeypatch.setattr(LocalPool, "wait", slow)
    run("rows.jsonl", local_pools())
    assert caplog.messages == ["waiting for nothing"] * 2


def mostly_missing(found):
    for one in found:
        failure = Failure("corrupt", "bad") if one.key == "a.jpg" else Failure("missing", "no")
        first, *second = one.key.split("\0")
        yield make_pair_row(first, second[0], failure) if second else make_row(first, failure), None


def lost() -> OpenedModel:
    return OpenedModel("abc", mostly_missing)


@pytest.mark.parametrize("path", ["here.jpg", Member("here.tar", "b.jpg", 512, 3)])
def test_a_machine_without_an_image_that_is_here_is_noticed(path: str) -> None:
    for name in ("here.jpg", "here.tar"):
        Path(name).write_text("")
    with pytest.raises(RuntimeUnavailableError, match=r"here\..* is here, and missing where"):
        run("rows.jsonl", local_pools(), inputs=[Found("a.jpg"), Found(path)], opens=lost)


@pytest.mark.parametrize(("second", "is_refused"), [("gone.jpg", False), ("here.jpg", True)])
def test_a_pair_of_an_image_that_is_missing_everywhere_is_a_row(
    second: str, is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnnkit.cluster.ray_pool.ray_pool", local_pools())
    Path("here.jpg").write_text("")
    cluster = Cluster(EngineChoice(None, 4), Path("rows.jsonl"), digest_of(["pairs"]))
    cluster.order(lost, "abc")
    inputs = cluster.planned([Found(pair_key("here.jpg", second))], HEADER, is_new=True)
    if is_refused:
        with pytest.raises(RuntimeUnavailableError, match=r"here\.jpg and here\.jpg is here"):
            list(cluster.rows(iter(inputs)))
    else:
        [(row, _)] = cluster.rows(iter(inputs))
        assert (row["b"], row["error"]["kind"]) == (second, "missing")


def test_relative_paths_need_the_folder(tmp_path: Path) -> None:
    from cnnkit.cluster.plan import input_fields
    from cnnkit.cluster.worker import CannotWork, ImageWorker, WorkOrder

    worker = ImageWorker(WorkOrder(partial(opened), "abc", str(tmp_path / "gone")))
    assert worker.open() is None
    assert isinstance(worker.make([input_fields(Found("a.jpg"))]), CannotWork)
    assert not isinstance(worker.make([input_fields(Found("/a.jpg"))]), CannotWork)
    assert isinstance(worker.make([input_fields(Found("/a.jpg\0b.jpg"))]), CannotWork)
    assert not isinstance(worker.make([input_fields(Found("s3://a/b.tar!c"))]), CannotWork)
    old = ImageWorker(WorkOrder(partial(opened), "abc", str(tmp_path), "0.0.1"))
    assert old.open() is not None


def test_a_member_is_the_same_on_another_machine() -> None:
    plain, link = (Member("x.tar", "a.jpg", 512, 3, is_link=is_link) for is_link in (False, True))
    for member in (plain, link):
        got = input_of(json.loads(json.dumps(input_fields(Found(member))))).path
        assert (got, vars(got)) == (member, vars(member))
